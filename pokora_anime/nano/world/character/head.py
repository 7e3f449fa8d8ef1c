"""Coordinates of the head: origin in its middle, chin at y = 14.5, half width about 13."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pokora_anime.nano.world.canvas import Points, rotate
from pokora_anime.nano.world.character.joint_motion import Pose
from pokora_anime.nano.world.scene import Scene


@dataclass(slots=True)
class HeadFrame:
    """Maps head points [n,2] to figure units; hair tips lag behind with the pose's sway."""

    center: Points
    angle: float
    size: float
    turn: float
    sway: float
    bounce: float

    def at(self, points: Points) -> Points:
        """Rigid points."""
        return self.center + rotate(points * self.size, self.angle)

    def hair(self, points: Points, root: float, tip: float) -> Points:
        """Hair points, moved more the farther they lie below y = root (all of it at y = tip)."""
        weight = np.clip((points[:, 1] - root) / (tip - root), 0.0, 1.3) ** 1.4
        moved = rotate(points * self.size, self.angle * 0.6 + self.angle * 0.4)
        moved[:, 0] += weight * self.sway
        moved[:, 1] += weight * self.bounce * 0.55
        return self.center + moved


def head_frame(scene: Scene, pose: Pose) -> HeadFrame:
    """The head's frame in a pose; grows from the chin so that the neck stays hidden."""
    size = scene.head_size
    return HeadFrame(pose.head, pose.head_angle, size, pose.turn, pose.sway, pose.bounce)


def mirrored(points: list[tuple[float, float]]) -> Points:
    """A closed symmetric outline from its image-right half, listed from top to bottom."""
    half = np.array(points, dtype=np.float64)
    return np.concatenate([half, half[::-1] * np.array([-1.0, 1.0])])
