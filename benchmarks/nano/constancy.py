"""Colour constancy: in how many frames of a clip outfit, hair and eyes have the clip's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]  # [frames, height, width, 3]
Joints = NDArray[np.float32]  # [18, 3]: x, y in pixels, presence
Mask = NDArray[np.bool_]  # [height, width]

CUBE = 8.0  # of CIE Lab: a side of the cubes that colours are counted in
NEAR = 20.0  # Delta E (CIE76) that a colour is away from another at most to count as the same, shaded or lit
KEPT = 0.7  # of what usually has the clip's own colour, in a frame that keeps it
FEWEST = 6  # pixels of a region that tell anything
SURE = 0.5
RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP, RIGHT_EYE, LEFT_EYE = 2, 5, 8, 11, 14, 15


def constancy(clip: Clip, tracks: NDArray[np.float32]) -> dict[str, float | None]:
    """The share of frames, by region, that keep the clip's own colour; None where it is never seen.

    Its own colour is the one that most of the region has over the clip. A frame keeps it if at least KEPT of
    the share that has it in the median frame has it there too: what lies over the region now and then is
    allowed, a patch of another colour is not. `tracks` [frames,18,3] say where she is.
    """
    lab = [cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) for frame in clip]
    found: dict[str, float | None] = {}
    for name, region in REGIONS.items():
        masks = [region(joints, frame.shape[:2]) for joints, frame in zip(tracks, clip, strict=True)]
        seen = [colors[mask] for colors, mask in zip(lab, masks, strict=True) if mask.sum() >= FEWEST]
        found[name] = _kept(seen) if seen else None
    return found


def _kept(seen: list[NDArray[np.float32]]) -> float:
    """The share of frames that keep their own colour; of each frame the colours [n,3] of its region."""
    own = _own(np.concatenate(seen))
    shares = np.array([(np.linalg.norm(colors - own, axis=1) < NEAR).mean() for colors in seen])
    return float((shares >= KEPT * np.median(shares)).mean())


def _own(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colour [3] around which most of colours [n,3] lie (mean shift from the fullest cube)."""
    cubes, counts = np.unique(np.round(colors / CUBE), axis=0, return_counts=True)
    own = (cubes[counts.argmax()] * CUBE).astype(np.float32)
    for _ in range(3):
        near = colors[np.linalg.norm(colors - own, axis=1) < NEAR]
        own = near.mean(0) if len(near) else own
    return own


def _outfit(joints: Joints, size: tuple[int, ...]) -> Mask:
    """The inner part of the trunk."""
    corners = joints[[RIGHT_SHOULDER, LEFT_SHOULDER, LEFT_HIP, RIGHT_HIP]]
    if (corners[:2, 2] < SURE).any():
        return np.zeros(size[:2], np.bool_)
    middle = corners[:, :2].mean(0)
    return _filled(middle + 0.7 * (corners[:, :2] - middle), size)


def _hair(joints: Joints, size: tuple[int, ...]) -> Mask:
    """What is over the eyes: hair in front of the forehead."""
    apart = _eyes_apart(joints)
    if apart is None:
        return np.zeros(size[:2], np.bool_)
    up = np.array([apart[1], -apart[0]])
    return _disc(joints[[RIGHT_EYE, LEFT_EYE], :2].mean(0) + 1.05 * up, 0.55 * float(np.hypot(*apart)), size)


def _eyes(joints: Joints, size: tuple[int, ...]) -> Mask:
    """Both eyes."""
    apart = _eyes_apart(joints)
    if apart is None:
        return np.zeros(size[:2], np.bool_)
    radius = 0.2 * float(np.hypot(*apart))
    return _disc(joints[RIGHT_EYE, :2], radius, size) | _disc(joints[LEFT_EYE, :2], radius, size)


REGIONS: Mapping[str, Callable[[Joints, tuple[int, ...]], Mask]] = {
    "outfit": _outfit,
    "hair": _hair,
    "eyes": _eyes,
}


def _eyes_apart(joints: Joints) -> NDArray[np.float32] | None:
    if (joints[[RIGHT_EYE, LEFT_EYE], 2] < SURE).any():
        return None
    return joints[LEFT_EYE, :2] - joints[RIGHT_EYE, :2]


def _disc(center: NDArray[np.float32], radius: float, size: tuple[int, ...]) -> Mask:
    ys, xs = np.mgrid[0 : size[0], 0 : size[1]]
    return np.hypot(xs - center[0], ys - center[1]) <= radius


def _filled(corners: NDArray[np.float32], size: tuple[int, ...]) -> Mask:
    mask = np.zeros(size[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
    return mask > 0
