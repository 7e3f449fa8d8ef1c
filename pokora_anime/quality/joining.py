"""Whether a new segment goes on from the one before, told before the next one is made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image, Segment
from pokora_anime.quality.metrics.clip_scorer import SIDE, reduced
from pokora_anime.quality.metrics.frame_pair_metrics import Pair, ghost, measure_pair
from pokora_anime.quality.metrics.metric_table import BY_ID
from pokora_anime.quality.metrics.optical_flow import BothFlows
from pokora_anime.quality.metrics.score_summary import (
    COLOR_FLOOR,
    CUT_CONTENT,
    CUT_RATIO,
    GHOST_FLOOR,
    SPEED_FLOOR,
    WARP_FLOOR,
)

Values = npt.NDArray[np.float64]

# By what is measured of a transition: its floor, and how many times the median inside the two segments a
# join may be; the bounds are those from which the scorecard calls a worst join or jump bad.
RATIOS = {
    "warp_error": (WARP_FLOOR, BY_ID["seam_worst"].bands["any"].bad),
    "speed": (SPEED_FLOOR, BY_ID["seam_motion"].bands["any"].bad),
    "ghost": (GHOST_FLOOR, BY_ID["seam_ghost"].bands["any"].bad),
}
PAIRED = ("warp_error", "speed", "color_step", "content")  # of two frames; a ghost is one of three
COLOR_STEP = BY_ID["color_step"].bands["any"].bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What the transitions of a stretch of frames measure; the first one may be a join.

    `ghost` is that of the frame which a transition leads to: NaN for the last one, which nothing follows.
    """

    warp_error: Values
    speed: Values
    color_step: Values
    content: Values
    ghost: Values

    @classmethod
    def of(cls, frames: Iterable[Image], flows: BothFlows) -> Steps:
        """From frames [h,w,3] of any size."""
        small = (reduced(frame, SIDE) for frame in frames)
        found: list[Pair] = [measure_pair(one, other, flows) for one, other in pairwise(small)]
        told = {name: np.array([getattr(pair, name) for pair in found]) for name in PAIRED}
        ghosts = [ghost(*both) for both in pairwise(found)]
        return cls(**told, ghost=np.array([*ghosts, np.nan][: len(found)]))


class JoinJudge:
    """How badly the join before a segment fails, or the segment itself where it holds a cut.

    `decode` gives the pictures of a segment from the last of its known frames on. A figure above 1 fails;
    it fails only where the join is worse than every transition inside the two segments that it joins, for
    natural motion comes in peaks.
    """

    def __init__(self, decode: Callable[[Segment], Iterable[Image]], flows: BothFlows) -> None:
        self._decode, self._flows = decode, flows
        self._inside: dict[str, Steps] = {}

    def __call__(self, segment: Segment) -> float:
        """Of a segment made from one that was judged before; the first one has no join, only cuts."""
        steps = Steps.of(self._decode(segment), self._flows)
        before = [self._inside[name] for name in segment.node.parents if name in self._inside]
        self._inside[segment.node.id] = steps
        return failing(steps, before, joined=segment.index > 0 and segment.known > 0)


def failing(steps: Steps, before: Sequence[Steps], *, joined: bool) -> float:
    """Of a segment's transitions, the first one the join where it is `joined`, after those `before` it."""
    first = int(joined)

    def inside(name: str) -> Values:
        values = np.concatenate([*(getattr(one, name)[1:] for one in before), getattr(steps, name)[first:]])
        return values[np.isfinite(values)]

    content = steps.content[first:]
    found = [_cut(content)]
    if joined and len(steps.content) and len(content):
        for name, (floor, ratio) in RATIOS.items():
            others, value = inside(name) + floor, float(getattr(steps, name)[0]) + floor
            if len(others):  # there is no ghost to compare with in two new frames alone
                found.append(min(value / (ratio * float(np.median(others))), value / float(others.max())))
        others = inside("color_step") + COLOR_FLOOR
        value = float(steps.color_step[0])
        found.append(min((value - float(np.median(others))) / COLOR_STEP, value / float(others.max())))
    return max(found)


def _cut(content: Values) -> float:
    if len(content) < 2:
        return 0.0
    most = float(content.max())
    return min(most / CUT_CONTENT, most / (CUT_RATIO * max(float(np.median(content)), COLOR_FLOOR)))
