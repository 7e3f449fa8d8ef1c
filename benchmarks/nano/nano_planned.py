"""Lines of the nano bench about poses that were planned, and about colours that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.nano import nano_metrics
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.nano_table import Line, percent, share_line

PLACED_BAR, CONSTANT_BAR, READ_BAR = 0.95, 0.98, 0.90


def constancy_line(rows: Sequence[Row], what: str = "clips") -> Line:
    """Share of frames that keep the clip's own colours, over outfit, hair and eyes."""
    ours, drawn = _constant(rows, "constancy"), _constant(rows, "drawn_constancy")
    by_region = {
        name: nano_metrics.share(
            [row["constancy"][name] for row in rows if row["constancy"][name] is not None]
        )
        for name in rows[0]["constancy"]
    }
    value = nano_metrics.share(ours)
    told = ", ".join(f"{name} {percent(share)}" for name, share in by_region.items())
    drawings = f"; drawn clips {percent(nano_metrics.share(drawn))}" if drawn else ""
    return Line(
        what=f"frames with the clip's own colours, {what}",
        bar=f">= {100 * CONSTANT_BAR:g} %",
        shown=f"{percent(value)} ({told}{drawings})",
        value=value,
        met=value >= CONSTANT_BAR,
        count=len(rows),
        details={"by_region": by_region, "drawn": nano_metrics.share(drawn)},
    )


def placed_line(rows: Sequence[Row], what: str = "clips") -> Line:
    """Share of the planned limb ends that are seen in place, over all frames."""
    counts = [row["pck"] for row in rows if row["pck"] is not None]
    wanted = sum(there for _, there in counts)
    value = sum(near for near, _ in counts) / wanted if wanted else float("nan")
    return Line(
        what=f"limb ends where they were planned (PCK@0.1), {what}",
        bar=f">= {100 * PLACED_BAR:g} %",
        shown=percent(value),
        value=value,
        met=value >= PLACED_BAR if wanted else None,
        count=wanted,
    )


def steady_lines(rows: Sequence[Row]) -> list[Line]:
    """What the clips of today's settings keep and follow; the second only where poses steered them."""
    followed = [placed_line(rows)] if any(row["pck"] is not None for row in rows) else []
    return [constancy_line(rows), *followed]


def planned_lines(rows: Sequence[Row]) -> list[Line]:
    """New actions: read from the words, followed by the limbs, in the clip's own colours."""
    by_action = {name: _share_of(rows, name) for name in sorted({row["action"] for row in rows})}
    smooth = [row["smoothness"] for row in rows if row["smoothness"] is not None]
    read = [float(row["read"]) for row in rows]
    middle = float(np.median(smooth)) if smooth else float("nan")
    return [
        share_line("new actions, read from the words", read, READ_BAR),
        placed_line(rows, "new actions"),
        constancy_line(rows, "new actions"),
        Line(
            what="motion smoothness of new actions, median of clips",
            bar="",
            shown=f"{middle:.2f}",
            value=middle,
            met=None,
            count=len(smooth),
            details={"placed": by_action},
        ),
    ]


def _share_of(rows: Sequence[Row], action: str) -> float:
    counts: list[Any] = [row["pck"] for row in rows if row["action"] == action]
    return sum(near for near, _ in counts) / max(1, sum(there for _, there in counts))


def _constant(rows: Sequence[Row], name: str) -> list[float]:
    return [value for row in rows for value in row.get(name, {}).values() if value is not None]
