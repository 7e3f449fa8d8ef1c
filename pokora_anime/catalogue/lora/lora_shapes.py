"""The networks of every base without their numbers: what a LoRA must fit before any weights are here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol, cast

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pokora_anime.catalogue.lora.lora_names import ENCODER_2, UNET
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.installed_package import NANO_WEIGHTS

Settings = Mapping[str, object]

SDXL_UNET: Settings = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SD2_UNET: Settings = {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
SDXL_VAE: Settings = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
}
# SD2 runs with AnimateDiff's modules for SD 1.5, which have the same widths.
_MOTION: Mapping[Family, Settings] = {
    Family.sdxl: {
        "block_out_channels": (320, 640, 1280),
        "motion_max_seq_length": 32,
        "use_motion_mid_block": False,
    },
    Family.sd2: {"block_out_channels": (320, 640, 1280, 1280), "motion_max_seq_length": 32},
}
SDXL_CLIP_L: Settings = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
SDXL_CLIP_G: Settings = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
_CLIP_H: Settings = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
}


class _Configured(Protocol):
    """A class of diffusers, whose loaders have no types."""

    def from_config(self, config: Settings) -> nn.Module: ...


def network(family: Family, name: str) -> nn.Module | None:
    """The UNet or a text encoder of a base on the meta device; None for one that the base does not have."""
    if name == UNET:
        return _empty(lambda: cast("_Configured", UNet2DConditionModel).from_config(_unet(family)))
    if name == ENCODER_2 and family is Family.sd2:
        return None
    kind = CLIPTextModelWithProjection if name == ENCODER_2 else CLIPTextModel
    return _empty(lambda: kind(_text(family, name)))


def motion(family: Family) -> nn.Module:
    """The motion adapter of a base on the meta device; its layers are named as in the motion UNet."""
    settings = _read("motion_adapter") if family is Family.nano else _MOTION[family]
    return _empty(lambda: cast("_Configured", MotionAdapter).from_config(settings))


def _empty(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def _unet(family: Family) -> Settings:
    return _read("unet") if family is Family.nano else SDXL_UNET if family is Family.sdxl else SD2_UNET


def _text(family: Family, name: str) -> CLIPTextConfig:
    if family is Family.nano:
        return _text_config(_read(name))
    settings: Settings = (
        _CLIP_H if family is Family.sd2 else SDXL_CLIP_G if name == ENCODER_2 else SDXL_CLIP_L
    )
    return _text_config(settings)


def _text_config(settings: Settings) -> CLIPTextConfig:
    return cast(Callable[..., CLIPTextConfig], CLIPTextConfig)(**settings)


def _read(part: str) -> Settings:
    return json.loads((NANO_WEIGHTS / part / "config.json").read_text(encoding="utf-8"))
