"""Drawings of a figure whose joints are given: what the world's own actions never show, she can be drawn
doing, seen from the front.

Joints are 18 OpenPose joints in pixels of the drawing, [18,2] or [18,3]; what lies outside of the frame has
a place too.
"""

from __future__ import annotations

from math import degrees, sin

import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.world.canvas import Points, rotate
from pokora_anime.nano.world.character.joint_motion import ANKLE, Pose
from pokora_anime.nano.world.draw import OVERSAMPLE, Frame, camera_at, draw_pose, placing
from pokora_anime.nano.world.scene import Scene

EARS, FACE_SLIDE = 4.0, 1.7  # units from the head's middle down to the ears; that the face slides a turn
HIPS_DOWN, NECK_DOWN = 1.4, 2.4  # units from the pelvis and the neck of a pose down to its joints
LAG = 0.13  # seconds that hair hangs behind
MOST_BOUNCE = 6.0


def draw_posed(
    scene: Scene, time: float, joints: NDArray[np.floating], before: NDArray[np.floating], size: int
) -> Frame:
    """The scene at a time in seconds with its figure in the pose of `joints`, a square of `size` pixels.

    Joints are seen with the camera of time 0, as a clip's poses are planned; `before`: those LAG seconds
    earlier, which hair still follows.
    """
    side = size * OVERSAMPLE
    scale, origin = placing(scene, camera_at(scene, 0.0), side)
    now, then = ((np.asarray(each)[:, :2] * OVERSAMPLE - origin) / scale for each in (joints, before))
    return draw_pose(scene, time, pose_of(now, then, scene, time), size)


def pose_of(joints: Points, before: Points, scene: Scene, time: float) -> Pose:
    """The pose whose joints in figure units [18,2] are `joints`."""
    head, angle, turn = _head(joints, scene)
    pelvis, tilt, lean, neck = _trunk(joints)
    _, angle_before, _ = _head(before, scene)
    pelvis_before, _, _, _ = _trunk(before)
    sway = (pelvis_before[0] - pelvis[0]) * 1.2 + degrees(angle_before - angle) * 0.22
    wind = 0.5 * sin(time * 1.7 + 6.3 * scene.phase)
    return Pose(
        pelvis=pelvis, neck=neck, head=head, head_angle=angle, lean=lean, hip_tilt=tilt, turn=turn,
        shoulders=joints[[2, 5]], elbows=joints[[3, 6]], wrists=joints[[4, 7]],
        hips=joints[[8, 11]], knees=joints[[9, 12]], ankles=joints[[10, 13]],
        lift=max(0.0, -float(joints[[10, 13], 1].max()) - ANKLE), sway=sway + wind - turn * 0.8,
        bounce=float(np.clip(pelvis[1] - pelvis_before[1], -MOST_BOUNCE, MOST_BOUNCE)),
    )  # fmt: skip


def _head(joints: Points, scene: Scene) -> tuple[Points, float, float]:
    """Middle, angle in radians and turn of the head; the face slides between the ears as it turns."""
    eyes, ears = joints[[14, 15]].mean(0), joints[[16, 17]].mean(0)
    across = joints[17] - joints[16]
    angle = float(np.arctan2(across[1], across[0]))
    slide = rotate((eyes - ears)[None], -angle)[0]
    middle = ears - rotate(np.array([[0.0, EARS * scene.head_size]]), angle)[0]
    return middle, angle, float(slide[0]) / (scene.head_size * FACE_SLIDE)


def _trunk(joints: Points) -> tuple[Points, float, float, Points]:
    """Pelvis, tilt of the hips, lean of the back (radians) and neck."""
    across = joints[11] - joints[8]
    tilt = float(np.arctan2(across[1], across[0]))
    pelvis = joints[[8, 11]].mean(0) - rotate(np.array([[0.0, HIPS_DOWN]]), tilt)[0]
    up = joints[1] - pelvis
    lean = float(np.arctan2(up[0], -up[1]))
    return pelvis, tilt, lean, joints[1] - rotate(np.array([[0.0, NECK_DOWN]]), lean)[0]
