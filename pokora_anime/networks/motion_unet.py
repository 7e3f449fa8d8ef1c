"""The motion UNet: a 2D UNet with AnimateDiff's temporal layers, complete (arXiv 2307.04725)."""

from __future__ import annotations

from typing import cast

import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

from pokora_anime.errors import WeightsError


def build_motion_unet(unet: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
    """The motion UNet of a base and an adapter; takes over their tensors without copying them.

    `UNetMotionModel.from_unet2d` (diffusers 0.42) copies part by part and forgets SDXL's
    `add_embedding`, which then stays random. Here every tensor must come from one of the two, or
    loading fails. Raises WeightsError WGT-ADAPTER when the two do not fit.
    """
    groups = (unet.config["norm_num_groups"], adapter.config["motion_norm_num_groups"])
    if groups[0] != groups[1]:
        # diffusers builds the temporal layers with the UNet's groups, whatever the adapter says.
        raise WeightsError(
            "WGT-ADAPTER", f"the adapter normalises in {groups[1]} groups", expected=str(groups[0])
        )
    try:
        with torch.device("meta"):  # no time and memory for weights that are replaced at once
            made = UNetMotionModel.from_unet2d(unet, adapter, load_weights=False)
        motion = cast(UNetMotionModel, made)
        motion.load_state_dict({**unet.state_dict(), **adapter.state_dict()}, strict=True, assign=True)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            "WGT-ADAPTER",
            f"the motion adapter does not fit the base: {str(error)[:200]}",
            fix="use the motion adapter that the base's preset names",
        ) from error
    return motion
