"""The standard OpenPose picture of 18 joints."""

from __future__ import annotations

from math import atan2, degrees, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLORS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip


def openpose_map(
    joints: NDArray[np.float32], size: int, half_width: float | None = None
) -> NDArray[np.uint8]:
    """RGB uint8 [size,size,3] on black from joints [18,3] in pixels; invisible ones skipped.

    `half_width` of limbs in pixels is controlnet_aux's for the size unless it is given.
    Limbs are ellipses at 0.6 brightness and joints are discs, as in controlnet_aux `draw_bodypose`.
    """
    image: NDArray[np.uint8] = np.zeros((size, size, 3), np.uint8)
    width = half_width or max(1.0, size * 4 / 512 * 1.5)
    for (a, b), color in zip(LIMBS, COLORS[:17], strict=True):
        if joints[a, 2] < 0.5 or joints[b, 2] < 0.5:
            continue
        (ax, ay), (bx, by) = joints[a, :2].tolist(), joints[b, :2].tolist()
        center = (round((ax + bx) * 8), round((ay + by) * 8))
        axes = (max(1, round(hypot(bx - ax, by - ay) * 8)), round(width * 16))
        angle = degrees(atan2(by - ay, bx - ax))
        dim = tuple(int(c * 0.6) for c in color)
        cv2.ellipse(image, center, axes, angle, 0, 360, dim, -1, cv2.LINE_AA, 4)
    for joint, color in zip(joints, COLORS, strict=True):
        if joint[2] >= 0.5:
            center = (round(float(joint[0]) * 16), round(float(joint[1]) * 16))
            cv2.circle(image, center, round(width * 16), color, -1, cv2.LINE_AA, 4)
    return image
