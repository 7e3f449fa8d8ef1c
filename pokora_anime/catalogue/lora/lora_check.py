"""A LoRA read and compared with its base before it is registered: what a run would refuse is refused here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.catalogue.lora import lora_shapes
from pokora_anime.catalogue.lora.lora_merge import fit, unfit
from pokora_anime.catalogue.lora.lora_names import ENCODER, ENCODER_2, UNET
from pokora_anime.catalogue.lora.lora_table import Layer, read_table
from pokora_anime.errors import WeightsError
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How many layers a LoRA changes, of which kinds, and whether they are a motion adapter's.

    `unscaled` tells that products are taken as they are, since the file names no alpha.
    """

    layers: int
    kinds: tuple[str, ...]
    motion: bool
    unscaled: bool


def check(file: Path, name: str, family: Family) -> Checked:
    """Read a LoRA as a run does and fit it to its base's published shapes.

    Raises WeightsError WGT-DAMAGED or WGT-FIT for whatever a run could not use exactly.
    """
    layers = read_table(file, name)
    moving = [layer for layer in layers if "motion_modules" in layer.named.layer]
    if moving and len(moving) != len(layers):
        raise WeightsError(
            "WGT-FIT",
            f"LoRA {name}: {len(moving)} of {len(layers)} layers are a motion adapter's",
            expected="a motion LoRA or a LoRA of pictures",
            fix="split it into two files",
        )
    matched, misfits = 0, list[str]()
    for network in (UNET, ENCODER, ENCODER_2):
        mine = [layer for layer in layers if layer.named.network == network]
        if not mine:
            continue
        module = lora_shapes.motion(family) if moving else lora_shapes.network(family, network)
        if module is None:
            misfits += [f"{family.value} has no {network}"] * len(mine)
            continue
        fitting, others = fit(mine, network, module)
        matched, misfits = matched + len(fitting), misfits + others
    if misfits:
        raise unfit(name, file, matched, len(layers), misfits[0])
    unscaled = any(layer.alpha is None and layer.rank for layer in layers)
    if unscaled:
        _refuse_sidecar(file, name)
    return Checked(layers=len(layers), kinds=_kinds(layers), motion=bool(moving), unscaled=unscaled)


def _refuse_sidecar(file: Path, name: str) -> None:
    """peft keeps alpha in a file beside the weights, which would not come along."""
    try:
        settings: dict[str, Json] = json.loads(file.with_name("adapter_config.json").read_bytes())
        same = settings.get("lora_alpha", settings.get("alpha")) == settings.get("r")
        plain = same and not settings.get("alpha_pattern") and not settings.get("rank_pattern")
    except (OSError, ValueError, AttributeError):
        return
    if not plain or (settings.get("use_rslora") and settings.get("r") != 1):
        raise WeightsError(
            "WGT-FIT",
            f"LoRA {name}: its alpha is in adapter_config.json beside it, not in the file",
            expected="alpha in the file, or it would be used at another strength",
            fix="export it as kohya, or with diffusers' save_lora_adapter, which write alpha into it",
        )


def _kinds(layers: list[Layer]) -> tuple[str, ...]:
    return tuple(sorted({layer.kind for layer in layers}))
