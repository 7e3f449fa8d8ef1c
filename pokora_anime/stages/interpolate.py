"""Frames between two drawn frames, by optical flow in both directions with occlusions in mind.

Intermediate flows after Super SloMo (arXiv 1712.00080, equation 4); visibility by the forward-backward
check of Sundaram, Brox and Keutzer (ECCV 2010), equation 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from math import floor
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.errors import RecordError
from pokora_anime.records import Image
from pokora_anime.stages.timing import source_position

Flow = npt.NDArray[np.float32]  # [height, width, 2], pixels (x, y)
S = TypeVar("S", np.uint8, np.float32)
Mask = npt.NDArray[np.float32]  # [height, width], 0..1

# A cut between shots: the warped frames differ by more than this (grey levels, mean), and warping
# removed less than a third of what they differed by without it.
_CUT_LEVELS = 22.0
_CUT_SHARE = 0.67
_GHOST_LEVELS = 30.0  # difference of the two warped frames above which a blend shows a double image


class Between(Protocol):
    """Draws the frame at a time in 0..1 of the way from one frame to the next."""

    def at(self, time: float, /) -> Image: ...


Draw = Callable[[Image, Image], Between]


def retimed(
    source: Iterator[Image],
    fps: int,
    out_fps: int,
    count: int,
    *,
    moving: bool = True,
    network: Draw | None = None,
) -> Iterator[Image]:
    """`count` frames at `out_fps` from `source` at `fps`; source frames in time with them pass unchanged.

    Without `moving` the source frame before is repeated. A `network` draws between frames in the place of
    optical flow, which then tells cuts alone. Raises RecordError when `source` ends too soon.
    """
    flow = make_flow()
    at, before = 0, _next(source, 0)
    after: Image | None = None
    pair: FramePair | None = None
    for index in range(count):
        position = source_position(index, fps, out_fps)
        while at < floor(position):
            before = after if after is not None else _next(source, at + 1)
            at, after, pair = at + 1, None, None
        time = float(position - at)
        if not moving or time == 0:
            yield before
            continue
        if pair is None or after is None:
            after = _next(source, at + 1)
            pair = FramePair(before, after, flow, network)
        yield pair.at(time)


def _next(source: Iterator[Image], index: int) -> Image:
    frame = next(source, None)
    if frame is None:
        raise RecordError(
            "REC-FRAMES",
            f"the segments end at frame {index}",
            expected="one frame past the end of the clip",
            fix="start the same command with fresh=true",
        )
    return frame


def make_flow() -> cv2.DISOpticalFlow:
    """OpenCV's dense inverse search on one thread, so that the result depends on nothing but the frames."""
    cv2.setNumThreads(1)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setVariationalRefinementAlpha(5.0)  # less smoothing: drawn outlines move against flat grounds
    return flow


class FramePair:
    """Two neighbouring source frames [h,w,3]; flow is computed once, at the first frame between them."""

    def __init__(
        self, before: Image, after: Image, flow: cv2.DISOpticalFlow, network: Draw | None = None
    ) -> None:
        self.before, self.after = before, after
        self._dis, self._network = flow, network

    def at(self, time: float) -> Image:
        """The frame at `time` in 0..1 of the way from `before` (0, returned as it is) to `after`."""
        if time <= 0:
            return self.before
        nearest = self.before if time < 0.5 else self.after
        if np.array_equal(self.before, self.after) or self.is_cut:
            return nearest
        return self._moved(time, nearest) if self._drawn is None else self._drawn.at(time)

    def _moved(self, time: float, nearest: Image) -> Image:
        """Both frames warped to `time` and blended; `nearest` where both are occluded."""
        forward, backward = self._flows
        to_before = _mixed(forward, -(1 - time) * time, backward, time**2)
        to_after = _mixed(forward, (1 - time) ** 2, backward, -time * (1 - time))
        before = _warp(self.before, to_before, cv2.INTER_CUBIC).astype(np.float32)
        after = _warp(self.after, to_after, cv2.INTER_CUBIC).astype(np.float32)
        seen_before, seen_after = (
            _warp(mask, way) for mask, way in zip(self._visible, (to_before, to_after), strict=True)
        )
        weight_before = (1 - time) * (seen_before + 0.1)
        weight_after = time * (seen_after + 0.1)
        share = (weight_after / (weight_before + weight_after))[..., None]
        blended = before + share * (after - before)
        ghost = _ghosts(before, after, np.maximum(seen_before, seen_after))[..., None]
        mixed = blended + ghost * (nearest - blended)
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)

    @cached_property
    def is_cut(self) -> bool:
        """Whether no motion explains the change, so that a warp would show ghosts of both frames."""
        forward, _ = self._flows
        warped = float(cv2.absdiff(self.before, _warp(self.after, forward)).mean())
        plain = float(cv2.absdiff(self.before, self.after).mean())
        return warped > _CUT_LEVELS and warped > _CUT_SHARE * plain

    @cached_property
    def _drawn(self) -> Between | None:
        return None if self._network is None else self._network(self.before, self.after)

    @cached_property
    def _flows(self) -> tuple[Flow, Flow]:
        before, after = _grey(self.before), _grey(self.after)
        return _flow(self._dis, before, after), _flow(self._dis, after, before)

    @cached_property
    def _visible(self) -> tuple[Mask, Mask]:
        forward, backward = self._flows
        return _consistent(forward, backward), _consistent(backward, forward)


def _mixed(first: Flow, weight: float, second: Flow, other: float) -> Flow:
    return np.asarray(np.float32(weight) * first + np.float32(other) * second, np.float32)


def _grey(frame: Image) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _flow(dis: cv2.DISOpticalFlow, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Flow:
    return np.asarray(dis.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)


def _warp(values: npt.NDArray[S], flow: Flow, kind: int = cv2.INTER_LINEAR) -> npt.NDArray[S]:
    """`values` fetched from where `flow` points; outside the frame its border goes on."""
    height, width = flow.shape[:2]
    columns = np.arange(width, dtype=np.float32) + flow[..., 0]
    rows = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    warped = cv2.remap(values, columns, rows, kind, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, values.dtype)


def _consistent(flow: Flow, back: Flow) -> Mask:
    """1 where following `flow` and then `back` ends near where it started: seen in both frames."""
    returned = _warp(back, flow)
    error = ((flow + returned) ** 2).sum(2)
    allowed = 0.01 * ((flow**2).sum(2) + (returned**2).sum(2)) + 0.5
    return np.asarray(cv2.GaussianBlur((error < allowed).astype(np.float32), (0, 0), 1.0), np.float32)


def _ghosts(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32], seen: Mask) -> Mask:
    """1, with soft edges, where both sides are occluded and disagree."""
    apart = np.abs(before - after).max(2) > _GHOST_LEVELS
    hidden = apart & (seen < 0.5)
    return np.asarray(cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 1.5), np.float32)
