"""Buckets: the sizes at which pictures of other shapes are trained, all of about one area. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pictures

from pokora_anime.untrusted.png_pictures import Image

STEEPEST = 2.25  # the longer side in shorter ones


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Bucket:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def words(self) -> str:
        """As a reader knows it."""
        return f"{self.width}x{self.height}"


def buckets(side: int, step: int) -> list[Bucket]:
    """The sizes of an area of about `side` squared, in multiples of `step` pixels."""
    found: set[Bucket] = set()
    for width in range(step, round(side * STEEPEST) + 1, step):
        height = max(step, round(side * side / width / step) * step)
        if max(width / height, height / width) <= STEEPEST:
            found.add(Bucket(width=width, height=height))
    return sorted(found)


def nearest(width: int, height: int, side: int, step: int) -> Bucket:
    """The bucket whose shape is nearest to a picture's."""
    shape = np.log(width / height)
    return min(buckets(side, step), key=lambda one: abs(float(np.log(one.width / one.height) - shape)))


def cropped(width: int, height: int, bucket: Bucket) -> float:
    """The share of a picture that its bucket cuts off."""
    shape, wanted = width / height, bucket.width / bucket.height
    return 1.0 - min(shape, wanted) / max(shape, wanted)


def fitted(rgb: Image, bucket: Bucket) -> Image:
    """The picture scaled and cropped to its bucket; of what is cut, more at the bottom: heads stay."""
    height, width = rgb.shape[:2]
    scale = max(bucket.width / width, bucket.height / height)
    size = (max(bucket.width, round(width * scale)), max(bucket.height, round(height * scale)))
    how = Pictures.Resampling.BOX if scale < 0.5 else Pictures.Resampling.LANCZOS
    scaled = Pictures.fromarray(rgb).resize(size, how, reducing_gap=3.0 if scale < 0.5 else None)
    left, top = (size[0] - bucket.width) // 2, (size[1] - bucket.height) // 4
    return np.asarray(scaled.crop((left, top, left + bucket.width, top + bucket.height)), np.uint8)
