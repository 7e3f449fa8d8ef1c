"""Whether what a LoRA draws is a drawing of its data set, and not a new one: the nearest, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from pokora_anime.untrusted.png_pictures import Image

SIDE = 32  # pixels at which pictures are compared: composition and colours, no lines
COPY = 0.6  # of the least distance between two drawings of the data set


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A picture, the drawing that is nearest to it, and their distance in grey levels."""

    picture: int
    drawing: int
    distance: float


def nearest(made: Sequence[Image], drawings: Sequence[Image]) -> list[Nearest]:
    """For each picture the nearest drawing, the nearest pair first."""
    apart = _distances(_small(made), _small(drawings))
    found = [
        Nearest(picture=index, drawing=int(row.argmin()), distance=float(row.min()))
        for index, row in enumerate(apart)
    ]
    return sorted(found, key=lambda one: one.distance)


def usual(drawings: Sequence[Image]) -> float:
    """The least distance between two drawings of a data set, in grey levels."""
    small = _small(drawings)
    apart = _distances(small, small)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min())


def copies(found: Sequence[Nearest], least: float) -> list[Nearest]:
    """Pictures nearer to a drawing than drawings are to one another."""
    return [one for one in found if one.distance < COPY * least]


def _small(pictures: Sequence[Image]) -> NDArray[np.float32]:
    """[n, 32, 32, 3]; the middle square of each."""
    rows: list[NDArray[np.float32]] = []
    for picture in pictures:
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Pictures.fromarray(np.ascontiguousarray(picture[top : top + side, left : left + side]))
        rows.append(np.asarray(square.resize((SIDE, SIDE), Pictures.Resampling.BOX), np.float32))
    return np.stack(rows)


def _distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.stack([np.abs(one[None] - second).mean((1, 2, 3)) for one in first]).astype(np.float64)
