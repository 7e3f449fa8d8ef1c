"""The keyframe's latent in each planned pose: what a segment under a choreography starts from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.choreography.skinning import skin
from pokora_anime.provenance.stage_records import Posed
from pokora_anime.system.typed_tensors import from_array

CELL = 8  # pixels a side of what one latent pixel shows


def before(start_CFHW: Tensor, behind_CFHW: Tensor, poses: Posed) -> Tensor:
    """A posed start with something else behind its figure: [C, F, H, W]."""
    height, width = start_CFHW.shape[-2:]
    hers = [
        skin(joints, poses.keyframe, (height, width), CELL).hers
        for joints in poses.joints[: start_CFHW.shape[1]]
    ]
    share = from_array(np.stack(hers)).to(start_CFHW)
    return share * start_CFHW + (1 - share) * behind_CFHW


def posed(latent_CHW: Tensor, poses: Posed, frames: int) -> Tensor:
    """The latent with its figure in the first `frames` poses: float32 [C, frames, H, W].

    What is not hers stays where it is. Denoised from early on, what limbs pull apart is drawn anew.
    """
    height, width = latent_CHW.shape[-2:]
    at = np.stack([_sampled(poses, frame, (height, width)) for frame in range(frames)])
    shown = latent_CHW.float().cpu()[None].expand(frames, -1, -1, -1)
    moved = functional.grid_sample(
        shown, from_array(at), mode="bilinear", padding_mode="border", align_corners=False
    )
    return moved.transpose(0, 1).contiguous()


def _sampled(poses: Posed, frame: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Where each latent pixel is fetched from, [H,W,2] in -1 to 1 from edge to edge."""
    places = skin(poses.joints[frame], poses.keyframe, size, CELL).places
    edge = np.array([size[1] * CELL, size[0] * CELL], np.float32)
    return np.asarray((places + 0.5) / edge * 2 - 1, np.float32)
