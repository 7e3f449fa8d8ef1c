"""What several tests only read is made once a session, whichever of its processes asks first."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

PLACE = "PYTEST_SESSION_FOLDER"


def begin() -> None:
    """A folder for this session and the processes that it starts."""
    os.environ[PLACE] = tempfile.mkdtemp(prefix="pokora-tests-")


def end() -> None:
    """Removes it."""
    shutil.rmtree(os.environ.pop(PLACE), ignore_errors=True)


def made(name: str, make: Callable[[Path], Path]) -> Path:
    """What `make` returned for the folder `name` in the session's: read it, and edit copies.

    Another process that asks meanwhile waits for the first one.
    """
    root = Path(os.environ[PLACE])
    told = root / f"{name}.txt"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            folder = root / name
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            folder.mkdir()
            told.write_text(str(make(folder)))
        return Path(told.read_text())
