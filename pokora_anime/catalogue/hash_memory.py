"""Hashes of weight files that were read before, kept until a file changes. Torch-free.

A file is the same while its device, inode, size, time of change of the content (mtime) and of the file
(ctime) are: who changes bytes and sets mtime back has changed ctime, which no call can set. The memory
lies in the user's data folder, where the process that renders cannot write; that process is told what
its parent knows, or nothing (`confine`).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import cast

from pokora_anime.provenance.hashing import file_hash
from pokora_anime.system.files.reading_progress import counter
from pokora_anime.system.files.user_folder import data_folder

MEMORY = "hashes.json"
RACY = 100_000_000  # ns: a file that changed so shortly before may change again within one tick of its clock


@dataclass(slots=True)
class _Told:
    """What a confined process knows instead of the memory file; None in any other process."""

    hashes: dict[str, str] | None = field(default=None)


_told = _Told()


def confine(known: Mapping[str, str]) -> None:
    """From now on `known` stands for the memory file, which is neither read nor written."""
    _told.hashes = dict(known)


def known() -> dict[str, str]:
    """All hashes that are remembered, by the state of their files."""
    return dict(_memory())


def remembered(path: Path) -> bool:
    """Whether a file was hashed before and has not changed since."""
    real = path.resolve()
    return _state(real) in _memory()


def weight_hash(path: Path, *, fresh: bool = False) -> str:
    """sha256 of one file; gigabytes are read once and remembered until the file changes, unless `fresh`."""
    real = path.resolve()
    state = _state(real)
    found = None if fresh else _memory().get(state)
    if found is None:
        found = file_hash(real, counter())
        quiet = time.time_ns() - real.stat().st_ctime_ns > RACY
        if quiet and _state(real) == state:
            _remember(state, found)
    return found


def _state(real: Path) -> str:
    stat = real.stat()
    parts = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return "|".join([str(real), *map(str, parts)])


def _memory() -> dict[str, str]:
    return _stored(data_folder() / MEMORY) if _told.hashes is None else _told.hashes


@cache
def _stored(file: Path) -> dict[str, str]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {str(key): str(value) for key, value in cast(dict[str, object], stored).items()}


def _remember(state: str, digest: str) -> None:
    """Keep a hash for the next process; a folder that cannot be written to only costs time."""
    memory = _memory()
    path = state.partition("|")[0]
    for old in [key for key in memory if key.startswith(f"{path}|")]:
        del memory[old]
    memory[state] = digest
    if _told.hashes is not None:
        return
    target = data_folder() / MEMORY
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as handle:
            json.dump(memory, handle)
        os.replace(handle.name, target)
    except OSError:
        pass
