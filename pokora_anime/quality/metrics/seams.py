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
    """Ratios of the joins over the median inside the two segments that each one joins.

    `joins` are those that were measured, `ratios` theirs. `median` and `worst` are divided by the same
    figures of every other placement of the same joins in the clip (`placed_median` is their mean;
    `placed_worst` their median, which a cut elsewhere leaves alone): natural motion is often fast at a
    regular distance. `excess` is the worst join's value less that of the worst of joins placed elsewhere.
    """

    joins: tuple[int, ...]
    values: tuple[float, ...]
    ratios: tuple[float, ...]
    raw_median: float
    raw_worst: float
    placed_median: float
    placed_worst: float
    excess: float
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
    free = [one for one in elsewhere if not taken & set(one.tolist()) and np.isfinite(values[one]).all()]
    if len(free) < LEAST_PLACEMENTS:
        return f"only {len(free)} other places for the joins: the clip is too short"
    ratios = values / _around(values, _reach(places, count))
    return Seams(
        joins=tuple(known),
        values=tuple((values[places] - floor).tolist()),
        ratios=tuple(ratios[places].tolist()),
        raw_median=float(np.median(ratios[places])),
        raw_worst=float(ratios[places].max()),
        placed_median=float(np.mean([np.median(ratios[one]) for one in free])),
        placed_worst=float(np.median([ratios[one].max() for one in free])),
        excess=float(values[places].max() - np.median([values[one].max() for one in free])),
        placements=len(free),
    )


def _reach(places: npt.NDArray[np.int_], count: int) -> int:
    """How many steps to each side belong to the segments that a join joins: none of another join."""
    return max(1, int(np.diff(places).min()) - 1) if len(places) > 1 else count


def _around(values: Values, reach: int) -> Values:
    """By step, the median of the steps around it, itself left out."""
    medians = np.empty(len(values))
    for index in range(len(values)):
        first = max(0, index - reach)
        window = np.delete(values[first : index + reach + 1], index - first)
        medians[index] = np.nanmedian(window) if np.isfinite(window).any() else np.nan
    return medians
