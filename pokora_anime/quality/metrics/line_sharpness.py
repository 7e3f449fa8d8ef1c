"""How sharp the lines of a picture are: the width of the gradients across its outlines."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image

REACH, STEP = 9.0, 0.5  # pixels to both sides of an edge, and from one sample to the next
LEAST = 60.0  # grey levels from one side of an edge to the other: an outline's, not a shade's
MOST = 3000  # edges that are looked at
RISING = 0.25  # grey levels a sample by which a gradient goes on
WEAK, STRONG = 40, 110  # thresholds of the edge detector, low enough for blurred outlines
SEED = 7

Floats = npt.NDArray[np.float32]


def line_width(picture: Image) -> float | None:
    """Median width in pixels of the gradients across outlines; None for a picture without outlines.

    Of each edge the profile along its normal is followed while it rises: its width is the contrast of its
    two ends over its steepest slope (after Marziliano et al., ICIP 2002), which no contrast changes.
    """
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    profiles = _profiles(grey)
    if not len(profiles):
        return None
    rises = np.diff(profiles, axis=1)
    middle = rises.shape[1] // 2
    going = rises > RISING
    onwards = np.logical_and.accumulate(going[:, middle:], axis=1)
    backwards = np.logical_and.accumulate(going[:, middle - 1 :: -1], axis=1)[:, ::-1]
    gradient = rises * np.concatenate([backwards, onwards], axis=1)
    contrast, slope = gradient.sum(1), gradient.max(1) / STEP
    outlines = contrast >= LEAST
    return float(np.median(contrast[outlines] / slope[outlines])) if outlines.any() else None


def clip_line_width(pictures: Iterable[Image]) -> float | None:
    """The median over pictures; None where none has outlines."""
    known = [width for picture in pictures if (width := line_width(picture)) is not None]
    return float(np.median(known)) if known else None


def _profiles(grey: npt.NDArray[np.uint8]) -> Floats:
    """Grey levels along the normals of edges, [edges, samples], rising from dark to bright."""
    right = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    ys, xs = np.nonzero(cv2.Canny(grey, WEAK, STRONG))
    if len(ys) > MOST:
        kept = np.random.default_rng(SEED).choice(len(ys), MOST, replace=False)
        ys, xs = ys[kept], xs[kept]
    length = np.hypot(right[ys, xs], down[ys, xs])
    ys, xs, length = (part[length > 0] for part in (ys, xs, length))
    along = np.arange(-REACH, REACH + STEP, STEP, dtype=np.float32)
    columns = xs[:, None] + along * (right[ys, xs] / length)[:, None]
    rows = ys[:, None] + along * (down[ys, xs] / length)[:, None]
    if not len(ys):
        return np.zeros((0, len(along)), np.float32)
    sampled = cv2.remap(
        grey.astype(np.float32),
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(sampled, np.float32)
