"""Where every joint is at a time: one periodic motion for each action."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.world.canvas import Points, rotate
from pokora_anime.nano.world.scene import Scene

UPPER_ARM, FOREARM, HAND = 13.0, 12.6, 3.4
THIGH, SHIN, ANKLE = 18.4, 18.4, 2.6
HEAD_UP = 17.2


@dataclass(slots=True)
class Key:
    """Pose parameters; lengths in units (the figure is about 100 tall), angles in degrees.

    Arm angles: 0 hangs down, 90 points to the image right, -90 to the image left.
    """

    pelvis_x: float
    drop: float
    lift: float
    lean: float
    hip_tilt: float
    head: float
    turn: float
    arms: tuple[tuple[float, float], tuple[float, float]]
    feet: tuple[tuple[float, float], tuple[float, float]]
    knees: tuple[float, float]


@dataclass(slots=True)
class Pose:
    """Joints in figure units (y down, ground at 0); index 0 is image left, 1 image right."""

    pelvis: Points
    neck: Points
    head: Points
    head_angle: float
    lean: float
    hip_tilt: float
    turn: float
    shoulders: NDArray[np.float64]
    elbows: NDArray[np.float64]
    wrists: NDArray[np.float64]
    hips: NDArray[np.float64]
    knees: NDArray[np.float64]
    ankles: NDArray[np.float64]
    lift: float
    sway: float
    bounce: float


def _standing(scene: Scene, w: float) -> Key:
    breath = sin(w)
    x = 0.9 * sin(w * 0.5)
    arm = 13 + 2.0 * breath
    return Key(
        x, 0.12 + 0.12 * breath, 0, 0.9 * sin(w * 0.5), 0, 2.2 * sin(w * 0.5 + 0.5), 0,
        ((-arm, -arm + 6), (arm, arm - 6)), ((-4.2, 0), (4.2, 0)), (-0.5, 0.5),
    )  # fmt: skip


def _waving(scene: Scene, w: float) -> Key:
    a = scene.amplitude
    swing = sin(w)
    wave = (112 + 4 * swing, 157 - 27 * a * swing)
    rest = (14 + sin(w), 8 + sin(w))
    left, right = (rest, wave) if scene.side > 0 else (wave, rest)
    s = scene.side
    return Key(
        -0.8 * s + 0.5 * swing * s, 0.2 + 0.15 * cos(w), 0, -1.5 * s, 0, (3.5 + 1.5 * swing) * s, 0,
        ((-left[0], -left[1]), right), ((-4.2, 0), (4.2, 0)), (-0.5, 0.5),
    )  # fmt: skip


def _arms_up(scene: Scene, w: float) -> Key:
    swing = sin(w) * scene.amplitude
    up, low = 129.0, 160.0
    return Key(
        1.2 * swing, 0.35 + 0.3 * cos(2 * w), 0, 2.0 * swing, 0, 3.0 * sin(w - 0.4), 0,
        ((-up - 7 * swing, -low - 11 * swing), (up - 7 * swing, low - 11 * swing)),
        ((-4.4, 0), (4.4, 0)), (-0.5, 0.5),
    )  # fmt: skip


def _walking(scene: Scene, w: float) -> Key:
    d, a = scene.side, scene.amplitude
    stride = 4.6 if scene.outfit == "kimono" else 8.0
    feet = tuple(
        (s * 1.7 + d * stride * a * cos(w + p), 5.0 * a * max(0.0, -sin(w + p)) ** 1.5)
        for s, p in ((-1, 0.0), (1, pi))
    )
    arms = tuple(
        (s * 20 - d * 17 * a * cos(w + p), s * 13 + d * (8 - 20 * a * cos(w + p)))
        for s, p in ((-1, 0.0), (1, pi))
    )
    return Key(
        0.9 * sin(w), 1.9 - 1.3 * cos(2 * w), 0, 2.0 * d + 1.6 * sin(w), 2 * sin(w), 1.5 * sin(w), d,
        (arms[0], arms[1]), (feet[0], feet[1]), (0.85 * d, 0.85 * d),
    )  # fmt: skip


def _jumping(scene: Scene, w: float) -> Key:
    p = (w / (2 * pi)) % 1.0
    height = (15.0 if scene.shot == "full body" else 7.0) * min(scene.amplitude, 1.05)
    q = p / 0.5
    air = 4 * q * (1 - q) if p < 0.5 else 0.0
    crouch = sin(pi * (p - 0.5) / 0.5) ** 2 if p >= 0.5 else 0.0
    smooth = 0.5 + 0.5 * sin(2 * pi * p)
    up = 32 + 92 * smooth
    low = 20 + 128 * smooth
    return Key(
        0, 0.2 + 5.5 * crouch, height * air, 0, 0, 2 * sin(w), 0,
        ((-up, -low), (up, low)),
        ((-4.6 - 1.2 * air, 2.2 * air), (4.6 + 1.2 * air, 3.8 * air)), (-0.6, 0.6),
    )  # fmt: skip


def _dancing(scene: Scene, w: float) -> Key:
    a = scene.amplitude
    s = sin(w) * scene.side
    left, right = 92 + 42 * a * s, 92 - 42 * a * s
    return Key(
        3.4 * a * s, 1.3 - 0.9 * cos(2 * w), 0, -5.0 * s, 7.0 * s, 6.0 * s, 0.35 * s,
        ((-left, -left - 26 - 12 * s), (right, right + 26 - 12 * s)),
        ((-4.8 + 0.6 * s, 3.4 * max(0.0, s) ** 1.5), (4.8 + 0.6 * s, 3.4 * max(0.0, -s) ** 1.5)),
        (-0.6, 0.6),
    )  # fmt: skip


_ACTIONS = {
    "standing": _standing,
    "waving": _waving,
    "arms up": _arms_up,
    "walking": _walking,
    "jumping": _jumping,
    "dancing": _dancing,
}


def _key(scene: Scene, time: float) -> Key:
    period = scene.period * (1.8 if scene.action == "standing" else 1.0)
    return _ACTIONS[scene.action](scene, 2 * pi * (time / period + scene.phase))


def _knee(hip: Points, ankle: Points, bend: float, thigh: float, shin: float) -> tuple[Points, Points]:
    """Two-bone inverse kinematics: knee and reached ankle; bend is the share seen of the knee's bend."""
    along = ankle - hip
    distance = float(np.hypot(along[0], along[1]))
    reach = min(distance, (thigh + shin) * 0.9995)
    direction = along / distance
    # The knee also comes towards the viewer, so only a share of the bend shows.
    across = np.array([direction[1], -direction[0]]) * bend
    a = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    height = sqrt(max(0.0, thigh**2 - a**2))
    return hip + direction * a + across * height, hip + direction * reach


def _swing(angle: float, length: float) -> Points:
    return np.array([sin(radians(angle)), cos(radians(angle))]) * length


def solve(scene: Scene, time: float) -> Pose:
    """The pose of the scene's action at a time in seconds."""
    key = _key(scene, time)
    past = _key(scene, time - 0.13)
    legs, arms = scene.leg_length, scene.arm_length
    thigh, shin = THIGH * legs, SHIN * legs
    pelvis = np.array([key.pelvis_x, -(thigh + shin) - ANKLE - 1.35 + key.drop - key.lift])
    lean, hip_tilt = radians(key.lean), radians(key.hip_tilt)
    neck = pelvis + rotate(np.array([[0.0, -24.5]]), lean)[0]
    shoulders = neck + rotate(np.array([[-8.0, 2.6], [8.0, 2.6]]), lean * 1.6 - hip_tilt * 0.3)
    head_angle = lean + radians(key.head)
    head = neck + rotate(np.array([[0.0, -HEAD_UP]]), head_angle)[0]
    hips = pelvis + rotate(np.array([[-4.0, 1.4], [4.0, 1.4]]), hip_tilt)
    elbows, wrists, knees, ankles = (np.zeros((2, 2)) for _ in range(4))
    for i in (0, 1):
        upper, lower = key.arms[i]
        elbows[i] = shoulders[i] + _swing(upper, UPPER_ARM * arms)
        wrists[i] = elbows[i] + _swing(lower, FOREARM * arms)
        foot = np.array([key.feet[i][0], -ANKLE - key.feet[i][1] - key.lift])
        knees[i], ankles[i] = _knee(hips[i], foot, key.knees[i], thigh, shin)
    wind = 0.5 * sin(time * 1.7 + 6.3 * scene.phase)
    sway = (past.pelvis_x - key.pelvis_x) * 1.2 + (past.head + past.lean - key.head - key.lean) * 0.22
    bounce = (past.lift - past.drop) - (key.lift - key.drop)
    return Pose(
        pelvis, neck, head, head_angle, lean, hip_tilt, key.turn, shoulders, elbows, wrists,
        hips, knees, ankles, key.lift, sway + wind - key.turn * 0.8, max(-6.0, min(6.0, bounce)),
    )  # fmt: skip
