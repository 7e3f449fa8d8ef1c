"""Lines of the nano bench about poses that were planned, and about colours that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.nano import nano_metrics
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.nano_table import Line, percent, share_line

PLACED_BAR, CONSTANT_BAR, READ_BAR, SMOOTH_BAR = 0.95, 0.98, 0.90, 0.58
FLOW_BARS = (0.85, 1.15)


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
    """Share of the planned limb ends that are seen in place, over all frames; of the same poses drawn, as
    much as the pose extractor sees at all."""
    value, wanted = _placed(rows, "pck")
    drawn, _ = _placed(rows, "drawn_pck")
    return Line(
        what=f"limb ends where they were planned (PCK@0.1), {what}",
        bar=f">= {100 * PLACED_BAR:g} %",
        shown=f"{percent(value)} (the same poses drawn {percent(drawn)})",
        value=value,
        met=value >= PLACED_BAR if wanted else None,
        count=wanted,
        details={"drawn": drawn},
    )


def _placed(rows: Sequence[Row], name: str) -> tuple[float, int]:
    counts = [row[name] for row in rows if row.get(name) is not None]
    wanted = sum(there for _, there in counts)
    return sum(near for near, _ in counts) / wanted if wanted else float("nan"), wanted


def smoothness_line(rows: Sequence[Row], what: str = "clips") -> Line:
    """Motion smoothness, the median of the clips, beside the drawn ones'."""
    ours, drawn = (
        [row[name] for row in rows if row.get(name) is not None]
        for name in ("smoothness", "drawn_smoothness")
    )
    middle, of_drawn = (float(np.median(values)) if values else float("nan") for values in (ours, drawn))
    return Line(
        what=f"motion smoothness, 1 = uniform, median of {what}",
        bar=f">= {SMOOTH_BAR:g}",
        shown=f"{middle:.2f} (drawn clips {of_drawn:.2f})" if ours else "-",
        value=middle,
        met=middle >= SMOOTH_BAR if ours else None,
        count=len(ours),
        details={"drawn": of_drawn},
    )


def flow_line(rows: Sequence[Row], groups: Mapping[str, Sequence[Row]], what: str = "clips") -> Line:
    """Median flow of each action's clips against their drawn twins'; the worst action counts."""
    ratios = {
        name: float(np.median([row["flow"] for row in mine]))
        / max(float(np.median([row["drawn_flow"] for row in mine])), 1e-9)
        for name, mine in groups.items()
        if mine
    }
    low, high = FLOW_BARS
    worst = max(ratios, key=lambda name: max(low / max(ratios[name], 1e-6), ratios[name] / high), default="")
    value = ratios.get(worst, float("nan"))
    spread = f"{worst}; {min(ratios.values()):.2f} to {max(ratios.values()):.2f}" if ratios else ""
    return Line(
        what=f"motion: flow against drawn clips, worst action, {what}",
        bar=f"{low} to {high} x",
        shown=f"{value:.2f} x ({spread})" if ratios else "-",
        value=value,
        met=low <= value <= high if ratios else None,
        count=len(rows),
        details={"by_action": ratios},
    )


def steady_lines(rows: Sequence[Row]) -> list[Line]:
    """What the clips of today's settings keep and follow; the second only where poses steered them."""
    followed = [placed_line(rows)] if any(row["pck"] is not None for row in rows) else []
    return [constancy_line(rows), *followed]


def planned_lines(rows: Sequence[Row]) -> list[Line]:
    """New actions: read from the words, seen in the clip, followed by the limbs, in colours that stay."""
    actions = {name: [row for row in rows if row["action"] == name] for name in _actions(rows)}
    seen = [float(row["judged"] == row["action"]) for row in rows]
    drawn = nano_metrics.share([float(row["drawn_judged"] == row["action"]) for row in rows])
    by_action = {
        name: nano_metrics.share([float(row["judged"] == name) for row in mine])
        for name, mine in actions.items()
    }
    return [
        share_line("new actions, read from the words", [float(row["read"]) for row in rows], READ_BAR),
        share_line(
            "new actions, nearest of all actions' poses in the clip",
            seen,
            READ_BAR,
            f"the same poses drawn {percent(drawn)}",
            by_action=by_action,
            drawn=drawn,
        ),
        placed_line(rows, "new actions"),
        constancy_line(rows, "new actions"),
        smoothness_line(rows, "new actions"),
        flow_line(rows, actions, "new actions"),
    ]


def _actions(rows: Sequence[Row]) -> list[str]:
    return sorted({row["action"] for row in rows})


def _constant(rows: Sequence[Row], name: str) -> list[float]:
    return [value for row in rows for value in row.get(name, {}).values() if value is not None]
