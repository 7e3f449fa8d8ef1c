"""What the nano bench counts, as pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

Joints = NDArray[np.float32]  # [18, 3]: x, y in pixels, visible or confidence
Floats = NDArray[np.float64]

LIMB_ENDS = (3, 4, 6, 7, 9, 10, 12, 13)  # elbows, wrists, knees, ankles
NECK, HIPS = 1, (8, 11)
CONFIDENT = 0.5
PCK = 0.1
RESAMPLES = 2000


def pck(asked: Joints, found: Joints) -> tuple[int, int]:
    """How many of the asked picture's visible limb ends were found in place, and how many there are.

    In place means confident and within a tenth of the torso (neck to the middle of the hips).
    """
    torso = float(np.linalg.norm(asked[NECK, :2] - asked[list(HIPS), :2].mean(0)))
    wanted = [k for k in LIMB_ENDS if asked[k, 2] > CONFIDENT]
    near = [
        found[k, 2] >= CONFIDENT and np.linalg.norm(found[k, :2] - asked[k, :2]) < PCK * torso for k in wanted
    ]
    return int(sum(near)), len(wanted)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson correlation of two maps; b is scaled to a's size. 0 where one of them is flat."""
    other = cv2.resize(np.asarray(b, np.float32), a.shape[::-1], interpolation=cv2.INTER_AREA)
    x, y = a.astype(np.float64).ravel(), np.asarray(other, np.float64).ravel()
    x, y = x - x.mean(), y - y.mean()
    spread = sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 1e-12 else 0.0


def mean_lab(rgb: NDArray[np.uint8]) -> Floats:
    """The mean colour [3] of a picture in CIE Lab (D65): L 0..100, a, b."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    return lab.reshape(-1, 3).mean(0).astype(np.float64)


def color_shift(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Delta E (CIE76) of paired mean colours [n,3]: the mean of the pairs', and that of the means."""
    apart = np.linalg.norm(ours - theirs, axis=1).mean()
    return float(apart), float(np.linalg.norm(ours.mean(0) - theirs.mean(0)))


def psnr(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """dB of one picture against another."""
    error = np.square(found.astype(np.float64) - wanted.astype(np.float64)).mean() / 255**2
    return float(-10 * np.log10(max(error, 1e-10)))


def proportion_interval(right: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) without observations."""
    if count == 0:
        return 0.0, 1.0
    z = 1.96
    middle = (right / count + z * z / (2 * count)) / (1 + z * z / count)
    share = right / count
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_difference(a: Floats, b: Floats, seed: int = 0) -> tuple[float, float, float]:
    """Mean of a - b over pairs [n] and its 95 % interval, by resampling pairs."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(difference), size=(RESAMPLES, len(difference)))
    low, high = np.quantile(difference[chosen].mean(1), (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)


def share(right: Sequence[float]) -> float:
    """Mean; NaN for nothing."""
    return float(np.mean(right)) if len(right) else float("nan")


def middle_frames(frames: int) -> range:
    """The middle third of a clip, as far from its start as from its end; at least two frames."""
    count = max(2, frames // 3)
    count += (frames - count) % 2
    start = (frames - count) // 2
    return range(start, start + count)
