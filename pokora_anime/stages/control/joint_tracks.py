"""Joints over time: read frame by frame they tremble, and limbs drawn after them tremble with them."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pokora_anime.stages.control.control_maps import CONFIDENT

LEAST = 5  # frames: a quadratic goes through three points as they are
DEGREE = 2


class _Signal(Protocol):
    """scipy.signal, which has no types."""

    def savgol_filter(
        self, x: NDArray[np.float64], window_length: int, polyorder: int, *, mode: str
    ) -> NDArray[np.float64]: ...


class _Ndimage(Protocol):
    """scipy.ndimage, which has no types."""

    def convolve1d(
        self, input: NDArray[np.int64], weights: NDArray[np.float64], *, axis: int, mode: str
    ) -> NDArray[np.int64]: ...


def smoothed(joints: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Joints that move smoothly: a quadratic through `window` frames around each (Savitzky, Golay 1964).

    float32 [frames,18,3]: x and y in pixels, and how sure the extractor is. A joint is there where half
    of the window sees it, at a place between those where it was seen. Of few frames the window is what
    fits; where that is less than five frames, nothing changes.
    """
    from scipy import signal  # a third of a second, and only drafts need it

    savgol_filter = cast("_Signal", signal).savgol_filter
    window = min(window, len(joints) - 1 + len(joints) % 2)
    if window < LEAST:
        return joints
    there = _mostly(joints[..., 2] >= CONFIDENT, window)
    found = joints.copy()
    found[..., 2] = np.where(there, np.maximum(joints[..., 2], CONFIDENT), 0)
    frames = np.arange(len(joints))
    for joint in range(joints.shape[1]):
        known = joints[:, joint, 2] >= CONFIDENT
        if not known.any():
            continue
        for axis in (0, 1):
            path = np.interp(frames, frames[known], joints[known, joint, axis])
            found[:, joint, axis] = savgol_filter(path, window, DEGREE, mode="interp")
    return found


def _mostly(seen: NDArray[np.bool_], window: int) -> NDArray[np.bool_]:
    """Whether at least half of the frames around each, as many as there are, see a joint."""
    from scipy import ndimage

    convolve1d = cast("_Ndimage", ndimage).convolve1d
    kernel = np.ones(window)
    counts = convolve1d(seen.astype(np.int64), kernel, axis=0, mode="constant")
    frames = convolve1d(np.ones((len(seen), 1), np.int64), kernel, axis=0, mode="constant")
    return 2 * counts >= frames
