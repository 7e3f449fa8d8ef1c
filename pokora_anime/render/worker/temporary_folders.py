"""Folders for the temporary files of rendering processes: inside the folder that these may write in."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

from pokora_anime.system import process
from pokora_anime.system.files.atomic_files import writing

_PREFIX = "tmp-"


def make(home: Path) -> Path:
    """A new folder in `home`; what killed runs left there is removed. Raises MachineError SYS-*."""
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        clear(home)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{_host()}-", dir=home)).absolute()


def clear(home: Path) -> None:
    """Removes the folders in `home` whose owners have ended; of other hosts nobody here can tell."""
    for old in home.glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-(?:([0-9a-f]{{6}})-)?", old.name)
        if owner and owner[2] in (None, _host()) and not process.runs(int(owner[1])):
            remove(old)


def _host() -> str:
    """A name for this machine among those that share a store."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def remove(folder: Path) -> None:
    """Gone with all that is in it, as far as it can be."""
    shutil.rmtree(folder, ignore_errors=True)
