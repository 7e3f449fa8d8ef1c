"""Lines on standard error that say whose they are, where several jobs of a sweep render side by side."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def labelled(label: str) -> Generator[None]:
    """Within the block each line that Python writes to standard error stands behind `label: `; none: as ever.

    It is no terminal meanwhile: live displays of several processes would draw over each other.
    """
    if not label:
        yield
        return
    before = sys.stderr
    sys.stderr = lines = _Lines(label, before)
    try:
        yield
    finally:
        sys.stderr = before
        lines.end()


class _Lines(io.TextIOBase):
    """Whole lines, each written at once, so that those of other processes do not get in between."""

    encoding: str = "utf-8"
    errors: str | None = None

    def __init__(self, label: str, target: TextIO) -> None:
        self._label, self._target, self._begun = label, target, ""
        self.encoding, self.errors = target.encoding, target.errors

    def fileno(self) -> int:
        return self._target.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._show(line)
        return len(text)

    def flush(self) -> None:
        self._target.flush()

    def end(self) -> None:
        """Show what has no line's end."""
        if self._begun:
            self._show(self._begun)
        self._begun = ""

    def _show(self, line: str) -> None:
        self._target.write(f"{self._label}: {line}\n")
        self._target.flush()
