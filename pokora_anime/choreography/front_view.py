"""Planned poses as the drawn world can show them: it knows figures from the front alone.

Its heads turn by sliding the face sideways and never nod, and its shoulders are never seen from the side.
"""

from __future__ import annotations

import numpy as np

from pokora_anime.choreography.body import Array
from pokora_anime.choreography.skeleton import BONES, FACE, LENGTHS, REST

NECK_TO_NOSE, NOSE_TO_EYE, EYE_TO_EAR = (0.0, -11.8), (6.3, -3.9), (6.9, 0.1)
TURN = 1.8  # units that a face is seen to slide sideways at most
TURNED = 5.0  # and that the nose of one that turns goes for three quarters of that
NOD = 9.0  # units that a head sinks at most
ROLL = 14.0  # degrees that it is tilted at most
NARROWEST = 0.6  # of their width that shoulders and hips are seen at least
LEAST_TRUNK = 0.72  # of its height that a bent trunk is seen at least
RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP, NOSE, RIGHT_EYE, LEFT_EYE = 0, 3, 6, 9, 12, 13, 15
LIMBS = [1, 2, 4, 5, 7, 8, 10, 11]
_ENDS = 2 * len(BONES)


def shown(poses: Array) -> Array:
    """Poses [N,FEATURES] with the head and the trunk as the drawn world knows them."""
    bones = poses[:, :_ENDS].reshape(len(poses), -1, 2) * LENGTHS[:, None]
    _trunk(bones)
    _head(bones)
    seen = poses.copy()
    seen[:, :_ENDS] = (bones / LENGTHS[:, None]).reshape(len(poses), -1)
    seen[:, _ENDS + 2 :][:, : len(FACE)] = 1.0
    return seen


def _trunk(bones: Array) -> None:
    """Shoulders and hips to the viewer, no narrower or lower than can be drawn, and the limbs with them."""
    width = bones[:, LEFT_SHOULDER, 0] - bones[:, RIGHT_SHOULDER, 0]
    facing = width / np.sqrt(width**2 + 4.0)  # -1 with the back to the viewer
    bones[:, LIMBS, 0] *= facing[:, None]
    for right, left in ((RIGHT_SHOULDER, LEFT_SHOULDER), (RIGHT_HIP, LEFT_HIP)):
        middle, rest = (bones[:, right] + bones[:, left]) / 2, REST[left]
        half = NARROWEST * rest[0] + _over(
            np.abs(bones[:, left, 0] - bones[:, right, 0]) / 2 - NARROWEST * rest[0]
        )
        tilt = facing * (bones[:, left, 1] - bones[:, right, 1]) / 2
        middle[:, 1] = LEAST_TRUNK * rest[1] + _over(middle[:, 1] - LEAST_TRUNK * rest[1])
        bones[:, right] = middle - np.stack([half, tilt], -1)
        bones[:, left] = middle + np.stack([half, tilt], -1)


def _over(excess: Array) -> Array:
    """What lies over a limit, 0 below it, without a corner."""
    return 0.5 * (excess + np.sqrt(excess**2 + 0.25))


def _head(bones: Array) -> None:
    """Nose, eyes and ears of a head that is tilted and whose face slides."""
    across = bones[:, LEFT_EYE] - bones[:, RIGHT_EYE]
    away = across[:, 0] < 0
    across[away] *= -1
    roll = np.radians(ROLL) * np.tanh(np.arctan2(across[:, 1], across[:, 0] + 1.0) / np.radians(ROLL))
    nose = _turned(bones[:, NOSE], -roll)
    turn = TURN * np.tanh(nose[:, 0] / TURNED)
    sunk = np.clip(nose[:, 1] - NECK_TO_NOSE[1], 0, None)
    sunk = NOD * np.tanh(sunk / NOD)
    bones[:, NOSE] = _turned(np.stack([turn, NECK_TO_NOSE[1] + sunk], -1), roll)
    for side, eye in ((-1, RIGHT_EYE), (1, LEFT_EYE)):
        bones[:, eye] = _turned(np.tile([side * NOSE_TO_EYE[0], NOSE_TO_EYE[1]], (len(roll), 1)), roll)
        ear = np.stack([side * EYE_TO_EAR[0] - turn, np.full(len(roll), EYE_TO_EAR[1])], -1)
        bones[:, eye + 1] = _turned(ear, roll)


def _turned(vectors: Array, angle: Array) -> Array:
    """Vectors [N,2] turned by an angle each."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        [cos * vectors[:, 0] - sin * vectors[:, 1], sin * vectors[:, 0] + cos * vectors[:, 1]], -1
    )
