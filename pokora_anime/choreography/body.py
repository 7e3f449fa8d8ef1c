"""A figure in three dimensions, seen from the front without perspective: what motions are posed on.

Units are the drawn world's: the figure is about 100 tall, x to the image right, y down, z to the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NECK_UP, SHOULDER, ARM, FOREARM, HIP, THIGH, SHIN, ANKLE = 22.1, 8.0, 13.0, 12.6, 4.0, 18.4, 18.4, 2.6
# Nose, eyes and ears from the neck, for a head that looks ahead (of the drawn world: large and flat).
FACE = np.array(
    [(0, -11.8, 12.0), (-6.3, -15.7, 10.5), (6.3, -15.7, 10.5), (-13.2, -15.6, 0.0), (13.2, -15.6, 0.0)]
)
SIDES = (-1.0, 1.0)  # image left and right; the figure faces the viewer, so these are its right and left


@dataclass(slots=True)
class Moves:
    """A pose, or many: arrays [N], by side [N,2]. Angles in degrees, lengths in units.

    Arms: `out` from hanging (0) over sideways (90) to up (180), `ahead` towards the viewer. Feet: x, height
    and depth where they stand; `bow` is the body bent forward, `yaw` the body turned around.
    """

    count: int
    x: Array = field(init=False)
    drop: Array = field(init=False)
    lift: Array = field(init=False)
    lean: Array = field(init=False)
    bow: Array = field(init=False)
    tilt: Array = field(init=False)
    yaw: Array = field(init=False)
    roll: Array = field(init=False)
    nod: Array = field(init=False)
    look: Array = field(init=False)
    upper: Array = field(init=False)
    upper_ahead: Array = field(init=False)
    lower: Array = field(init=False)
    lower_ahead: Array = field(init=False)
    foot: Array = field(init=False)
    knee: Array = field(init=False)

    def __post_init__(self) -> None:
        for name in ("x", "drop", "lift", "lean", "bow", "tilt", "yaw", "roll", "nod", "look"):
            setattr(self, name, np.zeros(self.count))
        self.upper, self.lower = np.full((self.count, 2), 13.0), np.full((self.count, 2), 8.0)
        self.upper_ahead, self.lower_ahead = np.zeros((self.count, 2)), np.full((self.count, 2), 6.0)
        self.foot = np.zeros((self.count, 2, 3))
        self.foot[..., 0] = [-4.2, 4.2]
        self.knee = np.tile([-0.4, 0.4], (self.count, 1))


def _around(vectors: Array, degrees: Array, first: int, second: int) -> Array:
    """Vectors [N,...,3] turned in the plane of two axes by an angle each [N]."""
    angle = np.radians(degrees).reshape(-1, *([1] * (vectors.ndim - 2)))
    turned = vectors.copy()
    turned[..., first] = np.cos(angle) * vectors[..., first] - np.sin(angle) * vectors[..., second]
    turned[..., second] = np.sin(angle) * vectors[..., first] + np.cos(angle) * vectors[..., second]
    return turned


def _limb(out: Array, ahead: Array, length: float) -> Array:
    """Arm bones [N,2,3] by their angles [N,2]."""
    side = np.array(SIDES)
    theta, phi = np.radians(out), np.radians(ahead)
    flat = np.cos(phi)
    return length * np.stack([side * np.sin(theta) * flat, np.cos(theta) * flat, np.sin(phi)], -1)


def _legs(hips: Array, feet: Array, bend: Array) -> tuple[Array, Array]:
    """Knees and reached ankles [N,2,3] by two-bone inverse kinematics; knees go ahead and out by `bend`."""
    along = feet - hips
    distance = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
    direction, reach = along / distance, np.minimum(distance, (THIGH + SHIN) * 0.9995)
    pole = np.stack([bend, np.zeros_like(bend), np.ones_like(bend)], -1)
    pole = pole - (pole * direction).sum(-1, keepdims=True) * direction
    pole /= np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-6)
    share = (THIGH**2 - SHIN**2 + reach**2) / (2 * reach)
    height = np.sqrt(np.maximum(0.0, THIGH**2 - share**2))
    return hips + direction * share + pole * height, hips + direction * reach


def joints(moves: Moves) -> Array:
    """The 18 OpenPose joints [N,18,3] in units, ground at y = 0."""
    count = moves.count
    pelvis = np.stack([moves.x, moves.drop - moves.lift - (THIGH + SHIN) - ANKLE - 1.35, np.zeros(count)], -1)

    def trunk(points: Array, roll: Array) -> Array:
        return _around(_around(points, roll, 0, 1), -moves.bow, 1, 2)

    neck = trunk(np.tile([[0.0, -NECK_UP, 0.0]], (count, 1)), moves.lean)
    across = np.tile([[-SHOULDER, 0.2, 0.0], [SHOULDER, 0.2, 0.0]], (count, 1, 1))
    shoulders = neck[:, None] + trunk(across, moves.lean * 1.6 - moves.tilt * 0.3)
    hips = _around(np.tile([[-HIP, 1.4, 0.0], [HIP, 1.4, 0.0]], (count, 1, 1)), moves.tilt, 0, 1)
    elbows = shoulders + _around(_limb(moves.upper, moves.upper_ahead, ARM), -0.6 * moves.bow, 1, 2)
    wrists = elbows + _around(_limb(moves.lower, moves.lower_ahead, FOREARM), -0.6 * moves.bow, 1, 2)
    feet = moves.foot * [1.0, -1.0, 1.0]
    feet = feet - pelvis[:, None] + np.stack([moves.x * 0, -ANKLE - moves.lift, moves.x * 0], -1)[:, None]
    knees, ankles = _legs(hips, feet, moves.knee)
    face = _around(np.tile(FACE, (count, 1, 1)), moves.look, 2, 0)
    face = (
        _around(_around(face, moves.roll + moves.lean, 0, 1), -(moves.nod + moves.bow), 1, 2) + neck[:, None]
    )
    body = [face[:, 0], neck]
    for i in (0, 1):
        body += [shoulders[:, i], elbows[:, i], wrists[:, i]]
    for i in (0, 1):
        body += [hips[:, i], knees[:, i], ankles[:, i]]
    found = np.stack([*body, *(face[:, i] for i in (1, 2, 3, 4))], 1)
    return _around(found, moves.yaw, 2, 0) + pelvis[:, None]
