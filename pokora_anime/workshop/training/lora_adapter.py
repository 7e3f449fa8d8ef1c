"""The layers that are trained, by peft, and the file that they become."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import torch
from peft import LoraConfig as PeftLora
from peft.utils import get_peft_model_state_dict  # pyright: ignore[reportUnknownVariableType]  # untyped
from safetensors.torch import save
from torch import Tensor, nn

from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.workshop.training.lora_settings import Layers, LoraSettings, Role

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
ALL = (
    *(*ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut"),
    *("downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
)


MOVING = "motion_modules"  # in the name of each layer of a motion adapter
# Of a motion adapter not its projections: diffusers calls them by keyword, as peft's layers cannot be.
MOTION_ALL = (*ATTENTION, "ff.net.0.proj", "ff.net.2")


class _Adaptable(Protocol):
    """A network of diffusers that peft's layers can be put into."""

    def add_adapter(self, adapter_config: PeftLora) -> None: ...
    def enable_adapters(self) -> None: ...
    def disable_adapters(self) -> None: ...


def add_adapter(unet: nn.Module, settings: LoraSettings) -> list[tuple[str, nn.Parameter]]:
    """Adds layers that change nothing yet; what is to be trained, by name, all in fp32."""
    unet.requires_grad_(False)
    torch.manual_seed(settings.seed)  # pyright: ignore[reportUnknownMemberType]  # untyped
    cast(_Adaptable, unet).add_adapter(
        PeftLora(
            r=settings.rank,
            lora_alpha=settings.rank,
            target_modules=targets(settings),
            use_dora=settings.dora,
        )
    )
    trained = [(name, one) for name, one in unet.named_parameters() if one.requires_grad]
    for _, parameter in trained:
        parameter.data = parameter.data.float()
    return trained


def targets(settings: LoraSettings) -> list[str] | str:
    """The layers as peft takes them: ends of names, or for a motion adapter's a pattern of whole ones."""
    every = settings.layers is Layers.all
    if settings.role is not Role.motion:
        return list(ALL if every else ATTENTION)
    ends = "|".join(map(re.escape, MOTION_ALL if every else ATTENTION))
    return rf".*\.{MOVING}\..*\.(?:{ends})|.*\.{MOVING}\.\d+\.(?:{ends})"


def switched(unet: nn.Module, *, on: bool) -> None:
    """The UNet with the layers, or as it was before."""
    one = cast(_Adaptable, unet)
    if on:
        one.enable_adapters()
    else:
        one.disable_adapters()


def kohya(unet: nn.Module, rank: int, text: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The layers under the names that every program reads, each with its alpha, in fp16."""
    layers: dict[str, Tensor] = get_peft_model_state_dict(unet)
    found: dict[str, Tensor] = dict(text or {})
    for name, tensor in layers.items():
        for ending, part in ((".lora_A.weight", "lora_down.weight"), (".lora_B.weight", "lora_up.weight")):
            if name.endswith(ending):
                place = f"lora_unet_{name.removesuffix(ending).replace('.', '_')}"
                found[f"{place}.{part}"] = tensor
                found[f"{place}.alpha"] = torch.tensor(float(rank))
        if ".lora_magnitude_vector" in name:
            module = name.partition(".lora_magnitude_vector")[0]
            dims = cast(Tensor, unet.get_submodule(module).weight).dim()
            place = f"lora_unet_{module.replace('.', '_')}"
            found[f"{place}.dora_scale"] = tensor.reshape(-1, *(1,) * (dims - 1))
    return {name: tensor.detach().cpu().half().contiguous() for name, tensor in sorted(found.items())}


def motion_layers(unet: nn.Module) -> dict[str, Tensor]:
    """The layers of a motion adapter under the names of published motion LoRAs, in fp16."""
    layers: dict[str, Tensor] = get_peft_model_state_dict(unet)
    renamed = {
        f"unet.{name}".replace(".lora_A.weight", ".lora.down.weight").replace(
            ".lora_B.weight", ".lora.up.weight"
        ): tensor
        for name, tensor in layers.items()
    }
    return {name: tensor.detach().cpu().half().contiguous() for name, tensor in sorted(renamed.items())}


def save_lora(
    unet: nn.Module, settings: LoraSettings, path: Path, text: Mapping[str, Tensor] | None = None
) -> None:
    """Writes the LoRA, with the layers of text encoders in the same file. The same layers give the same
    bytes. Raises MachineError SYS-*."""
    rank = str(settings.rank)
    if settings.role is Role.motion:  # without an alpha: a weight of 1 is the product as it is
        data = save(motion_layers(unet), {"format": "pt"})
    else:
        about = {"format": "pt", "ss_network_module": "networks.lora", "ss_network_dim": rank}
        data = _in_order(save(kohya(unet, settings.rank, text), {**about, "ss_network_alpha": rank}))
    with writing(path.parent, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with sorted metadata, whose order differs from call to call."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return data[:8] + text.ljust(end - 8) + data[end:]
