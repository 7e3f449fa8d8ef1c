"""The ledger of a run: JSON lines, appended only, each holding the hash of the line before."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, canonical_json, strict_json

Entry = dict[str, Json]


class Ledger:
    """Reads what stands, cuts off what does not hold, appends durably.

    A SIGKILL can tear the last line; a line that is damaged makes all after it untrusted. Both are cut
    off and told in `notes`. Raises OSError where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.notes: list[str] = []
        self.head = ""  # hash of the last line
        self._size = 0
        self._lock = threading.Lock()
        if path.exists():
            self._read(path.read_bytes())

    def append(self, entry: Entry) -> None:
        """Adds a line and flushes it to the disk; a line that could not be written whole is taken back."""
        with self._lock:  # the denoising and the encoding thread both write
            line = canonical_json({**entry, "previous": self.head}).encode() + b"\n"
            try:
                with self.path.open("ab") as handle:
                    handle.write(line)
                    handle.flush()
                    os.fsync(handle.fileno())
            except BaseException:
                if self.path.exists():
                    os.truncate(self.path, self._size)
                raise
            self._accept(line, entry)

    def _accept(self, line: bytes, entry: Entry) -> None:
        self.entries.append(entry)
        self.head = hashlib.sha256(line.rstrip(b"\n")).hexdigest()
        self._size += len(line)

    def _read(self, data: bytes) -> None:
        lines = data.splitlines(keepends=True)
        for number, line in enumerate(lines):
            entry = _parse(line, self.head)
            if entry is None:
                torn = number == len(lines) - 1 and not line.endswith(b"\n")
                what = "its torn last line" if torn else f"damage from line {number + 1} on"
                self.notes.append(f"{self.path.name}: {what} was cut off; the parts concerned are made again")
                os.truncate(self.path, self._size)
                return
            self._accept(line, entry)


def chained(data: bytes) -> tuple[list[Entry], str]:
    """A whole ledger's entries and the hash of its last line.

    Raises RecordError REC-LEDGER, with the line's number, where the chain breaks or a byte is out of place.
    """
    entries: list[Entry] = []
    head = ""
    for number, line in enumerate(data.split(b"\n")[:-1]):
        entry = _parse(line + b"\n", head)
        if entry is None:
            raise _broken(number + 1)
        entries.append(entry)
        head = hashlib.sha256(line).hexdigest()
    if data and not data.endswith(b"\n"):
        raise _broken(len(entries) + 1)
    return entries, head


def _parse(line: bytes, previous: str) -> Entry | None:
    """The entry of a line that follows `previous` and is written just as `append` writes it, else None."""
    try:
        value = strict_json(line, "the ledger")
    except RecordError:
        return None
    if not isinstance(value, dict) or canonical_json(value).encode() + b"\n" != line:
        return None
    return value if value.pop("previous", None) == previous else None


def _broken(number: int) -> RecordError:
    return RecordError(
        "REC-LEDGER", f"line {number} does not follow from the lines before", expected="an unbroken chain"
    )
