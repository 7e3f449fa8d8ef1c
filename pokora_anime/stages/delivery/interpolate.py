"""Frames between two drawn frames, by optical flow in both directions with occlusions in mind.

Intermediate flows after Super SloMo (arXiv 1712.00080, equation 4); visibility by the forward-backward
check of Sundaram, Brox and Keutzer (ECCV 2010), equation 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import floor
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.errors import RecordError
from pokora_anime.provenance.stage_records import Image
from pokora_anime.timeline.frame_timing import source_position

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
Larger = Callable[[Image], Image]


def retimed(
    source: Iterator[Image],
    fps: int,
    out_fps: int,
    count: int,
    *,
    moving: bool = True,
    network: Draw | None = None,
    larger: Larger | None = None,
) -> Iterator[Image]:
    """`count` frames at `out_fps` from `source` at `fps`; source frames in time with them pass unchanged.

    Without `moving` the source frame before is repeated. A `network` draws between frames in the place of
    optical flow, which then tells cuts alone. `larger` enlarges source frames once; flow is that of the
    small ones and moves the large ones. Raises RecordError when `source` ends too soon.
    """
    flow = make_flow()
    larger = _Once(larger) if larger is not None else _as_it_is
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
            yield larger(before)
            continue
        if pair is None or after is None:
            after = _next(source, at + 1)
            pair = FramePair(before, after, flow, network, larger)
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


def _as_it_is(frame: Image) -> Image:
    return frame


class _Once:
    """Enlarges each of the last two frames once; they are known by being the same array."""

    def __init__(self, larger: Larger) -> None:
        self._larger = larger
        self._made: list[tuple[Image, Image]] = []

    def __call__(self, frame: Image) -> Image:
        found = next((made for seen, made in self._made if seen is frame), None)
        if found is None:
            found = self._larger(frame)
            self._made = [*self._made[-1:], (frame, found)]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A time between two frames: flows to both and what they bring here, float32 [h,w,3].

    `share` [h,w] of the later one in the blend, and where [h,w] neither of them is to be trusted.
    """

    to_before: Flow
    to_after: Flow
    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    share: Mask
    ghost: Mask


class FramePair:
    """Two neighbouring source frames [h,w,3]; flow is computed once, at the first frame between them.

    Frames between them are made of what `larger` makes of the two.
    """

    def __init__(
        self,
        before: Image,
        after: Image,
        flow: cv2.DISOpticalFlow,
        network: Draw | None = None,
        larger: Larger = _as_it_is,
    ) -> None:
        self.before, self.after = before, after
        self._dis, self._network, self._larger = flow, network, larger

    def at(self, time: float) -> Image:
        """The frame at `time` in 0..1 of the way from `before` (0, returned as it is) to `after`."""
        if time <= 0:
            return self._larger(self.before)
        nearest = self.before if time < 0.5 else self.after
        if np.array_equal(self.before, self.after) or self.is_cut:
            return self._larger(nearest)
        if self._drawn is not None:
            return self._larger(self._drawn.at(time))
        large = self._larger(self.before), self._larger(self.after)
        if large[0].shape == self.before.shape:
            return self._moved(time, nearest)
        return self._moved_large(time, *large)

    def _moved(self, time: float, nearest: Image) -> Image:
        """Both frames warped to `time` and blended; `nearest` where both are occluded."""
        way = self._way(time)
        blended = way.before + way.share[..., None] * (way.after - way.before)
        mixed = blended + way.ghost[..., None] * (nearest - blended)
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)

    def _moved_large(self, time: float, before: Image, after: Image) -> Image:
        """The same of frames several times as large, by the flow of the small ones."""
        way = self._way(time)
        nearest = before if time < 0.5 else after
        made = _blended(_warp_large(before, way.to_before), _warp_large(after, way.to_after), way.share)
        return _blended(made, nearest, way.ghost) if way.ghost.max() > 0 else made

    def _way(self, time: float) -> _Way:
        forward, backward = self._flows
        to_before = _mixed(forward, -(1 - time) * time, backward, time**2)
        to_after = _mixed(forward, (1 - time) ** 2, backward, -time * (1 - time))
        before = warp(self.before, to_before, cv2.INTER_CUBIC).astype(np.float32)
        after = warp(self.after, to_after, cv2.INTER_CUBIC).astype(np.float32)
        seen_before, seen_after = (
            warp(mask, way) for mask, way in zip(self._visible, (to_before, to_after), strict=True)
        )
        weight_before = (1 - time) * (seen_before + 0.1)
        weight_after = time * (seen_after + 0.1)
        return _Way(
            to_before=to_before,
            to_after=to_after,
            before=before,
            after=after,
            share=np.asarray(weight_after / (weight_before + weight_after), np.float32),
            ghost=_ghosts(before, after, np.maximum(seen_before, seen_after)),
        )

    @cached_property
    def is_cut(self) -> bool:
        """Whether no motion explains the change, so that a warp would show ghosts of both frames."""
        forward, _ = self._flows
        warped = float(cv2.absdiff(self.before, warp(self.after, forward)).mean())
        plain = float(cv2.absdiff(self.before, self.after).mean())
        return warped > _CUT_LEVELS and warped > _CUT_SHARE * plain

    @cached_property
    def _drawn(self) -> Between | None:
        return None if self._network is None else self._network(self.before, self.after)

    @cached_property
    def _flows(self) -> tuple[Flow, Flow]:
        return flow_between(self.before, self.after, self._dis)

    @cached_property
    def _visible(self) -> tuple[Mask, Mask]:
        forward, backward = self._flows
        return seen_in_both(forward, backward), seen_in_both(backward, forward)


def flow_between(before: Image, after: Image, dis: cv2.DISOpticalFlow) -> tuple[Flow, Flow]:
    """Flows from a frame [h,w,3] to another, and back."""
    here, there = _grey(before), _grey(after)
    return _flow(dis, here, there), _flow(dis, there, here)


def _mixed(first: Flow, weight: float, second: Flow, other: float) -> Flow:
    return np.asarray(np.float32(weight) * first + np.float32(other) * second, np.float32)


def _grey(frame: Image) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _flow(dis: cv2.DISOpticalFlow, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Flow:
    return np.asarray(dis.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)


def warp(values: npt.NDArray[S], flow: Flow, kind: int = cv2.INTER_LINEAR) -> npt.NDArray[S]:
    """`values` fetched from where `flow` points; outside the frame its border goes on."""
    height, width = flow.shape[:2]
    columns = np.arange(width, dtype=np.float32) + flow[..., 0]
    rows = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    warped = cv2.remap(values, columns, rows, kind, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, values.dtype)


def _warp_large(frame: Image, flow: Flow) -> Image:
    """A frame [h,w,3] several times as large as a flow, fetched from where the flow points."""
    height, width = frame.shape[:2]
    scale = width / flow.shape[1]
    ways = cv2.resize(flow * np.float32(scale), (width, height), interpolation=cv2.INTER_LINEAR)
    places, rest = cv2.convertMaps(ways + _grid(height, width), np.empty(0), cv2.CV_16SC2)
    # A third of the time of cubic, and what it blurs is a pixel of the large frame.
    warped = cv2.remap(frame, places, rest, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


@lru_cache(maxsize=2)
def _grid(height: int, width: int) -> Flow:
    """Where each pixel lies: x, y."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns, rows], -1).astype(np.float32)


def _blended(one: Image, other: Image, share: Mask) -> Image:
    """Two frames [h,w,3] mixed by the other's share, which may be given smaller."""
    weight = cv2.resize(share, (one.shape[1], one.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(one, other, 1 - weight, weight), np.uint8)


def seen_in_both(flow: Flow, back: Flow) -> Mask:
    """1 where following `flow` and then `back` ends near where it started: seen in both frames."""
    returned = warp(back, flow)
    error = _squared(flow + returned)
    allowed = 0.01 * (_squared(flow) + _squared(returned)) + 0.5
    return np.asarray(cv2.GaussianBlur((error < allowed).astype(np.float32), (0, 0), 1.0), np.float32)


def _squared(flow: Flow) -> Mask:
    """Squared lengths [h,w]; numpy's own sum over a short last axis takes several times as long."""
    x, y = flow[..., 0], flow[..., 1]
    return np.asarray(x * x + y * y, np.float32)


def _ghosts(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32], seen: Mask) -> Mask:
    """1, with soft edges, where both sides are occluded and disagree."""
    red, green, blue = cv2.split(np.abs(before - after))
    hidden = (np.maximum(np.maximum(red, green), blue) > _GHOST_LEVELS) & (seen < 0.5)
    return np.asarray(cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 1.5), np.float32)
