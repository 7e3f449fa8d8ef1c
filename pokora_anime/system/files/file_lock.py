"""An advisory lock: one run at a time in a run folder."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import IO

from pokora_anime.errors import MachineError

_BUSY = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})


class FolderLock:
    """Held from creation to `release`; the system frees it when the process dies, however it dies.

    Raises MachineError SYS-LOCK when another run holds it. On file systems without locks it does nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: IO[bytes] | None = (folder / ".lock").open("a+b", buffering=0)
        try:
            _lock(self._handle)
        except OSError as error:
            owner = self._owner()
            self.release()
            if error.errno in _BUSY:
                raise MachineError(
                    "SYS-LOCK",
                    f"another run with this key is running{owner} in {folder}",
                    expected="one run at a time in a run folder",
                    fix="wait until it has finished, stop it, or change the seed",
                ) from error
            return
        self._write_owner()

    def release(self) -> None:
        """Lets the next run in; may be called again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _owner(self) -> str:
        if self._handle is None:
            return ""
        try:
            self._handle.seek(1 if sys.platform == "win32" else 0)
            text = self._handle.read(20).decode(errors="replace").strip()
        except OSError:
            return ""
        return f" (pid {text})" if text.isdigit() else ""

    def _write_owner(self) -> None:
        if self._handle is None:
            return
        try:
            self._handle.truncate(0)
            # Windows locks bytes and lets nobody read them: byte 0 is the lock, the pid follows it.
            self._handle.write((" " if sys.platform == "win32" else "").encode() + str(os.getpid()).encode())
        except OSError:
            return  # the pid is a courtesy; a full disk shows up where it matters


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: IO[bytes]) -> None:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
