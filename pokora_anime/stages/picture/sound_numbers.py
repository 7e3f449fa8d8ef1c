"""Numbers that are pictures: what is not finite or shows one colour stops the run instead of being signed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pokora_anime.errors import PictureError
from pokora_anime.provenance.stage_records import Image

_FLAT = 2  # levels between the darkest and the lightest pixel of a channel that no picture keeps within
_FIX = "leave out LoRAs one after the other (`pokora models` lists them), or device.dtype=fp32"


def require_finite(latents: Tensor, part: str) -> Tensor:
    """The latents as they are. Raises PictureError WGT-NAN where one of their numbers is not finite."""
    finite = torch.isfinite(latents)
    if not bool(finite.all()):
        bad = int(latents.numel() - int(finite.sum()))
        raise PictureError(
            "WGT-NAN",
            f"{part}: {bad} of {latents.numel()} numbers are not finite, which makes no picture",
            expected="weights of finite numbers, in a format whose range they keep within",
            fix=_FIX,
        )
    return latents


def require_picture(frame: Image, part: str) -> Image:
    """The frame as it is. Raises PictureError WGT-BLANK where all of it has one colour."""
    least, most = (reduce(frame, axis=(0, 1)).astype(int) for reduce in (np.min, np.max))
    if int((most - least).max()) <= _FLAT:
        colour = ", ".join(str(int(level)) for level in least)
        raise PictureError(
            "WGT-BLANK",
            f"{part}: a frame of one colour ({colour}), which is no picture",
            expected="weights and settings that make one",
            fix=_FIX,
        )
    return frame
