"""The source that goes into a bundle: the tree of one commit, read from git."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.provenance.code_hash import sources_hash
from pokora_anime.schema.config_groups import conf_dir
from pokora_anime.submission import file_names
from pokora_anime.system.files.installed_package import INSTALLED
from pokora_anime.untrusted.untrusted_names import problem

PACKAGE = "pokora_anime/"
WEIGHTS = f"{PACKAGE}nano/weights/"
CONF = "conf/"
LOCK = "requirements.lock"
CODE = (".py", ".yaml", ".typ", ".j2")  # what of the package people read
_SHOWN = 3
# What a bundle carries of a commit: all that renders, and text beside it, so that `make lint` runs there. No
# picture, no archive, nothing that a judge's install has no twin of and that is more than text.
_TOP = frozenset(
    f"{LOCK} LICENSE README.md COMPLIANCE.md CONTRIBUTING.md CHANGELOG.md"
    " Makefile pyproject.toml setup.py mkdocs.yml .gitignore".split()
)
_KINDS: Mapping[str, tuple[str, ...]] = {
    WEIGHTS: ("LICENSE", ".json", ".md", ".safetensors"),
    PACKAGE: CODE,
    CONF: (".yaml",),
    "tests/": (".py", ".md"),
    "docs/": (".md", ".py", ".css"),
    "examples/": (".md", ".py", ".sh", ".txt", ".yaml"),
    "benchmarks/": (".md", ".py"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A tree by POSIX name. `commit` is its id, `changed` what differs from it in the working tree."""

    commit: str
    changed: tuple[str, ...]
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def package_sha256(self) -> str:
        """The hash that a run's record gives for these sources of the package."""
        return package_hash({name: data for name, data in self.files.items() if name.startswith(PACKAGE)})


def belongs(name: str) -> bool:
    """Whether a file of the tree (POSIX name) is one that a bundle's source holds, by place and ending."""
    place = next((place for place in _KINDS if name.startswith(place)), None)
    if place is None:
        return name in _TOP
    last = name.removeprefix(place).rpartition("/")[2]
    return any(last[1:].endswith(kind) if kind[0] == "." else last == kind for kind in _KINDS[place])


def rendering(name: str) -> bool:
    """Whether a file of the tree takes part in a rendering, so that every install of this code has it."""
    return name.startswith((PACKAGE, CONF))


def package_hash(files: Mapping[str, bytes]) -> str:
    """As `provenance.code_hash.package_hash`, over files whose names begin with the package's folder."""
    return sources_hash(
        {name.removeprefix(PACKAGE): data for name, data in files.items() if name.endswith(".py")}
    )


@cache
def installed() -> dict[str, Path]:
    """This install's files that take part in a rendering, by their names in a checkout."""
    inside = INSTALLED / CONF  # where an install keeps what a checkout has beside the package
    found = {f"{PACKAGE}{name}": path for name, path in _below(INSTALLED) if not path.is_relative_to(inside)}
    found |= {f"{CONF}{name}": path for name, path in _below(conf_dir())}
    return {name: path for name, path in sorted(found.items()) if belongs(name) and path.is_file()}


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*"))


def read(root: Path, *, weights: bool, working_tree: bool = False) -> Source:
    """The commit that is checked out at `root`, or with `working_tree` what lies there now.

    Only files that `belongs` names are taken; the nano weights are left out unless `weights`.
    Raises ConfigError SUB-SOURCE for a folder that is no checkout of pokora_anime, MachineError SYS-GIT
    without git.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD").decode().strip()
    changed = _changed(root)
    files = _working_tree(root) if working_tree and changed else _commit(root, commit)
    kept = {name: data for name, data in files.items() if belongs(name) and (weights or not optional(name))}
    if f"{PACKAGE}__init__.py" not in kept or LOCK not in kept:
        raise _no_checkout("it holds no pokora_anime with its lock file")
    return Source(commit=commit, changed=changed, files=dict(sorted(kept.items())))


def optional(name: str) -> bool:
    """Whether a bundle may leave the file out: weights that ship with every install."""
    return name.startswith(WEIGHTS) and name.endswith(".safetensors")


def _changed(root: Path) -> tuple[str, ...]:
    """Files that differ from the commit; the team's own words and what is built from them do not count."""
    told = _git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").decode()
    listed = sorted(entry[3:] for entry in told.split("\0") if entry)
    own = (f"{file_names.FOLDER.name}/{file_names.PROJECT}", f"{file_names.FOLDER.name}/{file_names.DIST}/")
    return tuple(name for name in listed if not name.startswith(own))


def _commit(root: Path, commit: str) -> dict[str, bytes]:
    data = _git(root, "-c", "core.autocrlf=false", "archive", "--format=tar", commit)
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tree:
        for member in tree:
            if member.isdir() or member.name == "pax_global_header":
                continue
            handle = tree.extractfile(member) if member.isreg() else None
            if handle is None or problem(member.name):
                raise _no_checkout(f"{member.name} cannot be packed")
            files[member.name] = handle.read()
    return files


def _working_tree(root: Path) -> dict[str, bytes]:
    told = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    listed = sorted({name for name in told.split("\0") if name and not problem(name)})
    return {name: (root / name).read_bytes() for name in listed if (root / name).is_file()}


def _git(root: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise MachineError(
            "SYS-GIT",
            "git cannot be started",
            expected="git, which says which source the runs were made with",
            fix="install git",
        ) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()
        raise _no_checkout(reason[-1] if reason else "git fails there") from error
    prefix = words[0] == "rev-parse" and _top(root)
    if prefix:
        raise _no_checkout(f"it is the folder {prefix} of one")
    return done.stdout


def _top(root: Path) -> str:
    done = subprocess.run(["git", "rev-parse", "--show-prefix"], cwd=root, capture_output=True, check=True)
    return done.stdout.decode().strip()


def _no_checkout(reason: str) -> ConfigError:
    return ConfigError(
        "SUB-SOURCE",
        f"this folder is no checkout of pokora_anime: {reason}",
        expected="the git checkout whose source rendered the runs",
        fix="start the command in the folder of `git clone`",
    )


def changed_words(source: Source) -> str:
    """The changed files in a few words."""
    more = len(source.changed) - _SHOWN
    return ", ".join(source.changed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
