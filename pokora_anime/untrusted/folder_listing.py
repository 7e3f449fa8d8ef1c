"""The files of a run's folder; links and special files are found and never opened."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pokora_anime.findings import Finding
from pokora_anime.untrusted.container import Unreadable, check_size, double_names, finding, too_many
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import problem, shown

COPY = "copy the files themselves (cp -rL) and verify the copy"
_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
_PIECE = 2**20


class Folder:
    """A folder's regular files by name (/ between folders) with their sizes; none is open yet.

    `findings` says what is wrong with the folder itself; a file that it concerns is not in `sizes`.
    Raises Unreadable SRC-SIZE or SRC-COUNT for a folder that is no run's.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root = Path(os.path.realpath(root))
        self.sizes: dict[str, int] = {}
        self.findings: list[Finding] = []
        self._limits = limits
        self._identities: dict[str, tuple[int, int]] = {}  # device and inode when listed
        self._seen = self._total = 0
        self._walk(self.root, "", 0)
        self.findings += double_names(self.sizes)

    def open(self, name: str) -> IO[bytes]:
        """The file that was listed. Raises OSError if a link or another file stands in its place."""
        descriptor = os.open(self.root / name, _FLAGS)
        now = os.fstat(descriptor)
        if (now.st_dev, now.st_ino) != self._identities[name] or not stat.S_ISREG(now.st_mode):
            os.close(descriptor)
            raise OSError("another file was put in its place")
        return os.fdopen(descriptor, "rb")

    def read(self, name: str, limit: int) -> bytes:
        """A whole file. Raises Unreadable SRC-SIZE above `limit` bytes without reading it, SRC-DAMAGED."""
        if self.sizes[name] > limit:
            raise Unreadable(
                "SRC-SIZE", f"{shown(name)} has {self.sizes[name]} bytes", expected=f"at most {limit}"
            )
        return b"".join(self._pieces(name))

    def sha256(self, name: str) -> str:
        """sha256 (hex) of the file's bytes. Raises Unreadable SRC-DAMAGED."""
        digest = hashlib.sha256()
        for piece in self._pieces(name):
            digest.update(piece)
        return digest.hexdigest()

    def readable_sha256(self, name: str) -> str:
        """As `sha256`; "" for a file that cannot be read."""
        try:
            return self.sha256(name)
        except Unreadable:
            return ""

    def _pieces(self, name: str) -> Iterator[bytes]:
        left = self.sizes[name]
        try:
            with self.open(name) as handle:
                while left > 0 and (piece := handle.read(min(left, _PIECE))):
                    left -= len(piece)
                    yield piece
                grown = bool(handle.read(1))
        except OSError as error:
            raise _damaged(name, error.strerror or str(error)) from error
        if left or grown:
            raise _damaged(name, "it changed while it was read")

    def _walk(self, folder: Path, prefix: str, depth: int) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            message = "a folder cannot be read"
            self.findings.append(finding("SRC-DAMAGED", message, prefix, error.strerror))
            return
        for entry in entries:
            name = prefix + entry.name
            self._seen += 1
            if self._seen > self._limits.files:
                raise too_many(self._limits.files)
            if found := _refused(entry, name):
                self.findings.append(found)
            elif not entry.is_dir(follow_symlinks=False):
                self._add(entry, name)
            elif depth == self._limits.depth:
                raise Unreadable("SRC-COUNT", f"{shown(name)} lies too deep", expected=f"{depth} levels")
            else:
                self._walk(Path(entry.path), f"{name}/", depth + 1)

    def _add(self, entry: os.DirEntry[str], name: str) -> None:
        status = os.lstat(entry.path)  # DirEntry's own knows neither links nor inode on Windows
        if status.st_nlink > 1:
            links = f"{status.st_nlink} names for one file"
            message = "a hard link: the file can be changed through another name"
            self.findings.append(finding("SRC-HARDLINK", message, name, links, fix=COPY))
            return
        self._total += status.st_size
        check_size(name, status.st_size, self._total, self._limits)
        self.sizes[name] = status.st_size
        self._identities[name] = (status.st_dev, status.st_ino)


def _refused(entry: os.DirEntry[str], name: str) -> Finding | None:
    mode = entry.stat(follow_symlinks=False).st_mode
    # Windows' junctions are no links to `stat`; their real path tells.
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and os.path.realpath(entry.path) != entry.path):
        return finding("SRC-SYMLINK", "a link in the folder", name, fix=COPY)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return finding("SRC-SPECIAL", "neither a file nor a folder", name, stat.filemode(mode))
    if reason := problem(name):
        return finding("SRC-NAME", f"{reason} names a file", name)
    return None


def _damaged(name: str, reason: str) -> Unreadable:
    return Unreadable(
        "SRC-DAMAGED", f"{shown(name)} cannot be read: {shown(reason)}", expected="a sound file"
    )
