"""Pictures that are nearly the same: a perceptual hash of the shapes, and coarse colours. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from scipy import fft

from pokora_anime.untrusted.png_pictures import Image

SIDE, LOW = 32, 8  # pixels that are transformed, and frequencies that are kept, a side
SAME_BITS = 4  # of 64
SAME_TONES = 6.0  # grey levels, on the mean of the cells
CELLS = 8  # a side


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Signs of the 64 lowest frequencies (pHash, Zauner 2010), and colours float32 [8, 8, 3]."""

    bits: npt.NDArray[np.bool_]
    tones: npt.NDArray[np.float32]

    def like(self, other: Fingerprint) -> bool:
        """Whether both are of nearly the same picture."""
        if int(np.count_nonzero(self.bits != other.bits)) > SAME_BITS:
            return False
        return float(np.abs(self.tones - other.tones).mean()) <= SAME_TONES


def fingerprint(rgb: Image) -> Fingerprint:
    """Of a picture uint8 [height, width, 3]."""
    picture = Pictures.fromarray(rgb)
    grey = picture.convert("L").resize((SIDE, SIDE), Pictures.Resampling.BOX)
    values = cast(npt.NDArray[np.float64], cast(Any, fft).dctn(np.asarray(grey, np.float64), norm="ortho"))
    low = values[:LOW, :LOW]
    tones = picture.resize((CELLS, CELLS), Pictures.Resampling.BOX)
    return Fingerprint(bits=low > np.median(low), tones=np.asarray(tones, np.float32))


def firsts(prints: Sequence[Fingerprint]) -> list[int | None]:
    """For each picture the index of the first one that it is nearly the same as; None for a new one."""
    kept: list[int] = []
    found: list[int | None] = []
    for index, one in enumerate(prints):
        same = next((other for other in kept if one.like(prints[other])), None)
        found.append(same)
        if same is None:
            kept.append(index)
    return found
