"""An advisory lock: one run at a time in a run folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.errors import MachineError

if TYPE_CHECKING:
    from filelock import BaseFileLock

# What file systems without locks answer (some network ones); and that a process would wait for itself.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
_OWNER = 1  # where the holder's pid stands: Windows lets nobody read byte 0, which is the lock
_DIGITS = 20


def lock(path: Path) -> BaseFileLock | None:
    """The lock of a file, taken at once; the system frees it when the process dies, however it dies.

    None on a file system without locks. Raises filelock.Timeout where another holds it.
    """
    from filelock import FileLock  # late: it is slow to import

    taken = FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)
    try:
        taken.acquire()
    except OSError as error:
        if isinstance(error, TimeoutError) or error.errno not in _NO_LOCKS:
            raise
        return None
    return taken


class FolderLock:
    """Held from creation to `release`. Raises MachineError SYS-LOCK when another run holds it.

    On file systems without locks it does nothing.
    """

    def __init__(self, folder: Path) -> None:
        from filelock import Timeout

        path = folder / ".lock"
        try:
            self._lock = lock(path)
        except Timeout as error:
            raise MachineError(
                "SYS-LOCK",
                f"another run with this key is running{owner(path)} in {folder}",
                expected="one run at a time in a run folder",
                fix="wait until it has finished, stop it, or change the seed",
            ) from error
        _write_owner(path)

    def release(self) -> None:
        """Lets the next run in; may be called again."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def owner(path: Path) -> str:
    """Which process holds a lock, as it told: ` (pid N)`; "" where nobody told."""
    try:
        with path.open("rb", buffering=0) as handle:
            handle.seek(_OWNER)
            text = handle.read(_DIGITS).decode(errors="replace").strip()
    except OSError:
        return ""
    return f" (pid {text})" if text.isdigit() else ""


def _write_owner(path: Path) -> None:
    try:
        with path.open("r+b", buffering=0) as handle:
            handle.seek(_OWNER)
            handle.write(str(os.getpid()).ljust(_DIGITS).encode())
    except OSError:
        return  # the pid is a courtesy; a full disk shows up where it matters
