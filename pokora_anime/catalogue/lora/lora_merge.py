"""LoRAs fitted to a network, blended by weight and merged into its weights.

Merging costs nothing per step and leaves the module names as diffusers and the ControlNets know them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn

from pokora_anime.catalogue import weight_hashes
from pokora_anime.catalogue.lora.lora_change import Misfit, change
from pokora_anime.catalogue.lora.lora_header import read_header
from pokora_anime.catalogue.lora.lora_names import ENCODER_2, UNET, places
from pokora_anime.catalogue.lora.lora_table import Layer, read_table
from pokora_anime.catalogue.registry import Row
from pokora_anime.errors import WeightsError
from pokora_anime.schema.settings import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA on disk and its weight in the blend."""

    row: Row
    folder: Path
    weight: float

    @property
    def path(self) -> Path:
        """The one safetensors file."""
        found = weight_hashes.files(self.folder, self.row.files)
        if found is None:
            raise weight_hashes.missing(self.row, self.folder)
        return found[0]


def merge_into_unet(unet: UNet2DConditionModel | UNetMotionModel, loras: Sequence[Lora]) -> None:
    """Merge the UNet part of every LoRA, weighted.

    Raises WeightsError WGT-FIT unless every layer of every LoRA found its place.
    """
    _merge(unet, UNET, loras)


def merge_into_encoder(encoder: nn.Module, network: str, loras: Sequence[Lora]) -> None:
    """Merge the part of every LoRA for a text encoder (`network` text_encoder or text_encoder_2)."""
    _merge(encoder, network, loras)


def fit(
    layers: Sequence[Layer], network: str, module: nn.Module
) -> tuple[list[tuple[str, Layer]], list[str]]:
    """The layers of a network by the name of their module, and why each of the others does not fit."""
    modules = {
        name: one
        for name, one in cast(Iterable[tuple[str, nn.Module]], module.named_modules())
        if isinstance(getattr(one, "weight", None), nn.Parameter)
    }
    spelled = places(network, modules)
    fitting: list[tuple[str, Layer]] = []
    misfits: list[str] = []
    for layer in layers:
        if layer.named.network != network:
            continue
        name = spelled.get(layer.named.place)
        if name is None:
            misfits.append(f"there is no {layer.named.layer}")
            continue
        if any(name == other for other, _ in fitting):
            misfits.append(f"{layer.named.layer} is there twice, in two spellings")
            continue
        try:
            change(layer, _Shapes(modules[name]))
        except Misfit as misfit:
            misfits.append(f"{layer.named.layer}: {misfit}")
        else:
            fitting.append((name, layer))
    return fitting, misfits


class _Shapes(nn.Module):
    """A module's weight and bias without their numbers."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        weight, bias = module.get_parameter("weight"), getattr(module, "bias", None)
        self.weight = weight.detach().to("meta")
        self.bias = bias.detach().to("meta") if isinstance(bias, Tensor) else None


def unfit(name: str, file: Path, matched: int, total: int, why: str) -> WeightsError:
    """A LoRA of which some layers have no place in this base."""
    base = read_header(file).base
    trained = f"; by the width of its text it was trained for {base}" if base is not None else ""
    return WeightsError(
        "WGT-FIT",
        f"LoRA {name}: {matched} of {total} layers fit this base ({why[:200]}{trained})",
        expected="all of them, or the picture silently ignores a part of the LoRA",
        fix="use a LoRA made for this base, or remove it",
    )


@torch.no_grad()
def _merge(module: nn.Module, network: str, loras: Sequence[Lora]) -> None:
    found: dict[str, list[tuple[Lora, Layer]]] = {}
    for lora in loras:
        layers = read_table(lora.path, lora.row.id)
        if lora.row.families == (Family.sd2,) and any(one.named.network == ENCODER_2 for one in layers):
            raise unfit(lora.row.id, lora.path, 0, len(layers), "sd2 has one text encoder")
        fitting, misfits = fit(layers, network, module)
        if misfits:
            raise unfit(lora.row.id, lora.path, len(fitting), len(fitting) + len(misfits), misfits[0])
        for name, layer in fitting:
            found.setdefault(name, []).append((lora, layer))
    for name, shares in found.items():
        _apply(module.get_submodule(name), shares)


def _apply(module: nn.Module, shares: Sequence[tuple[Lora, Layer]]) -> None:
    """Adds all changes in fp32, each of the base's own weight, and rounds once."""
    totals: dict[str, Tensor] = {}
    for lora, layer in shares:
        for name, part in zip(("weight", "bias"), change(layer, module), strict=True):
            if part is not None:
                share = lora.weight * part
                totals[name] = totals[name] + share if name in totals else share
    for name, total in totals.items():
        parameter = module.get_parameter(name)
        merged = (parameter.float() + total).to(parameter.dtype)
        if not bool(torch.isfinite(merged).all()):
            lora, layer = shares[-1]
            raise WeightsError(
                "WGT-FIT",
                f"LoRA {lora.row.id}: {layer.named.layer} becomes NaN or infinite in {parameter.dtype}",
                fix="a smaller weight, or another LoRA",
            )
        parameter.data = merged
