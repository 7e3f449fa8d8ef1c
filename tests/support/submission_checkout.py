"""A small checkout with finished runs to submit: nano at 64 pixels, rendered once per test session."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pokora_anime.config.compose import compose
from pokora_anime.render import pipeline
from pokora_anime.schema.settings import StillsConfig
from pokora_anime.submission import build, project
from pokora_anime.submission.build import Built
from pokora_anime.submission.project import Member, Project
from support import once_per_session, replay_runs
from support.forged_run import sign

ROOT = Path(__file__).parents[2]
STILLS = tuple(word for word in replay_runs.SMALL if not word.startswith(("shot.", "control", "motion")))
WORDS = Project(
    title="Petals in the Light",
    members=(Member(name="Kim Minsu", id="20231234"), Member(name="Ana Ñandú", id="007")),
    artistic_statement="Spring lasts as long as a breath.\n\nWe drew that breath.",
    technical_notes="Nothing was retouched.",
)


@cache
def workplace() -> Path:
    """A checkout of the package with one video and one still below outputs/: read it, and edit copies."""
    return once_per_session.made("workplace", _workplace)


def _workplace(root: Path) -> Path:
    checkout(root)
    replay_runs.rendered(root / "outputs")
    still(root)
    return root


def checkout(root: Path) -> None:
    """The sources that a record's hash covers, in one commit."""
    shutil.copytree(
        ROOT / "pokora_anime",
        root / "pokora_anime",
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
    )
    shutil.copytree(ROOT / "conf", root / "conf")
    for name in ("requirements.lock", "LICENSE", ".gitignore"):
        shutil.copyfile(ROOT / name, root / name)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")


def still(root: Path, *overrides: str) -> Path:
    """A run of one still below `root`."""
    config = compose("stills", [*STILLS, *overrides])
    assert isinstance(config, StillsConfig)
    folder = pipeline.render_stills(config, root / "outputs", replay_runs.GUARD)
    sign(folder)
    shutil.rmtree(folder / "logs")
    return folder


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def copied(target: Path) -> Path:
    """A copy of the workplace."""
    return Path(shutil.copytree(workplace(), target / "copy", symlinks=True, ignore=no_submission))


def no_submission(folder: str, _: list[str]) -> set[str]:
    """For copytree: the workplace's own submission stays behind; the package has a room of that name."""
    return {"submission"} if Path(folder) == workplace() else set()


def draft(root: Path, words: Project = WORDS) -> Built:
    """A draft of the submission at `root`."""
    built = build.build(root, words, draft=True)
    assert built.path is not None
    return built


@cache
def bundle() -> Path:
    """The draft of the workplace, without signed copies: read it, and edit copies."""
    return once_per_session.made("bundle", _bundle)


def _bundle(_: Path) -> Path:
    with no_credentials():
        path = draft(workplace()).path
    assert path is not None
    return path


@contextmanager
def no_credentials() -> Iterator[None]:
    """As without the extra [c2pa], whose copies differ each time."""
    before = build.credentials.available
    build.credentials.available = lambda: False
    try:
        yield
    finally:
        build.credentials.available = before


def saved(root: Path, words: Project = WORDS) -> Path:
    return project.save(root, words)


def environment(root: Path) -> dict[str, str]:
    """For a command line of its own, with a home of its own."""
    return {**os.environ, "XDG_CONFIG_HOME": str(root / "config")}
