"""The folders of runs below an output folder, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pokora_anime.provenance import run_layout

_PLACES = ("video/*", "stills/*", "sweep/*/video/*", "sweep/*/stills/*")


def folders(root: Path) -> list[Path]:
    """The folders of runs below `root`, newest first."""
    found = [
        (_time(folder), folder)
        for pattern in _PLACES
        for folder in root.glob(pattern)
        if (folder / run_layout.CONFIG).is_file() or (folder / run_layout.RECORD).is_file()
    ]
    return [folder for _, folder in sorted(found, key=lambda one: (-one[0], str(one[1])))]


def _time(folder: Path) -> float:
    """When a run was finished, or else begun."""
    times: Iterable[Path] = (folder / run_layout.RECORD, folder / run_layout.CONFIG)
    for path in times:
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0
