"""What a clip's optical flow tells: the camera's move, how much moves, and how the still parts flicker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from pokora_anime.nano.world.joint_picture import LIMBS
from pokora_anime.quality.metrics.clip_scorer import scored

Clip = NDArray[np.uint8]  # [frames, height, width, 3]
Tracks = NDArray[np.float32]  # [frames, 18, 3]: x, y as shares of the frame, presence

SPAN, STEP = 3, 2  # frames that points are followed for, and between the frames that they start from
POINTS, QUALITY, DISTANCE = 400, 0.004, 4
ROUND_TRIP = 0.5  # pixels that a point followed there and back may miss itself by
STEADY = 0.3  # pixels that a point may stray from an even way: what swings is no background
FEWEST = 10  # background points that a judgement needs
NOSE, NECK = 0, 1
BODY = LIMBS[:12]
# Frames a second, what a camera moves at least: right for 99 % of the 240 drawn clips that they were
# set by, and for 96 % of 80 others.
PAN, ZOOM = 0.035, 0.0033
WALK, WALK_PAN = 0.055, 0.02  # what a walker's background scrolls by itself, and a pan beyond that
STILL, STILL_SHARE = 0.004, 0.1  # a still camera leaves at least that share of the points in place
FAR = 0.004  # pan of the stars, where nothing nearer is seen
FARTHEST = 20.0  # levels that a still pixel may be away from its median
FLOW_SIDE = 128  # pixels
SMALLEST_MASK = 0.02  # share of the frame
PIVOT = np.array([0.5, 0.62])


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraMove:
    """Scroll of the nearer background to the right and growth, frames a second.

    `still` is the share of the `points` that stay in place.
    """

    scroll: float
    growth: float
    still: float
    points: int

    def value(self, *, walking: bool) -> str | None:
        """The move in the vocabulary's words, None where too few points could be followed to tell.

        A walker's background scrolls by itself.
        """
        if self.points < FEWEST:
            return None
        pan = abs(self.scroll) / PAN if not walking else (abs(self.scroll) - WALK) / WALK_PAN
        zoom = abs(self.growth) / ZOOM
        if not walking and self.still < STILL_SHARE and abs(self.scroll) > FAR:
            pan = max(pan, 1.0)
        if max(pan, zoom) < 1.0:
            return "static"
        if pan > zoom:
            return "pan right" if self.scroll > 0 else "pan left"
        return "zoom in" if self.growth > 0 else "zoom out"


def camera_move(clip: Clip, tracks: Tracks, fps: float) -> CameraMove:
    """How the background moves, by points that are followed through the clip.

    `tracks` say where the character is; points on her are left out, and those that swing.
    """
    return move_of(background_points(clip, tracks) * [1, 1, fps, fps])


def move_of(rows: NDArray[np.float64]) -> CameraMove:
    """The camera's move from background points and their speeds [n,4]; none without points."""
    if len(rows) < FEWEST:
        return CameraMove(scroll=0.0, growth=0.0, still=1.0, points=len(rows))
    x, y, u, v = rows.T
    # A pan moves nothing up or down, so growth shows best there.
    growth = robust_line(y - PIVOT[1], v)[1]
    across = u - growth * (x - PIVOT[0])
    still = float(np.mean(np.hypot(u, v) < STILL))
    return CameraMove(scroll=-fastest(across), growth=growth, still=still, points=len(rows))


def fastest(across: NDArray[np.float64]) -> float:
    """The speed of the fastest layer: the 80th percentile along the way most points go."""
    way = 1.0 if np.median(across) >= 0 else -1.0
    return way * float(np.quantile(way * across, 0.8))


def robust_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and slope of y over x by reweighted least squares (Cauchy weights)."""
    design = np.stack([np.ones_like(x), x], 1)
    weights = np.ones(len(x))
    offset = slope = 0.0
    for _ in range(10):
        offset, slope = np.linalg.lstsq(design * weights[:, None], y * weights, rcond=None)[0]
        rest = np.abs(y - offset - slope * x)
        weights = 1 / np.sqrt(1 + np.square(rest / (np.median(rest) + 3e-4)))
    return float(offset), float(slope)


def background_points(clip: Clip, tracks: Tracks) -> NDArray[np.float64]:
    """Steady points beside the character and their ways a frame: [n,4], shares of the frame."""
    gray = _gray(list(clip))
    size = np.array(gray[0].shape[::-1], np.float64)
    found = [np.zeros((0, 4))]
    for start in range(0, len(gray) - SPAN, STEP):
        beside = beside_character(gray[start].shape, tracks[start : start + 1])
        ways = followed(gray[start : start + SPAN + 1], beside)
        time = np.arange(len(ways)) - (len(ways) - 1) / 2
        middle = ways.mean(0)
        speed = np.tensordot(time, ways, 1) / np.square(time).sum()
        stray = np.linalg.norm(ways - middle - time[:, None, None] * speed, axis=-1)
        steady = np.sqrt(np.square(stray).mean(0)) < STEADY
        for moment in (start, start + SPAN):
            steady &= ~near_character(ways[moment - start] / size, tracks[moment])
        found.append(np.concatenate([middle / size, speed / size], 1)[steady])
    return np.concatenate(found)


def followed(gray: Sequence[NDArray[np.uint8]], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Positions [frames,n,2] in pixels of points that can be followed all the way (Lucas-Kanade).

    They start from pixels `where` [height,width] says so: her outlines would outshine a soft background.
    """
    points = cv2.goodFeaturesToTrack(gray[0], POINTS, QUALITY, DISTANCE, mask=where.astype(np.uint8))
    if points is None:
        return np.zeros((len(gray), 0, 2))
    ways, good = [points[:, 0]], np.ones(len(points), np.bool_)
    for here, there in zip(gray, gray[1:], strict=False):
        moved, seen, _ = cv2.calcOpticalFlowPyrLK(
            here, there, points, np.empty_like(points), winSize=(15, 15), maxLevel=1
        )
        back, again, _ = cv2.calcOpticalFlowPyrLK(
            there, here, moved, np.empty_like(points), winSize=(15, 15), maxLevel=1
        )
        good &= (seen[:, 0] > 0) & (again[:, 0] > 0)
        good &= np.linalg.norm((back - points)[:, 0], axis=1) < ROUND_TRIP
        ways.append(moved[:, 0])
        points = moved
    return np.stack(ways)[:, good].astype(np.float64)


def near_character(points: NDArray[np.float64], joints: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which points [n,2] lie on the character or in her hair, by her joints [18,3]."""
    nose, neck = joints[NOSE, :2].astype(np.float64), joints[NECK, :2].astype(np.float64)
    head = max(float(np.hypot(*(nose - neck))), 0.03)
    inside = np.hypot(*(points - (nose - [0.0, 0.5 * head])).T) < 1.75 * head
    below = (points[:, 1] > nose[1]) & (points[:, 1] < nose[1] + 4.2 * head)
    inside |= below & (np.abs(points[:, 0] - neck[0]) < 1.75 * head)
    for first, second in BODY:
        start, way = joints[first, :2], joints[second, :2] - joints[first, :2]
        along = np.clip((points - start) @ way / (way @ way + 1e-9), 0, 1)
        inside |= np.hypot(*(points - start - along[:, None] * way).T) < 0.55 * head
    return inside


def flow_magnitude(clip: Clip, fps: float) -> float:
    """Mean optical flow of a clip in frame widths a second (DIS flow at 128 px)."""
    gray = _gray([cv2.resize(frame, (FLOW_SIDE, FLOW_SIDE), interpolation=cv2.INTER_AREA) for frame in clip])
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    lengths: list[float] = []
    for here, there in zip(gray, gray[1:], strict=False):
        flow = dis.calc(here, there, np.zeros((FLOW_SIDE, FLOW_SIDE, 2), np.float32))
        lengths.append(float(np.linalg.norm(flow, axis=-1).mean()))
    return float(np.mean(lengths)) * fps / FLOW_SIDE


def smoothness(clip: Clip, fps: int) -> float | None:
    """The scorecard's motion smoothness of a clip, 0..1; None where nothing moves."""
    return scored(np.ascontiguousarray(clip), joins=(), fps=fps).values.get("motion_smoothness")


def _gray(frames: Sequence[MatLike]) -> list[NDArray[np.uint8]]:
    return [np.asarray(cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY), np.uint8) for f in frames]


def static_pixels(clip: Clip, tracks: Tracks) -> NDArray[np.bool_]:
    """Where [height,width] a generated clip holds still: away from the character, and never far from
    the pixel's median over time. Flicker is small and stays in, what moves through is large."""
    smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in clip]).astype(np.float32)
    away = np.abs(smooth - np.median(smooth, 0)).max((0, 3))
    return (away < FARTHEST) & beside_character(clip.shape[1:3], tracks)


def beside_character(size: tuple[int, ...], tracks: Tracks) -> NDArray[np.bool_]:
    """Pixels [height,width] that the character is not near in any frame."""
    height, width = size[0], size[1]
    ys, xs = np.mgrid[0:height:4, 0:width:4]
    points = np.stack([(xs + 2) / width, (ys + 2) / height], -1).reshape(-1, 2)
    near = np.any([near_character(points, joints) for joints in tracks], 0).reshape(xs.shape)
    return ~np.repeat(np.repeat(near, 4, 0), 4, 1)[:height, :width]


def flicker(clip: Clip, mask: NDArray[np.bool_]) -> float:
    """Mean change of the masked pixels from frame to frame, in levels of 255; NaN for too few pixels."""
    if mask.mean() < SMALLEST_MASK:
        return float("nan")
    kept = clip[:, mask].astype(np.float32)
    return float(np.abs(np.diff(kept, axis=0)).mean())
