"""Where each user's runs lie: where the studio was started, or in a folder of their own. Torch-free."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.history.run_folders import folders
from pokora_anime.studio.access import LOCAL
from pokora_anime.studio.problems import missing
from pokora_anime.submission import file_names
from pokora_anime.untrusted import untrusted_names

OUTPUTS = "outputs"
STATE = "studio"  # in the outputs: the queue, its lock, the bin
SWEEP = "studio"  # the name under which runs of the studio lie beside sweeps


@dataclass(frozen=True, slots=True)
class Workspace:
    """A user's own folder, laid out as the folder that `pokora` is started in."""

    root: Path

    @property
    def outputs(self) -> Path:
        """The user's runs."""
        return self.root / OUTPUTS

    @property
    def renders(self) -> Path:
        """The one folder that the rendering process may write in."""
        return self.outputs / "sweep" / SWEEP

    @property
    def bin(self) -> Path:
        """What was deleted and can come back."""
        return self.outputs / STATE / "bin"

    @property
    def bundles(self) -> Path:
        """What `pokora submission build` wrote."""
        return self.root / file_names.FOLDER / file_names.DIST

    def built(self) -> list[Path]:
        """The bundles that are plain files with plain names, the newest first."""
        if self.bundles.is_symlink():
            return []
        plain = [
            path
            for path in self.bundles.glob("*.zip")
            if not untrusted_names.problem(path.name) and path.is_file() and not path.is_symlink()
        ]
        return sorted(plain, key=lambda path: -path.stat().st_mtime)

    def bundle(self, name: str) -> Path:
        """The path of a bundle, looked up. Raises Problem 404."""
        found = next((path for path in self.built() if path.name == name), None)
        if found is None:
            raise missing(f"no bundle {name[:80]}")
        return found

    def path(self, folder: Path) -> str:
        """A run's folder relative to the outputs."""
        return folder.relative_to(self.outputs).as_posix()

    def runs(self) -> dict[str, Path]:
        """All runs by id, newest first."""
        return {run_id(self.path(one)): one for one in folders(self.outputs) if not self._linked(one)}

    def _linked(self, folder: Path) -> bool:
        """Whether a folder, or one on the way to it, is a link: it may lead anywhere."""
        way = (folder, *folder.parents)
        return any(one.is_symlink() for one in way[: len(folder.relative_to(self.outputs).parts)])

    def run(self, wanted: str) -> Path:
        """The folder of a run. Ids are looked up and never joined to a path. Raises Problem 404."""
        place = (self.outputs, wanted)
        known = _found.get(place)
        if known is None or not known.is_dir() or self._linked(known):
            _found.update({(self.outputs, one): folder for one, folder in self.runs().items()})
            known = _found.get(place)
        if known is None or not known.is_dir():
            raise missing(f"no run {wanted[:60]}")
        return known


# Folders of runs by outputs and id, so that each file of a run does not look through all of them.
_found: dict[tuple[Path, str], Path] = {}


def run_id(path: str) -> str:
    """The id of a run whose folder is `path` below the outputs."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


class Workspaces:
    """The workspaces of all users below the folder that the studio was started in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def state(self) -> Path:
        """The folder of the queue."""
        return self.root / OUTPUTS / STATE

    def of(self, user: str) -> Workspace:
        """A user's own; names were checked when the tokens were read."""
        return Workspace(self.root if user == LOCAL else self.state / "users" / user)
