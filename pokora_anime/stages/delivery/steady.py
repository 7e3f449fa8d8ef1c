"""Generated frames steadied along their optical flow: limbs that tremble, colours that flicker.

A pixel's path through five frames is smoothed by a maximally flat filter: what alternates from frame to
frame goes, a swing of eight frames keeps 98 % of its width. Its colour, blurred, becomes the mean of those
along the path. Outlines are the frame's own, so nothing gets softer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pokora_anime.provenance.stage_records import Image
from pokora_anime.stages.delivery.interpolate import Flow, Mask, flow_between, make_flow, seen_in_both, warp

Floats = NDArray[np.float32]

TAPS = (4 / 16, -1 / 16)  # of the places one and two frames away on each side; 10 / 16 of a frame's own
REACH = len(TAPS)
BLURRED = 2.0  # deviation in pixels of colours that are averaged
SMOOTH = 1.5  # and of the ways that pixels are moved by


def steadied(frames: Iterator[Image], rounds: int, last: int, first: int = 0) -> Iterator[Image]:
    """The frames of a clip up to index `last`, of which the given ones begin with index `first`.

    The clip's first and last frame stay as they are. Another one depends on `reach(rounds)` frames on each
    side.
    """
    for _ in range(rounds):
        frames = _once(frames, first, last)
    return frames


def reach(rounds: int) -> int:
    """How many frames on each side a steadied frame depends on."""
    return rounds * REACH


@dataclass(frozen=True, slots=True)
class _Ways:
    """Flows from a frame to the next and back, and what both see."""

    forward: Flow
    back: Flow
    seen_forward: Mask
    seen_back: Mask


@dataclass(frozen=True, slots=True)
class _Path:
    """Where a frame's pixels are in another one, and how surely they are seen there."""

    flow: Flow
    seen: Mask


def _once(frames: Iterator[Image], first: int, last: int) -> Iterator[Image]:
    """One round; holds five frames."""
    dis = make_flow()
    held: list[Image] = []
    ways: list[_Ways] = []
    start = made = first  # indices of the first frame that is held, and of the next one to be made
    source: Iterator[Image | None] = chain(islice(frames, max(0, last + 1 - first)), repeat(None, REACH))
    for frame in source:
        if frame is not None:
            if held:
                ways.append(_ways(held[-1], frame, dis))
            held.append(frame)
        if made - start >= len(held) or (frame is not None and made + REACH >= start + len(held)):
            continue
        ends = made == 0 or made == last
        yield held[made - start] if ends else _settled(held, ways, made - start)
        made += 1
        while start < made - REACH:
            start, held, ways = start + 1, held[1:], ways[1:]


def _ways(before: Image, after: Image, dis: cv2.DISOpticalFlow) -> _Ways:
    forward, back = flow_between(before, after, dis)
    return _Ways(forward, back, seen_in_both(forward, back), seen_in_both(back, forward))


def _settled(held: list[Image], ways: list[_Ways], at: int) -> Image:
    """The frame at a place among those around it."""
    own = held[at].astype(np.float32)
    paths = {**_paths(ways, at, 1, len(held)), **_paths(ways, at, -1, len(held))}
    total, change = np.ones(own.shape[:2], np.float32), np.zeros_like(own)
    for step, path in paths.items():
        apart = (warp(held[at + step].astype(np.float32), path.flow) - own) * path.seen[..., None]
        change += _blurred(apart)
        total += _blurred(path.seen)
    moved = np.zeros_like(ways[0].forward)
    for step, share in enumerate(TAPS, 1):
        if step in paths and -step in paths:
            one, other = paths[step], paths[-step]
            moved += np.float32(share) * (one.flow + other.flow) * (one.seen * other.seen)[..., None]
    moved = np.asarray(cv2.GaussianBlur(moved, (0, 0), SMOOTH), np.float32)
    # Each pixel goes where its path is smooth: fetched from where it came from.
    calmed = cast(NDArray[np.float32], own + change / total[..., None])
    fetched = warp(calmed, -warp(moved, -moved), cv2.INTER_CUBIC)
    return np.clip(np.rint(fetched), 0, 255).astype(np.uint8)


def _paths(ways: list[_Ways], at: int, sign: int, count: int) -> dict[int, _Path]:
    """The paths to the frames on one side, as far as there are any, by their distance."""
    found: dict[int, _Path] = {}
    flow: Flow | None = None
    seen: Mask | None = None
    for step in range(1, REACH + 1):
        if not 0 <= at + sign * step < count:
            break
        way = ways[at + step - 1] if sign > 0 else ways[at - step]
        next_flow, next_seen = (way.forward, way.seen_forward) if sign > 0 else (way.back, way.seen_back)
        if flow is None or seen is None:
            flow, seen = next_flow, next_seen
        else:
            flow, seen = flow + warp(next_flow, flow), seen * warp(next_seen, flow)
        found[sign * step] = _Path(flow, seen)
    return found


def _blurred(values: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), BLURRED), np.float32)
