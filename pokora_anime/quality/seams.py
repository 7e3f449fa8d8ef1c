"""How much worse a join is than the frames inside segments, with natural motion divided out.

Joins are numbered by their first new source frame; source step s leads from frame s to frame s + 1, so
the join before frame j is step j - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

LEAST_PLACEMENTS = 4
LEAST_COVERED = 0.5  # share of a source step that must have been measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """Ratios of the joins over the median inside segments.

    `joins` are those that were measured, `ratios` theirs. `median` and `worst` are divided by the same
    figures of every other placement of the same joins in the clip (`placed_median` is their mean;
    `placed_worst` their median, which a cut elsewhere leaves alone): natural motion is often fast at a
    regular distance.
    """

    joins: tuple[int, ...]
    ratios: tuple[float, ...]
    inside: float  # the median inside segments, the floor included
    raw_median: float
    raw_worst: float
    placed_median: float
    placed_worst: float
    placements: int

    @property
    def median(self) -> float:
        """The middle join's ratio over that of joins placed elsewhere."""
        return self.raw_median / self.placed_median

    @property
    def worst(self) -> float:
        """The worst join's ratio over that of the worst of joins placed elsewhere."""
        return self.raw_worst / self.placed_worst


def source_steps(values: npt.ArrayLike, fps: int, source_fps: int) -> Values:
    """Means over the steps of the source frames: [steps], NaN where less than half was measured.

    `values` belong to the transitions of a clip at `fps` that shows source frames of `source_fps`.
    """
    measured = np.asarray(values, np.float64)
    if fps == source_fps:
        return measured
    count = len(measured)
    steps = -(-count * source_fps // fps)
    integral = np.concatenate([[0.0], np.cumsum(measured)])
    edges = np.minimum(np.arange(steps + 1) * (fps / source_fps), count)
    widths = np.diff(edges)
    sums = np.diff(np.interp(edges, np.arange(count + 1), integral))
    known = widths >= LEAST_COVERED * fps / source_fps
    return np.where(known, sums / np.maximum(widths, 1e-9), np.nan)


def seams(steps: Values, joins: Sequence[int], floor: float) -> Seams | str:
    """The seams of a clip from a value a source step, or why there are none.

    `floor` is added to every value: below it a difference cannot be seen.
    """
    values = np.asarray(steps, np.float64) + floor
    count = len(values)
    known = [join for join in joins if 1 <= join <= count and np.isfinite(values[join - 1])]
    if not known:
        return "there is no join"
    places = np.asarray(known) - 1
    taken = set(places.tolist())
    elsewhere = [(places + shift) % count for shift in range(1, count)]
    placed = [one for one in elsewhere if not taken & set(one.tolist()) and np.isfinite(values[one]).all()]
    if len(placed) < LEAST_PLACEMENTS:
        return f"only {len(placed)} other places for the joins: the clip is too short"
    ratios = _ratios(values, places)
    free = [_ratios(values, one) for one in placed]
    return Seams(
        joins=tuple(known),
        ratios=tuple(float(ratio) for ratio in ratios),
        inside=float(np.nanmedian(np.delete(values, places))),
        raw_median=float(np.median(ratios)),
        raw_worst=float(ratios.max()),
        placed_median=float(np.mean([np.median(one) for one in free])),
        placed_worst=float(np.median([one.max() for one in free])),
        placements=len(free),
    )


def _ratios(values: Values, places: npt.NDArray[np.int_]) -> Values:
    return values[places] / np.nanmedian(np.delete(values, places))
