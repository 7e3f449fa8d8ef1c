"""One attack as a row of data: what is forged, which command should see it, and with which codes.

Every module `rows_*.py` beside this one has a list ROWS of them; `test_attack_rows.py` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One forgery.

    `subject` names what is copied into an empty folder and handed to `forge` as its path: "run", "stills",
    "bundle" (a folder), "zipped_run" or "zipped_bundle" (a file). `forge` edits the copy in place, and where
    it matters computes again and signs all that follows, as an entrant can; it may return another path.
    `codes` are those of which the command must answer with at least one.
    """

    name: str
    hole: str
    subject: str
    forge: Callable[[Path], Path | None]
    codes: frozenset[str]
    command: str = "verify"
