"""The published networks' shapes, for building them without their weights: random, or on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel, UNetMotionModel

from pokora_anime.catalogue.lora.lora_shapes import SD2_UNET, SDXL_UNET, SDXL_VAE
from pokora_anime.networks.motion_unet import build_motion_unet

_SDXL_UNET: dict[str, Any] = {"sample_size": 128, "layers_per_block": 2, **SDXL_UNET}
_SD2_UNET: dict[str, Any] = {
    "sample_size": 96,
    "block_out_channels": (320, 640, 1280, 1280),
    **SD2_UNET,
}
_TEMPORAL: dict[str, dict[str, Any]] = {
    "sdxl": {"block_out_channels": (320, 640, 1280), "motion_max_seq_length": 32},
    "sd2": {"block_out_channels": (320, 640, 1280, 1280), "motion_max_seq_length": 32},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSize:
    """The networks of a published family; their weights are whatever torch starts with."""

    family: str
    unet: UNet2DConditionModel
    adapter: MotionAdapter
    vae: AutoencoderKL

    def motion(self) -> UNetMotionModel:
        """The motion UNet; shares its tensors with `unet` and `adapter`."""
        return build_motion_unet(self.unet, self.adapter)

    def controlnet(self) -> ControlNetModel:
        """A ControlNet of this base."""
        return ControlNetModel.from_unet(
            self.unet, conditioning_embedding_out_channels=(16, 32, 96, 256), load_weights_from_unet=False
        )


def build(family: str) -> FullSize:
    """SDXL 1.0 or SD 2.1 with AnimateDiff's temporal layers, on the default device."""
    return FullSize(
        family=family,
        unet=UNet2DConditionModel(**(_SDXL_UNET if family == "sdxl" else _SD2_UNET)),
        adapter=MotionAdapter(use_motion_mid_block=False, **_TEMPORAL[family]),
        vae=AutoencoderKL(**SDXL_VAE),
    )
