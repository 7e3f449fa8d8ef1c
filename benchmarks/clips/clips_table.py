"""Figures of the clips bench by strategy, from its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.nano.nano_metrics import bootstrap_difference
from benchmarks.nano.nano_rows import Row

Figures = dict[str, Any]


def figures(rows: Sequence[Row], off: Sequence[Row] = ()) -> Figures:
    """Means over a strategy's clips; `accuracy_change` in points with its paired 95 % interval.

    `off`: the same prompts without control maps, to whose mean dynamic degree theirs is compared.
    """
    firsts = [value for row in rows for value in row["first"].values()]
    lasts = [value for row in rows for value in row["last"].values()]
    kept = [float(np.mean(list(row["kept"].values()))) for row in rows]
    still_open = [value for value, row in zip(kept, rows, strict=True) if row["open"]]
    change = bootstrap_difference(np.array(lasts), np.array(firsts)) if firsts else (0.0, 0.0, 0.0)
    return {
        "clips": len(rows),
        **{name: _mean(rows, name) for name in ("seam_ratio", "seam_worst", "seam_motion", "seam_ghost")},
        "color_drift": _mean(rows, "color_drift"),
        "kept": float(np.mean(kept)),
        "kept_open": float(np.mean(still_open)) if still_open else None,
        "kept_worst": float(np.mean([row["kept_worst"] for row in rows])),
        "accuracy_first": float(np.mean(firsts)) if firsts else None,
        "accuracy_change": [100 * value for value in change],
        "flow_of_drawn": float(np.median([row["flow"] / max(row["drawn_flow"], 1e-6) for row in rows])),
        "dynamic_of_off": _dynamic(rows, off),
        "pck": _pck(rows),
        "constancy": _own_colors(rows),
        "flicker": _mean(rows, "flicker"),
        "seconds": float(np.mean([row["seconds"] for row in rows])),
        "cpu_seconds": float(np.mean([row["cpu_seconds"] for row in rows])),
        "peak_bytes": max(row["peak_bytes"] for row in rows),
    }


def _dynamic(rows: Sequence[Row], off: Sequence[Row]) -> float | None:
    pairs = [(row["dynamic_degree"], still["dynamic_degree"]) for row, still in zip(rows, off, strict=False)]
    total = sum(still for _, still in pairs)
    return float(sum(row for row, _ in pairs) / total) if total else None


def _pck(rows: Sequence[Row]) -> float | None:
    """Share of the limb ends that were steered and are in place, pooled over frames."""
    counts = [row["pck"] for row in rows if row["pck"] is not None]
    wanted = sum(there for _, there in counts)
    return sum(near for near, _ in counts) / wanted if wanted else None


def _own_colors(rows: Sequence[Row]) -> float | None:
    """Share of the frames in which outfit, hair and eyes, each by itself, have the clip's own colours."""
    found = [value for row in rows for value in row.get("constancy", {}).values() if value is not None]
    return float(np.mean(found)) if found else None


def _mean(rows: Sequence[Row], name: str) -> float | None:
    if not all(name in row for row in rows):
        return None  # some were measured before there was this number
    values = [row[name] for row in rows if row[name] is not None]
    return float(np.mean(values)) if values else None


COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("clips", lambda f: str(f["clips"])),
    ("seam", lambda f: _number(f["seam_ratio"])),
    ("worst", lambda f: _number(f["seam_worst"])),
    ("ghosts", lambda f: _number(f["seam_ghost"])),
    ("ΔE drift", lambda f: _number(f["color_drift"])),
    ("look kept", lambda f: f"{100 * f['kept']:.0f} %"),
    ("of open prompts", lambda f: "-" if f["kept_open"] is None else f"{100 * f['kept_open']:.0f} %"),
    ("asked, first", lambda f: "-" if f["accuracy_first"] is None else f"{100 * f['accuracy_first']:.0f} %"),
    ("last - first", lambda f: "{:+.1f} ({:+.1f}..{:+.1f})".format(*f["accuracy_change"])),
    ("flow / drawn", lambda f: _number(f["flow_of_drawn"])),
    ("dynamic / control off", lambda f: _number(f["dynamic_of_off"])),
    ("limbs in place", lambda f: _share(f["pck"])),
    ("own colours", lambda f: _share(f["constancy"])),
    ("flicker", lambda f: _number(f["flicker"])),
    ("CPU s", lambda f: f"{f['cpu_seconds']:.1f}"),
    ("peak MiB", lambda f: f"{f['peak_bytes'] / 2**20:.0f}"),
)


def table(found: dict[str, Figures]) -> str:
    """A Markdown table, one strategy a row."""
    head = ["strategy", *(name for name, _ in COLUMNS)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for strategy, one in found.items():
        lines.append(f"| {' | '.join([strategy, *(show(one) for _, show in COLUMNS)])} |")
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
