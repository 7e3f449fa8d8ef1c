"""LoRAs read, checked for completeness, blended by weight and merged into the weights.

Merging (instead of leaving peft's wrappers in place) costs nothing per step and leaves the module
names as diffusers and the ControlNets know them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin as Loader
from diffusers.utils import recurse_remove_peft_layers, set_weights_and_activate_adapters
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pokora_anime.errors import WeightsError
from pokora_anime.models import hashes
from pokora_anime.models.lora_header import read_header
from pokora_anime.models.registry import Row

# The two halves of a low-rank pair, in the spellings of kohya, diffusers and peft.
DOWN = ("lora_down", "lora.down", "lora_A", "lora_linear_layer.down")
UP = ("lora_up", "lora.up", "lora_B", "lora_linear_layer.up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA on disk and its weight in the blend."""

    row: Row
    folder: Path
    weight: float

    @property
    def name(self) -> str:
        """An adapter name that peft accepts (it becomes part of a module path)."""
        return self.row.id.replace(".", "_")

    @property
    def path(self) -> Path:
        """The one safetensors file."""
        found = hashes.files(self.folder, self.row.files)
        if found is None:
            raise hashes.missing(self.row, self.folder)
        return found[0]


@dataclass(frozen=True, slots=True)
class _State:
    """A LoRA's tensors in diffusers' names, prefixed with the network that they belong to."""

    tensors: dict[str, Tensor]
    alphas: dict[str, float] | None
    metadata: dict[str, Any] | None

    def pairs(self, network: str) -> int:
        """How many layers of a network it changes."""
        return sum(key.startswith(f"{network}.") and _is(key, DOWN) for key in self.tensors)


def merge_into_unet(unet: UNet2DConditionModel | UNetMotionModel, loras: Sequence[Lora], config: Any) -> None:
    """Merge the UNet part of every LoRA, weighted. `config` is the 2D UNet's (for kohya's block names).

    Raises WeightsError WGT-5 unless every layer of every LoRA found its place.
    """

    def load(state: _State, name: str) -> None:
        Loader.load_lora_into_unet(
            dict(state.tensors), state.alphas, unet, adapter_name=name, metadata=state.metadata
        )

    _merge(unet, "unet", loras, config, load)


def merge_into_encoder(encoder: nn.Module, network: str, loras: Sequence[Lora], config: Any) -> None:
    """Merge the part of every LoRA for a text encoder (`network` text_encoder or text_encoder_2)."""

    def load(state: _State, name: str) -> None:
        Loader.load_lora_into_text_encoder(
            dict(state.tensors),
            state.alphas,
            encoder,
            prefix=network,
            adapter_name=name,
            metadata=state.metadata,
        )

    _merge(encoder, network, loras, config, load)


def _merge(
    network: nn.Module,
    prefix: str,
    loras: Sequence[Lora],
    config: Any,
    load: Callable[[_State, str], None],
) -> None:
    active: list[Lora] = []
    for lora in loras:
        state = _read(lora, config)
        expected = state.pairs(prefix)
        if expected == 0:
            continue
        try:
            load(state, lora.name)
        except (RuntimeError, ValueError, KeyError) as error:
            raise _unfit(lora, 0, expected, str(error)[:160]) from error
        matched = sum(
            isinstance(module, BaseTunerLayer) and lora.name in getattr(module, "lora_A", {})
            for module in network.modules()
        )
        if matched != expected:
            raise _unfit(lora, matched, expected, prefix)
        active.append(lora)
    if not active:
        return
    set_weights_and_activate_adapters(
        network, [lora.name for lora in active], [lora.weight for lora in active]
    )
    for module in network.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    recurse_remove_peft_layers(network)
    if isinstance(network, UNet2DConditionModel | UNetMotionModel):
        network.unload_lora()  # forgets the adapters' configurations


def _read(lora: Lora, config: Any) -> _State:
    """The tensors in diffusers' names; WeightsError WGT-5 if the conversion loses or lacks any."""
    try:
        stored = load_file(lora.path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            "WGT-2", f"{lora.path.name} is no readable safetensors file", fix="fetch it again"
        ) from error
    if not any(key.startswith("lora_") for key in stored):
        # diffusers goes by the first key alone: in a file that mixes the two spellings, the
        # layers in the other one would be dropped without a word.
        stored = {_peft_name(key): value for key, value in stored.items()}
    pairs = sum(_is(key, DOWN) for key in stored)
    strange = [
        key for key in stored if not _is(key, DOWN) and not _is(key, UP) and not key.endswith(".alpha")
    ]
    if strange:
        raise _unfit(lora, pairs, pairs + len(strange), f"not understood: {strange[0]}")
    try:
        converted: Any = Loader.lora_state_dict(dict(stored), unet_config=config, return_lora_metadata=True)
    except (ValueError, KeyError, IndexError) as error:
        raise _unfit(lora, 0, pairs, str(error)[:160]) from error
    state = _State(*converted)
    kept = sum(state.pairs(network) for network in ("unet", "text_encoder", "text_encoder_2"))
    if kept != pairs or pairs == 0:
        raise _unfit(lora, kept, pairs, "the rest is for another kind of network")
    return state


def _peft_name(key: str) -> str:
    return key.replace(".lora.down.", ".lora_A.").replace(".lora.up.", ".lora_B.")


def _is(key: str, halves: tuple[str, ...]) -> bool:
    return any(f"{half}." in key for half in halves)


def _unfit(lora: Lora, matched: int, total: int, why: str) -> WeightsError:
    base = read_header(lora.path).base
    trained = f"; by the width of its text it was trained for {base}" if base is not None else ""
    return WeightsError(
        "WGT-5",
        f"LoRA {lora.row.id}: {matched} of {total} layers fit this base ({why}{trained})",
        expected="all of them, or the picture silently ignores a part of the LoRA",
        fix="use a LoRA made for this base, or remove it",
    )
