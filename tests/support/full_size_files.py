"""The published networks at their full size, without numbers: built on the meta device from their configs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    ControlNetUnionModel,
    MotionAdapter,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

SDXL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SD2: dict[str, Any] = {
    "sample_size": 96,
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}
CONTROL = {name: value for name, value in SDXL.items() if name not in ("sample_size", "up_block_types")}
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}


def _text(width: int, layers: int, heads: int, **more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=more.pop("projection_dim", width),
        **more,
    )


# By row and file of the registry.
NETWORKS: dict[tuple[str, str], Callable[[], nn.Module]] = {
    ("sdxl-base-1.0", "unet/diffusion_pytorch_model.fp16.safetensors"): lambda: UNet2DConditionModel(**SDXL),
    ("sdxl-base-1.0", "text_encoder/model.fp16.safetensors"): lambda: CLIPTextModel(_text(768, 12, 12)),
    ("sdxl-base-1.0", "text_encoder_2/model.fp16.safetensors"): lambda: CLIPTextModelWithProjection(
        _text(1280, 32, 20, hidden_act="gelu")
    ),
    ("sdxl-base-1.0", "vae/diffusion_pytorch_model.fp16.safetensors"): lambda: AutoencoderKL(**VAE),
    ("sdxl-vae-fp16-fix", "diffusion_pytorch_model.safetensors"): lambda: AutoencoderKL(**VAE),
    ("taesdxl", "diffusion_pytorch_model.safetensors"): AutoencoderTiny,
    ("animatediff-sdxl-beta", "diffusion_pytorch_model.fp16.safetensors"): lambda: sdxl_adapter(),
    ("controlnet-depth-sdxl", "diffusion_pytorch_model.fp16.safetensors"): lambda: ControlNetModel(
        **CONTROL, conditioning_embedding_out_channels=(16, 32, 96, 256)
    ),
    ("controlnet-union-sdxl", "diffusion_pytorch_model.safetensors"): lambda: ControlNetUnionModel(
        **CONTROL, conditioning_embedding_out_channels=(16, 32, 96, 256), num_control_type=6
    ),
    ("sd2-1", "unet/diffusion_pytorch_model.fp16.safetensors"): lambda: UNet2DConditionModel(**SD2),
    ("sd2-1", "text_encoder/model.fp16.safetensors"): lambda: CLIPTextModel(
        _text(1024, 23, 16, hidden_act="gelu", projection_dim=512)
    ),
    ("sd2-1", "vae/diffusion_pytorch_model.fp16.safetensors"): lambda: AutoencoderKL(**VAE),
}


def sdxl_adapter() -> MotionAdapter:
    return MotionAdapter(block_out_channels=(320, 640, 1280), use_motion_mid_block=False)


def sd2_adapter() -> MotionAdapter:
    """v1-5-3, trained beside SD 1.5, whose channels are SD 2's."""
    return MotionAdapter(use_motion_mid_block=False)


def sd2_adapter_with_middle() -> MotionAdapter:
    """v1-5-2, which the motion LoRAs were trained for."""
    return MotionAdapter(use_motion_mid_block=True)


def on_meta(build: Callable[[], nn.Module]) -> Any:
    with torch.device("meta"):
        return build()
