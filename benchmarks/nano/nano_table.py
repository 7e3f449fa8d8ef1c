"""Lines of the nano bench: what was promised, what was measured, met or short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from typing import Any

import numpy as np

from benchmarks.nano import nano_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: `value` is the number that counts, `shown` how it is written."""

    what: str
    bar: str
    shown: str
    value: float
    met: bool | None  # None: nothing is promised
    count: int = 0
    interval: tuple[float, float] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """met, short or info."""
        return "info" if self.met is None else "met" if self.met else "SHORT"

    def record(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**asdict(self), "status": self.status}


def percent(share: float) -> str:
    """As 97.3 %."""
    return "-" if isnan(share) else f"{100 * share:.1f} %"


def share_line(
    what: str, right: Sequence[float], bar: float | None, remark: str = "", **details: Any
) -> Line:
    """A share of right answers with its interval; the remark stands beside it."""
    value = nano_metrics.share(right)
    return Line(
        what=what,
        bar="" if bar is None else f">= {100 * bar:g} %",
        shown=percent(value) + (f" ({remark})" if remark else ""),
        value=value,
        met=None if bar is None or isnan(value) else value >= bar,
        count=len(right),
        interval=nano_metrics.proportion_interval(float(np.sum(right)), len(right)),
        details=details,
    )


def absent_line(what: str, bar: str, why: str) -> Line:
    """A line that could not be measured."""
    return Line(what=what, bar=bar, shown=why, value=float("nan"), met=None)


def text_table(lines: Sequence[Line]) -> str:
    """For a terminal."""
    rows = [
        ("", "bar", "measured", "n", ""),
        *((x.what, x.bar, x.shown, str(x.count or ""), x.status) for x in lines),
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown_table(lines: Sequence[Line]) -> str:
    """For the sample page."""
    head = ["| What | Bar | Measured | n | |", "|---|---|---|---|---|"]
    rows = [f"| {x.what} | {x.bar} | {x.shown} | {x.count or ''} | {x.status} |" for x in lines]
    return "\n".join([*head, *rows])


def title(name: str) -> str:
    return name.replace("_color", " colour").replace("_", " ")
