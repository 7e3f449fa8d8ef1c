"""SDXL's checkpoints with random numbers, in the layouts, names and shapes in which the hub has them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, EulerDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from support import full_size_files, tiny_checkpoints
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

from pokora_anime.catalogue import registry
from pokora_anime.nano.tokenizer import BOS, EOS, byte_alphabet

TOKENS = 49408  # of CLIP
VAE_SCALE, VAE_SAMPLE = 0.13025, 1024
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def tiny(folder: Path) -> dict[str, Path]:
    """Every repository that a rehearsal fetches, by hub id, a few megabytes in all."""
    made = tiny_checkpoints.write(folder)
    preview = folder / "taesdxl"
    torch.manual_seed(8)
    channels = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    blocks = {"num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4}
    AutoencoderTiny(**channels, **blocks).save_pretrained(preview)
    return {**made, _repo("taesdxl"): preview}


def full(folder: Path) -> dict[str, Path]:
    """The same at the published size: 13 GB, one network in memory at a time."""
    unet = full_size_files.on_meta(lambda: UNet2DConditionModel(**full_size_files.SDXL))
    made = {
        "sdxl-base-1.0": _base(folder / "base"),
        "sdxl-vae-fp16-fix": _network("sdxl-vae-fp16-fix", folder / "vae", torch.float32),
        "taesdxl": _network("taesdxl", folder / "taesdxl", torch.float32),
        "animatediff-sdxl-beta": _network("animatediff-sdxl-beta", folder / "motion", adapt=_still),
        "controlnet-depth-sdxl": _network("controlnet-depth-sdxl", folder / "control", adapt=_faint),
        "depth-anything-v2-small": _depth(folder / "depth"),
        "lcm-lora-sdxl": _lora(folder / "lcm" / "pytorch_lora_weights.safetensors", unet, 64),
        "pastel-anime-xl": _lora(folder / "pastel" / "pastel-anime-xl-latest.safetensors", unet, 32),
    }
    return {_repo(name): place for name, place in made.items()}


def _repo(name: str) -> str:
    return registry.any_row(name).repo


def _network(
    row: str,
    folder: Path,
    dtype: torch.dtype = torch.float16,
    part: str = "",
    adapt: Callable[[str, torch.Tensor], None] = lambda name, tensor: None,
) -> Path:
    """A network of tests/support/full_size_files.py, saved by its own library under the published name."""
    prefix = f"{part}/" if part else ""
    file = next(file for one, file in full_size_files.NETWORKS if one == row and file.startswith(prefix))
    network = _filled(full_size_files.on_meta(full_size_files.NETWORKS[row, file]), dtype, adapt)
    variant = "fp16" if ".fp16." in file else None
    network.save_pretrained(folder / part, variant=variant, max_shard_size="100GB")
    return folder


def _filled(network: Any, dtype: torch.dtype, adapt: Callable[[str, torch.Tensor], None]) -> Any:
    """Random numbers so small that activations stay finite in half precision; norms as they begin."""
    network = network.to(dtype).to_empty(device="cpu")
    tables = {name for name, _ in network.named_buffers()}
    for index, (name, tensor) in enumerate(network.state_dict().items()):
        if name.endswith("position_ids"):
            tensor.copy_(torch.arange(tensor.shape[-1]).expand_as(tensor))
        elif name.endswith("pos_embed.pe") or name in tables:
            tensor.copy_(_waves(tensor))
        else:
            _fill(name, tensor, index)
            adapt(name, tensor)
    return network


def _fill(name: str, tensor: torch.Tensor, seed: int) -> None:
    if tensor.ndim < 2:
        tensor.fill_(0.0 if name.endswith("bias") else 1.0)
        return
    generator = torch.Generator().manual_seed(seed)
    std = 0.02 if "embedding" in name else 1 / math.sqrt(3 * math.prod(tensor.shape[1:]))
    with torch.no_grad():
        tensor.normal_(0.0, std, generator=generator)


def _waves(tensor: torch.Tensor) -> torch.Tensor:
    """The sinusoids of a position table [1, positions, width]."""
    position = torch.arange(tensor.shape[-2], dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, tensor.shape[-1], 2) * (-math.log(10000.0) / tensor.shape[-1]))
    table = torch.stack([torch.sin(position * rates), torch.cos(position * rates)], dim=-1)
    return table.flatten(-2).expand_as(tensor)


def _still(name: str, tensor: torch.Tensor) -> None:
    """A motion adapter that moves little, as trained ones do where nothing moves."""
    if "proj_out" in name:
        tensor.mul_(0.005)


def _faint(name: str, tensor: torch.Tensor) -> None:
    """What a ControlNet adds, small: its last layers begin at zero."""
    if "controlnet_down_blocks" in name or "controlnet_mid_block" in name:
        tensor.mul_(0.1)


def _base(folder: Path) -> Path:
    for part in ("unet", "text_encoder", "text_encoder_2", "vae"):
        _network("sdxl-base-1.0", folder, part=part)
        config = folder / part / "config.json"
        if part == "vae":
            _edit(config, {"scaling_factor": VAE_SCALE, "sample_size": VAE_SAMPLE, "force_upcast": True})
        elif part != "unet":
            _edit(config, {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "vocab_size": TOKENS})
    for part in ("tokenizer", "tokenizer_2"):
        _tokenizer(folder / part)
    scheduler = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    EulerDiscreteScheduler(**scheduler, steps_offset=1, timestep_spacing="leading").save_pretrained(
        folder / "scheduler"
    )
    index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _edit(path: Path, values: Mapping[str, object]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=2))


def _tokenizer(folder: Path) -> None:
    """As many tokens as CLIP's, in the older files: bytes, then pairs in the order of the alphabet."""
    alphabet = byte_alphabet()
    singles = [*alphabet, *(sign + "</w>" for sign in alphabet)]
    pairs = [(one, other) for one in alphabet for other in singles]
    merges = pairs[: TOKENS - len(singles) - 2]
    tokens = [*singles, *(one + other for one, other in merges), BOS, EOS]
    folder.mkdir(parents=True)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    assert len(vocabulary) == TOKENS
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{one} {other}" for one, other in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _depth(folder: Path) -> Path:
    backbone = Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        image_size=518,
        patch_size=14,
        out_indices=[3, 6, 9, 12],
        reshape_hidden_states=False,
    )
    shape = {"reassemble_hidden_size": 384, "neck_hidden_sizes": [48, 96, 192, 384], "fusion_hidden_size": 64}
    settings = DepthAnythingConfig(backbone_config=backbone, **shape)
    torch.manual_seed(9)
    DepthAnythingForDepthEstimation(settings).save_pretrained(folder)
    size = {"height": 518, "width": 518}
    DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)
    return folder


def _lora(file: Path, unet: UNet2DConditionModel, rank: int) -> Path:
    """A kohya file with every attention projection of the UNet."""
    tensors: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(rank)
    for name, layer in unet.named_modules():
        if not (isinstance(layer, nn.Linear) and name.endswith(_ATTENTION)):
            continue
        key = f"lora_unet_{name.replace('.', '_')}"
        down = torch.randn(rank, layer.in_features, generator=generator) / math.sqrt(layer.in_features)
        up = torch.randn(layer.out_features, rank, generator=generator) * 0.001
        tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = down.half(), up.half()
        tensors[f"{key}.alpha"] = torch.tensor(rank / 2).half()
    file.parent.mkdir(parents=True)
    save_file(tensors, file)
    return file.parent
