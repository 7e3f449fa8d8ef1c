"""What two and three neighbouring frames tell: warp error, motion, colour, flicker, sharpness.

Differences are grey levels (0..255) unless said otherwise, colours CIE Lab (L 0..100), flows pixels of
the reduced frame. "Seen" pixels are those whose flow there and back agrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.optical_flow import BothFlows, Flow, Mask, squared, visible, warped

Floats = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

CELLS = 4  # colour steps are taken in so many cells a side
BLOCK = 8  # pixels a side of the blocks that flicker is averaged in
GHOST = 0.1  # of the shorter side: a hand that one frame alone shows is about as large
LEAST_SEEN = 0.02  # share of a frame or cell below which it says nothing
FASTEST = 0.05  # share of pixels that the dynamic degree looks at (VBench, arXiv 2311.17982)
CLOSE = 12.0  # Lab distance beyond which two pixels are no longer the same surface
MOVING = 1.0  # pixels there and back, below which a pixel does not count as moving


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two neighbouring frames measured, and what the next pair needs of them."""

    warp_error: float
    warp_squared: float  # squared RGB distance of seen pixels
    seen: float  # share of pixels
    color_step: float  # Lab distance after warping, mean over 4 x 4 cells
    color_change: Vector  # Lab [3], mean over seen surfaces
    speed: float  # mean length of the flow over seen pixels
    fastest: float  # mean of its longest 5 %
    squared_speed: float
    content: float  # mean Lab distance of the two frames as they are
    second: Image
    back: Flow  # from the second frame to the first
    seen_back: Mask
    residual_back: Floats  # the first frame warped to the second, minus the second [h,w,3]
    flow: Flow
    seen_mask: Mask
    residual: Floats  # the second frame warped to the first, minus the first [h,w,3]
    first: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """A frame measured against the one before and the one after it."""

    flicker: float
    quiet_flicker: float
    ghost: float  # the largest difference of a place from both neighbours that has the same sign
    acceleration: float  # mean length of the change of flow over moving pixels, times their share
    speeds: float  # mean length of both flows over moving pixels, times their share


def measure_pair(first: Image, second: Image, flows: BothFlows) -> Pair:
    """Two frames uint8 [h,w,3] of one size."""
    flow, back = flows(first, second)
    seen, seen_back = visible(flow, back), visible(back, flow)
    to_first, to_second = warped(second, flow), warped(first, back)
    residual: Floats = np.subtract(to_first, first, dtype=np.float32)
    lab_first, lab_second = _lab(first), _lab(second)
    lab_change, lab_back = _lab(to_first) - lab_first, lab_second - _lab(to_second)
    lengths = np.sqrt(squared(flow))
    counted = lengths[seen] if seen.mean() > LEAST_SEEN else lengths.ravel()
    return Pair(
        warp_error=_mean(_added(np.abs(residual)), seen) / 3,
        warp_squared=_mean(_added(residual * residual), seen),
        seen=float(seen.mean()),
        color_step=_color_step(lab_change, seen),
        color_change=(_surface_change(lab_change, seen) + _surface_change(lab_back, seen_back)) / 2,
        speed=float(counted.mean()),
        fastest=_fastest(counted),
        squared_speed=float((counted * counted).mean()),
        content=_mean_length(lab_second - lab_first),
        second=second,
        back=back,
        seen_back=seen_back,
        residual_back=to_second.astype(np.float32) - second,
        flow=flow,
        seen_mask=seen,
        residual=residual,
        first=first,
    )


def measure_middle(before: Pair, after: Pair) -> Middle:
    """The frame that two pairs share: it should lie between its neighbours."""
    seen = before.seen_back & after.seen_mask
    half = np.float32(0.5)
    odd = half * (before.residual_back + after.residual)
    still = half * (before.first.astype(np.float32) + after.second) - after.first
    moving = (squared(after.flow) + squared(before.back) > MOVING * MOVING) & seen
    length = np.sqrt(squared(after.flow)) + np.sqrt(squared(before.back))
    change = np.sqrt(squared(after.flow + before.back))
    return Middle(
        flicker=_block_flicker(odd, seen),
        quiet_flicker=_quiet_flicker(odd, still),
        ghost=ghost(before, after),
        acceleration=float(change[moving].sum() / moving.size),
        speeds=float(length[moving].sum() / moving.size),
    )


def ghost(before: Pair, after: Pair) -> float:
    """What the frame that two pairs share shows and neither of its neighbours, warped to it, does.

    What moves is seen in one of the two and cancels there; what this frame alone shows is far from both.
    """
    since, until = before.residual_back, after.residual
    nearer = np.where(since * until > 0, np.minimum(np.abs(since), np.abs(until)), np.float32(0))
    side = max(1, round(GHOST * min(nearer.shape[:2])))
    return float(np.asarray(cv2.blur(_added(nearer), (side, side))).max()) / 3


def mean_lab(frame: Image) -> Vector:
    """The mean colour [3] of a frame."""
    return _channel_means(_lab(frame))


def sharpness(frame: Image) -> float:
    """1 minus the blur of Crete et al. (SPIE 6492, 2007): how much a further blur would take away."""
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)
    blurs: list[float] = []
    for axis, size in ((0, (1, 9)), (1, (9, 1))):
        edges = np.abs(np.diff(grey, axis=axis))
        softer = np.abs(np.diff(np.asarray(cv2.blur(grey, size), np.float32), axis=axis))
        total = float(edges.sum())
        blurs.append(1.0 if total == 0 else 1.0 - float(np.maximum(edges - softer, 0).sum()) / total)
    return 1.0 - max(blurs)


def _lab(frame: Image) -> Floats:
    lab = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2LAB), np.float32)
    lab[..., 0] *= np.float32(100 / 255)
    return lab


def _added(values: Floats) -> Floats:
    """Three channels added; numpy's own sum over a short last axis takes ten times as long."""
    return values[..., 0] + values[..., 1] + values[..., 2]


def _mean_length(change: Floats) -> float:
    return float(np.sqrt(_added(change * change)).mean())


def _channel_means(values: Floats, where: Mask | None = None) -> Vector:
    mask = None if where is None else where.astype(np.uint8)
    return np.asarray(cv2.mean(values, mask=mask)[:3], np.float64)


def _mean(values: Floats, where: Mask) -> float:
    """Over the chosen pixels; over all where hardly any is chosen."""
    return float(values[where].mean()) if where.mean() > LEAST_SEEN else float(values.mean())


def _cells(values: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _color_step(change: Floats, seen: Mask) -> float:
    weight = seen.astype(np.float32)
    grid = (CELLS, CELLS)
    shares = _cells(weight, grid)
    known = shares > LEAST_SEEN
    if not known.any():
        return float(np.linalg.norm(_channel_means(change)))
    means = _cells(change * weight[..., None], grid)[known] / shares[known][:, None]
    return float(np.linalg.norm(means, axis=1).mean())


def _surface_change(change: Floats, seen: Mask) -> Vector:
    same = seen & (_added(change * change) < CLOSE * CLOSE)
    return _channel_means(change, same) if same.mean() > LEAST_SEEN else np.zeros(3)


def _fastest(lengths: Floats) -> float:
    count = max(1, int(lengths.size * FASTEST))
    return float(np.partition(lengths, -count)[-count:].mean())


def _blocks(frame: Floats) -> tuple[int, int]:
    height, width = frame.shape[:2]
    return max(1, width // BLOCK), max(1, height // BLOCK)


def _block_flicker(odd: Floats, seen: Mask) -> float:
    weight = seen.astype(np.float32)
    shares = _cells(weight, _blocks(odd))
    if shares.sum() <= LEAST_SEEN * shares.size:
        return float(np.abs(_cells(odd, _blocks(odd))).mean())
    sums = np.abs(_cells(odd * weight[..., None], _blocks(odd)))
    return float(sums.sum() / shares.sum()) / 3


def _quiet_flicker(odd: Floats, still: Floats) -> float:
    moved, unmoved = (_cells(_added(np.abs(change)), _blocks(change)) for change in (odd, still))
    return float(np.quantile(np.minimum(moved, unmoved), 0.25)) / 3
