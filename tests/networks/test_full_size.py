"""Configurations of the published networks: the same numbers of parameters as the files that hold them."""

from __future__ import annotations

from typing import Any

import pytest
from diffusers import UNet2DConditionModel
from support import full_size_files
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pokora_anime.catalogue import registry
from pokora_anime.devices.forecast.workload import NETWORKS
from pokora_anime.networks.ip_adapter import TOKENS
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.schema.settings import Family

MOST_HEADER = 300_000  # bytes of names and shapes in the largest of the files


@pytest.mark.parametrize(("row", "file"), full_size_files.NETWORKS, ids=lambda name: name.split("/")[0])
def test_a_network_has_as_many_parameters_as_its_published_file(row: str, file: str) -> None:
    size = registry.any_row(row).sizes[file]
    network = full_size_files.on_meta(full_size_files.NETWORKS[row, file])
    numbers = sum(tensor.numel() for tensor in network.state_dict().values())
    # All of these repositories keep fp16; the VAEs that stand alone fp32.
    width = 2 if "fp16.safetensors" in file or "union" in row else 4
    assert 0 < size - width * numbers < MOST_HEADER


def test_the_published_ip_adapter_has_the_layers_that_sdxl_asks_for() -> None:
    """As many numbers as its file and its encoder's hold, and as the forecast counts."""
    unet = full_size_files.on_meta(lambda: UNet2DConditionModel(**full_size_files.SDXL))
    wide, taken = unet.config.cross_attention_dim, 1024
    crossing = [unet.get_submodule(name.removesuffix(".processor")) for name in unet.attn_processors]
    layers = [layer.to_k.out_features for layer in crossing if layer.is_cross_attention]
    numbers = sum(2 * wide * layer for layer in layers)
    projected = TOKENS * wide * (taken + 1) + 2 * wide
    size = registry.any_row("ip-adapter-sdxl").sizes["ip-adapter_sdxl_vit-h.safetensors"]
    assert 0 < size - 2 * (numbers + projected) < MOST_HEADER
    vision = CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        image_size=224,
        projection_dim=taken,
    )
    encoder = full_size_files.on_meta(lambda: CLIPVisionModelWithProjection(vision))
    held = sum(one.numel() for one in encoder.parameters())
    size = registry.any_row("clip-vit-h-image-encoder").sizes["model.safetensors"]
    assert 0 < size - 4 * held < MOST_HEADER
    counted = NETWORKS[Family.sdxl]
    assert (counted.adapter.parameters, counted.encoder.parameters) == (numbers, held)


@pytest.mark.parametrize(
    ("base", "adapter"),
    [
        (full_size_files.SDXL, full_size_files.sdxl_adapter),
        (full_size_files.SD2, full_size_files.sd2_adapter),
        (full_size_files.SD2, full_size_files.sd2_adapter_with_middle),
    ],
    ids=["sdxl", "sd2, v1-5-3", "sd2, v1-5-2"],
)
def test_the_published_adapter_fits_the_base_at_full_size(base: Any, adapter: Any) -> None:
    """Every tensor of the motion UNet comes from one of the two, SDXL's text and size embedding included."""
    unet, temporal = (
        full_size_files.on_meta(lambda: UNet2DConditionModel(**base)),
        full_size_files.on_meta(adapter),
    )
    counts = [sum(one.numel() for one in network.state_dict().values()) for network in (unet, temporal)]
    motion = build_motion_unet(unet, temporal)
    assert sum(one.numel() for one in motion.state_dict().values()) == sum(counts)
    assert any("add_embedding" in name for name in motion.state_dict()) == (base is full_size_files.SDXL)
