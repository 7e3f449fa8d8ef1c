"""Writing files so that a kill at any moment leaves either the old one or the new one."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pokora_anime.errors import MachineError

TEMPORARY_SUFFIX = ".tmp"
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def disk_error(folder: Path, need: int, reason: str = "no space left") -> MachineError:
    """The error for a full disk or quota; `need` in bytes, 0 when it is not known."""
    amount = f"about {max(1, round(need / 1e6))} MB more" if need else "some space"
    return MachineError(
        "SYS-DISK",
        f"{reason} in {folder}",
        expected=amount,
        fix="free some space, then start the same command again: finished parts are kept",
    )


@contextmanager
def writing(folder: Path, need: int = 0) -> Generator[None]:
    """Turns the operating system's refusals into MachineErrors that name folder, need and a way out."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno in _FULL:
            raise disk_error(folder, need, reason) from error
        code = "SYS-WRITE" if error.errno in _FORBIDDEN else "SYS-IO"
        raise MachineError(
            code,
            f"cannot write in {folder}: {reason}",
            expected="a folder that this user may write to",
            fix="change its permissions, or start from another folder",
        ) from error


def temporary_path(path: Path) -> Path:
    """A hidden sibling of `path`, of this process alone; the sibling makes the rename atomic."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to a temporary sibling, flushes it to the disk and renames it. Raises OSError."""
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def rename(temporary: Path, path: Path) -> None:
    """Renames over `path` and makes the rename itself durable."""
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries, where the system can (Windows cannot open folders)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)
