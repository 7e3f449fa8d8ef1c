"""Rows of `pokora bench gpu`: written as they are measured, read back when it goes on, told as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm in one round. `seconds` by the clock, `busy` of this process's own computing (a CPU's)."""

    arm: str
    round: int
    seconds: float
    busy: float
    first_segment: float
    peak_bytes: int


class Rows:
    """The rows of one machine and setting, in a file that grows by a line a row."""

    def __init__(self, path: Path, setting: Mapping[str, object], *, fresh: bool) -> None:
        self.path, self.setting = path, dict(setting)
        self._rows: list[Row] = []
        lines = path.read_text().splitlines() if path.exists() and not fresh else []
        if lines and json.loads(lines[0]) == self.setting:
            self._rows = [Row(**json.loads(line)) for line in lines[1:]]
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.setting) + "\n")

    def has(self, arm: str, round_: int) -> bool:
        """Whether this was measured before."""
        return any((row.arm, row.round) == (arm, round_) for row in self._rows)

    def add(self, row: Row) -> None:
        """Keep a row, on disk too."""
        self._rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")

    def every(self) -> list[Row]:
        """All rows in the order of their measuring."""
        return list(self._rows)

    def of(self, arm: str) -> list[Row]:
        """An arm's rows by round."""
        return sorted((row for row in self._rows if row.arm == arm), key=lambda row: row.round)


def ratio(rows: Sequence[Row], baseline: Sequence[Row], *, busy: bool) -> float | None:
    """The median over rounds of an arm's time by its baseline's in the same round; None without pairs."""
    others = {row.round: row for row in baseline}
    pairs = [(row, others[row.round]) for row in rows if row.round in others]
    if not pairs:
        return None
    return median(a.busy / b.busy if busy else a.seconds / b.seconds for a, b in pairs)


def table(rows: Rows, arms: Sequence[tuple[str, str, str]], *, busy: bool) -> Iterator[str]:
    """Markdown lines; `arms` are (name, kind, baseline). `busy`: compare computing time, not the clock's."""
    yield "| Arm | | Seconds (median) | First segment | Peak | Against its baseline |"
    yield "|---|---|---|---|---|---|"
    for name, kind, baseline in arms:
        found = rows.of(name)
        if not found:
            continue
        against = ratio(found, rows.of(baseline), busy=busy) if baseline else None
        seconds = median(row.busy if busy else row.seconds for row in found)
        first = median(row.first_segment for row in found)
        peak = max(row.peak_bytes for row in found)
        cells = [
            name,
            kind,
            f"{seconds:.2f}",
            f"{first:.2f}" if first else "",
            f"{peak / 2**30:.1f} GB" if peak else "",
            "" if against is None else f"{against:.2f}x of {baseline}",
        ]
        yield "| " + " | ".join(cells) + " |"
