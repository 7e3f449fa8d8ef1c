"""LoRA layers of the UNet in the format that diffusers loads."""

from __future__ import annotations

import json
from pathlib import Path

from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel, UNetMotionModel
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pokora_anime.nano.train.training_loop import RECORD, Place, other_architecture, went_before

LORA_FILE = "pytorch_lora_weights.safetensors"
RANK = 8
STYLE_RANK = 4  # a style is a change of colours and edges everywhere: half the size is enough
TARGETS = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
    "conv1",
    "conv2",
    "conv_shortcut",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
    "time_emb_proj",
)


def add_lora(unet: UNet2DConditionModel | UNetMotionModel, rank: int = RANK) -> None:
    """Adds trainable LoRA layers to all but temporal layers; everything else is frozen."""
    unet.requires_grad_(False)
    names = "|".join(name.replace(".", r"\.") for name in TARGETS)
    where = rf"(?!.*motion_modules)(.*\.)?({names})"
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=where))


def begin_lora(unet: UNet2DConditionModel, place: Place, name: str) -> list[dict[str, object]]:
    """Loads the LoRA of `name` in the family folder, if it has one, to go on from it.

    Returns its earlier trainings. Raises ValueError for layers of another architecture.
    """
    path = place.family / name / LORA_FILE
    if not path.exists():
        return []
    layers = {key.removeprefix("unet."): tensor for key, tensor in load_file(path).items()}
    found = {key: tensor.shape for key, tensor in get_peft_model_state_dict(unet).items()}
    if found != {key: tensor.shape for key, tensor in layers.items()}:
        raise other_architecture(name)
    set_peft_model_state_dict(unet, layers)
    return went_before(path.with_name(RECORD), name)


def share_lora(source: nn.Module, target: nn.Module) -> None:
    """Makes the LoRA layers of a network those of another that has them at the same places."""
    for name, layer in target.named_modules():
        if ".lora_" in name and isinstance(layer, nn.Linear | nn.Conv2d):
            layer.weight = source.get_submodule(name).weight


def lora_weights(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The LoRA layers under the names of a diffusers LoRA file."""
    # peft's own names throughout: diffusers' converter renames the attention layers only, and a file
    # of mixed names loads in part.
    layers: dict[str, Tensor] = get_peft_model_state_dict(unet)
    return {f"unet.{name}": tensor for name, tensor in layers.items()}


def make_lora_weights(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Untrained LoRA layers, which change nothing."""
    add_lora(unet)
    weights = lora_weights(unet)
    unet.delete_adapters("default")
    return weights


def save_lora(unet: UNet2DConditionModel, folder: Path) -> None:
    """Writes the layers as `load_lora_weights` expects them."""
    layers = get_peft_model_state_dict(unet)
    StableDiffusionXLPipeline.save_lora_weights(folder, unet_lora_layers=layers)


def save_kohya(weights: dict[str, Tensor], path: Path) -> None:
    """Writes the layers of a diffusers LoRA file under kohya's names, each with its alpha."""
    rank = next(len(tensor) for name, tensor in weights.items() if "lora_A" in name)
    layers: dict[str, Tensor] = convert_state_dict_to_kohya(weights)
    half = {name: tensor.half().contiguous() for name, tensor in layers.items()}
    about = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(rank)}
    path.write_bytes(_in_order(save(half, {"format": "pt", **about})))


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with sorted metadata, whose order differs from call to call."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return data[:8] + text.ljust(end - 8) + data[end:]
