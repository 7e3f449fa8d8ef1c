"""Pictures as networks that work on pixels take and give them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pokora_anime.provenance.stage_records import Image
from pokora_anime.system.typed_tensors import from_array


def to_tensor(frame: Image, device: torch.device) -> Tensor:
    """A picture [h, w, 3] as float32 [1, 3, h, w] in 0..1."""
    pixels = from_array(np.ascontiguousarray(frame)).to(device)
    return pixels.permute(2, 0, 1)[None].float() / 255


def to_frame(values_3HW: Tensor) -> Image:
    """Values in 0..1 as a picture [h, w, 3]."""
    levels = (values_3HW * 255).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()
