"""An SDXL base written as one file in the original layout, as checkpoints of others are published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from pokora_anime.catalogue.checkpoint.checkpoint_convert import Layout
from support import tiny_networks

Tensors = dict[str, Tensor]
VAE: dict[str, Any] = {  # unlike tiny.family's with the attention that the published one has
    "block_out_channels": (8, 8, 16, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "scaling_factor": 0.13025,
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_OPEN_CLIP = {
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.final_layer_norm.": "ln_final.",
    "text_model.encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def layout() -> Layout:
    """The configs of tiny.family('sdxl')'s UNet and text encoders, and of this module's VAE."""
    text = {
        "hidden_size": tiny_networks.TEXT,
        "intermediate_size": 2 * tiny_networks.TEXT,
        "projection_dim": tiny_networks.TEXT,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    tokenizer = tiny_networks.build_tokenizer(tiny_networks.WORDS)
    tokens = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return Layout(unet=tiny_networks._unet_arguments("sdxl"), text=text, text_2=text, vae=VAE, tokens=tokens)


def vae(folder: Path) -> Path:
    """A random VAE of this module's config."""
    torch.manual_seed(12)
    AutoencoderKL(**VAE).save_pretrained(folder)
    return folder


def tensors(base: Path, vae_folder: Path) -> Tensors:
    """All networks of a base under the names of the original layout; what is half stays half."""
    found: Tensors = {}
    for prefix, name, value in _networks(base, vae_folder):
        found[prefix + name] = value.contiguous()
    positions = torch.arange(77).expand((1, -1)).contiguous()
    found["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = positions
    found["conditioner.embedders.1.model.logit_scale"] = torch.tensor(4.6)
    return found


def write(file: Path, content: Tensors, metadata: dict[str, str] | None = None) -> Path:
    """One safetensors file of them."""
    save_file({name: value.clone() for name, value in content.items()}, file, metadata=metadata)
    return file


def network(folder: Path) -> Tensors:
    """The tensors of a network in diffusers' layout."""
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def _networks(base: Path, vae_folder: Path) -> Iterator[tuple[str, str, Tensor]]:
    modules = _unet_modules()
    for name, value in network(base / "unet").items():
        yield "model.diffusion_model.", _renamed(name, modules), value
    for name, value in network(base / "text_encoder").items():
        yield "conditioner.embedders.0.transformer.", name, value
    for name, value in _open_clip(network(base / "text_encoder_2")).items():
        yield "conditioner.embedders.1.model.", name, value
    for name, value in network(vae_folder).items():
        yield "first_stage_model.", *_vae(name, value)


def _renamed(name: str, modules: dict[str, str]) -> str:
    start = max((one for one in modules if name.startswith(f"{one}.")), key=len)
    inner = name.removeprefix(f"{start}.")
    if ".resnets." in start:
        layer, _, part = inner.rpartition(".")
        inner = f"{_RESNET[layer]}.{part}"
    return f"{modules[start]}.{inner}"


def _unet_modules() -> dict[str, str]:
    """Blocks of tiny.family's UNet: two a side, the inner one with attention, one layer in each."""
    return {
        **_ENDS,
        "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0",
        "down_blocks.1.attentions.0": "input_blocks.3.1",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "up_blocks.0.resnets.0": "output_blocks.0.0",
        "up_blocks.0.attentions.0": "output_blocks.0.1",
        "up_blocks.0.resnets.1": "output_blocks.1.0",
        "up_blocks.0.attentions.1": "output_blocks.1.1",
        "up_blocks.0.upsamplers.0": "output_blocks.1.2",
        "up_blocks.1.resnets.0": "output_blocks.2.0",
        "up_blocks.1.resnets.1": "output_blocks.3.0",
    }


def _open_clip(stored: Tensors) -> Tensors:
    found: Tensors = {}
    for name, value in stored.items():
        if name == "text_projection.weight":
            found["text_projection"] = value.T
            continue
        for old, new in _OPEN_CLIP.items():
            name = name.replace(old, new)
        if ".self_attn." not in name:
            found[name] = value
        elif ".q_proj." in name:
            block, _, part = name.partition(".self_attn.q_proj.")
            layer = block.replace("transformer.resblocks.", "text_model.encoder.layers.")
            joint = [stored[f"{layer}.self_attn.{one}_proj.{part}"] for one in "qkv"]
            found[f"{block}.attn.in_proj_{part}"] = torch.cat(joint)
    return found


def _vae(name: str, value: Tensor) -> tuple[str, Tensor]:
    last = len(VAE["block_out_channels"]) - 1
    for block in range(last + 1):
        name = name.replace(f"up_blocks.{block}.", f"UP.{last - block}.")
        name = name.replace(f"down_blocks.{block}.", f"down.{block}.")
    for old, new in (
        *(("UP.", "up."), ("downsamplers.0", "downsample"), ("upsamplers.0", "upsample")),
        *(("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2")),
        *((".resnets.", ".block."), ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out")),
    ):
        name = name.replace(old, new)
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        name = name.replace(".to_out.0.", ".proj_out.").replace(".to_", ".")
        if name.endswith("weight") and value.dim() == 2:
            value = value[:, :, None, None]  # there a 1x1 convolution
    return name, value
