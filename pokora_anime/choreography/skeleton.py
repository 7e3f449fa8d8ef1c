"""Joints as bones and back: what a pose is, without whose it is and where she stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pokora_anime.choreography import body
from pokora_anime.choreography.body import Array

JOINTS = 18
# From the neck outwards, in an order in which each bone's first joint is placed before it.
BONES = (
    *((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
MIRRORED = (3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8, 12, 15, 16, 13, 14)  # the bone of the other side
TRUNK = (0, 3, 6, 9)  # bones that are seldom foreshortened, and tell how large a figure is
FACE = (0, 14, 15, 16, 17)
LEGS = (8, 9, 10, 11, 12, 13)
HIPS = (8, 11)
SURE = 0.5  # from here on an extractor's joint is there
FEATURES = 2 * len(BONES) + 2 + len(FACE)
_FROM, _TO = (np.array([bone[i] for bone in BONES]) for i in (0, 1))


def _rest() -> tuple[Array, Array]:
    """Vectors [17,2] and lengths [17] of a figure at ease, in units."""
    still = body.Moves(1)
    still.lower_ahead[:] = 0
    found = body.joints(still)[0, :, :2]
    vectors = found[_TO] - found[_FROM]
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths[[7, 10]] = body.THIGH
    lengths[[8, 11]] = body.SHIN
    return vectors, lengths


REST, LENGTHS = _rest()
LEG = body.THIGH + body.SHIN


def features(joints: Array) -> Array:
    """Poses [N,FEATURES] of joints [N,18,3] in units: bones in lengths of their own, where the hips are
    sideways (in trunks), how far the feet are off the ground (in legs), and which of the face shows."""
    vectors = (joints[:, _TO, :2] - joints[:, _FROM, :2]) / LENGTHS[:, None]
    across = joints[:, HIPS, 0].mean(1, keepdims=True) / body.NECK_UP
    low = joints[:, LEGS, 1].max(1, keepdims=True)
    lift = (-low - body.ANKLE) / LEG
    ahead = joints[:, FACE, 2] - joints[:, 1:2, 2]
    shown = ahead > np.array([-2.0, -2.0, -2.0, -7.0, -7.0])
    shown = shown.astype(np.float64)
    return np.concatenate([vectors.reshape(len(joints), -1), across, lift, shown], 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Whose poses they are: bone lengths [17] in pixels, where the hips are sideways and the ground is, and
    the pose [FEATURES] that she was found in; `seen`: whether there is anybody to be found in it."""

    lengths: Array
    hip_x: float
    ground: float
    first: Array
    seen: bool = True


def default_figure(size: tuple[int, int]) -> Figure:
    """Somebody of the drawn world's proportions in the middle of a frame (height, width)."""
    height, width = size
    lengths = LENGTHS * (min(height, 1.4 * width) * 0.0088)
    first = np.concatenate([(REST / LENGTHS[:, None]).ravel(), [0.0, 0.0], np.ones(len(FACE))])
    return Figure(lengths=lengths, hip_x=width / 2, ground=0.95 * height, first=first, seen=False)


def read(joints: NDArray[np.float32]) -> Figure | None:
    """The figure that joints [18,3] (pixels, and how sure) show; None without neck and both shoulders.

    Bones that are not seen, or seen much shorter than the trunk lets expect, have the drawn world's
    proportions, or the length of the other side's.
    """
    seen = joints[:, 2] >= SURE
    if not seen[[1, 2, 5]].all():
        return None
    places = joints[:, :2].astype(np.float64)
    vectors = places[_TO] - places[_FROM]
    known = seen[_TO] & seen[_FROM]
    measured = np.where(known, np.linalg.norm(vectors, axis=-1), 0.0)
    trunk = [bone for bone in TRUNK if known[bone]]
    unit = max(float(np.max(measured[trunk] / LENGTHS[trunk])), 1e-3)
    expected = unit * LENGTHS
    lengths = np.where((measured >= 0.75 * expected) | (known & (_TO > 13)), measured, 0.0)
    lengths = np.maximum(lengths, lengths[list(MIRRORED)])
    lengths = np.where(lengths > 0.3 * expected, np.minimum(lengths, 2.0 * expected), expected)
    bones = np.where(known[:, None], vectors / lengths[:, None], REST / LENGTHS[:, None])
    shown = seen[list(FACE)].astype(np.float64)
    first = np.concatenate([bones.ravel(), [0.0, 0.0], shown])
    placed = _placed(bones[None], lengths)[0] + places[1]
    return Figure(
        lengths=lengths,
        hip_x=float(placed[list(HIPS), 0].mean()),
        ground=float(placed[list(LEGS), 1].max()),
        first=first,
    )


def _placed(bones: Array, lengths: Array) -> Array:
    """Joints [N,18,2] around the neck."""
    found = np.zeros((len(bones), JOINTS, 2))
    for index, (start, end) in enumerate(BONES):
        found[:, end] = found[:, start] + bones[:, index] * lengths[index]
    return found


def joints_of(poses: Array, figure: Figure, size: tuple[int, int]) -> NDArray[np.float32]:
    """Joints float32 [N,18,3] in pixels of a figure in poses [N,FEATURES]; what lies outside of the frame
    (height, width), or of a face that looks away, is not there (0)."""
    count, ends = len(poses), 2 * len(BONES)
    placed = _placed(poses[:, :ends].reshape(count, -1, 2), figure.lengths)
    trunk = body.NECK_UP * float(np.median(figure.lengths[list(TRUNK)] / LENGTHS[list(TRUNK)]))
    leg = float(figure.lengths[[7, 8, 10, 11]].sum()) / 2
    across = figure.hip_x + poses[:, ends] * trunk - placed[:, HIPS, 0].mean(1)
    down = figure.ground - poses[:, ends + 1] * leg - placed[:, LEGS, 1].max(1)
    placed += np.stack([across, down], -1)[:, None]
    height, width = size
    within = (placed >= 0) & (placed < np.array([width, height]))
    inside: NDArray[np.bool_] = np.asarray(within.all(-1))
    inside[:, FACE] &= poses[:, ends + 2 :] > 0.5
    return np.concatenate([placed, inside[..., None]], -1).astype(np.float32)
