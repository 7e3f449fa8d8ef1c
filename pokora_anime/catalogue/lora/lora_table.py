"""A LoRA file as a table, layer -> kind, tensors, alpha: every tensor is used once, or it is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from torch import Tensor

from pokora_anime.catalogue.lora.lora_names import SCALE, UNET, Named, take_apart
from pokora_anime.errors import WeightsError
from pokora_anime.provenance.hashing import Json
from pokora_anime.system import typed_tensors

MAGNITUDES = ("magnitude", "dora_scale")  # of peft: one a row; of LyCORIS: one a row or one a column
# What a layer must hold for its weight to be changed, by kind; the first whose parts are there is it.
KINDS: dict[str, tuple[set[str], set[str]]] = {  # needed, allowed besides
    "LoRA": ({"down", "up"}, {"mid", "alpha", *MAGNITUDES, "up_bias"}),
    "LoHa": (
        {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},
        {"hada_t1", "hada_t2", "alpha", *MAGNITUDES},
    ),
    "LoKr": (
        set(),
        {
            "lokr_w1",
            "lokr_w1_a",
            "lokr_w1_b",
            "lokr_w2",
            "lokr_w2_a",
            "lokr_w2_b",
            "lokr_t2",
            "alpha",
            *MAGNITUDES,
        },
    ),
    "GLoRA": ({"a1", "a2", "b1", "b2"}, {"bm", "alpha"}),
    "OFT": ({"oft_blocks"}, {"rescale", "alpha"}),
    "BOFT": ({"oft_blocks"}, {"rescale", "alpha"}),
    "(IA)^3": ({SCALE, "on_input"}, set()),
    "(IA)^3 of peft": ({"ia3_l"}, set()),
    "difference": ({"diff"}, {"alpha"}),
    "norm difference": ({"w_norm"}, set()),
}
BIASES = {"diff_b", "b_norm"}  # beside any kind, or alone
HALVES = {"down": "up", "up": "down"}
_KNOWN = "LoRA, LoCon, LoHa, LoKr, DoRA, GLoRA, OFT, BOFT or (IA)^3"
# Kinds that have no fixed change of a weight, or whose files are not enough to compute it.
_UNREAD = (
    (("lambda_layer", "q_layer.", "p_layer."), "T-LoRA, whose rank changes with the timestep"),
    (("boft_R", "boft_s"), "BOFT as peft writes it, which keeps its blocks' sizes elsewhere"),
    (("oft_R", "oft_r.", "oft_s"), "OFT as peft writes it, which keeps its blocks' sizes elsewhere"),
    (("vera_lambda",), "VeRA, whose shared matrices are not in the file"),
    (("randlora_",), "RandLoRA, whose shared matrices are not in the file"),
    (("fourierft_",), "FourierFT, which keeps its frequencies elsewhere"),
    (("lora_E", "ranknum"), "AdaLoRA"),
    (("hra_u",), "HRA (Householder reflections)"),
    (("bone_block", "miss_block", "shira_", "delora_", "c3a_", "lora_embedding_"), "of a kind of peft's own"),
)
_OTHERWISE = (
    "use the LoRA or LoCon version of it, or merge it into its base and extract one (extract_locon.py)"
)


@dataclass(slots=True, kw_only=True)
class Layer:
    """One layer's tensors by part; `alpha` None means that nothing scales them."""

    named: Named
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    alpha: float | None = None
    rooted: bool = False  # scaled by alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732)

    @property
    def kind(self) -> str:
        """LoRA, LoHa, LoKr, GLoRA, OFT, BOFT, (IA)^3, difference, norm difference or bias difference."""
        parts = set(self.tensors)
        if any(part.startswith("lokr") for part in parts):
            return "LoKr"
        found = next((k for k, (needed, _) in KINDS.items() if needed and needed <= parts), "bias difference")
        return "BOFT" if found == "OFT" and self.tensors["oft_blocks"].dim() == 4 else found

    @property
    def rank(self) -> int | None:
        """The inner dimension of its product, None where there is none."""
        if self.kind == "GLoRA":  # of which two layouts are about
            return min(self.tensors["a1"].shape[:2])
        for part in ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b"):
            if part in self.tensors:
                return int(self.tensors[part].shape[0])
        return None

    @property
    def scale(self) -> float:
        """alpha / rank; 1 where the file names no alpha or there is no rank."""
        if self.alpha is None or not self.rank:
            return 1.0
        return self.alpha / (math.sqrt(self.rank) if self.rooted else self.rank)


def read_table(file: Path, name: str) -> list[Layer]:
    """The layers of a LoRA file.

    Raises WeightsError WGT-DAMAGED for a file that is no safetensors, WGT-FIT for one of which any
    tensor is not understood, lacks its other half, is not finite, or for a file that changes nothing.
    """
    try:
        stored, metadata = typed_tensors.stored(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            "WGT-DAMAGED", f"{file.name} is no readable safetensors file", fix="fetch it again"
        ) from error
    named = {key: take_apart(key) for key in stored}
    if not any(named.values()):
        raise _unfit(name, *what_it_is(stored))
    layers: dict[tuple[str, str], Layer] = {}
    for key, tensor in stored.items():
        _take(layers, name, key, named[key], tensor)
    settings = _settings(name, metadata)
    for layer in layers.values():
        _check_parts(name, layer)
        _scale(name, layer, settings)
    if not any(_changes(layer) for layer in layers.values()):
        raise _unfit(name, "all its matrices are zero: it changes nothing", "train it, or use another file")
    return list(layers.values())


def what_it_is(keys: Mapping[str, object]) -> tuple[str, str]:
    """What a file without a LoRA's tensors is, and what its user can do."""
    joined = "\n".join(keys)
    unread = _unread(joined)
    if unread:
        return f"it is {unread}", _OTHERWISE
    lora = "use a LoRA: a small file of low-rank layers for this base"
    if any(key in keys for key in ("emb_params", "clip_l", "clip_g")) or "string_to_param" in joined:
        return (
            "it is a textual inversion (an embedding of a word), no LoRA",
            "use a LoRA, or describe it in words",
        )
    if "control_model." in joined or "controlnet_cond_embedding." in joined or "lora_controlnet" in joined:
        return "it is a ControlNet, no LoRA", lora
    if "model.diffusion_model." in joined or "first_stage_model." in joined:
        return "it is a whole checkpoint (a base model), no LoRA", lora
    if "motion_modules." in joined and "lora" not in joined:
        return "it is a motion module, no LoRA", lora
    if any(key.startswith(("down_blocks.", "input_blocks.", "conv_in.")) for key in keys):
        return "it is a whole UNet, no LoRA", lora
    if any(key.startswith(("decoder.", "encoder.")) for key in keys):
        return "it is a VAE, no LoRA", lora
    if not keys:
        return "it holds no tensors", lora
    first = next(iter(keys))
    if any(
        word in joined for word in ("transformer", "double_blocks", "single_blocks", "lora_A", "lora_down")
    ):
        return (
            f"{first} is not understood: it is made for another kind of network (Flux, SD 3 or the like)",
            lora,
        )
    return f"no LoRA layers, {first} is not understood", lora


def _unread(joined: str) -> str:
    """The kind that names of tensors tell and this reader does not compute; "" where there is none."""
    return next((what for words, what in _UNREAD if any(word in joined for word in words)), "")


def _take(
    layers: dict[tuple[str, str], Layer], name: str, key: str, named: Named | None, tensor: Tensor
) -> None:
    if named is None:
        if unread := _unread(key):
            raise _unfit(name, f"{key} is not read: it is {unread}", _OTHERWISE)
        raise _unfit(name, f"{key} is not understood", f"use a file of {_KNOWN} layers alone")
    if not bool(torch.isfinite(tensor.float()).all()):
        raise _unfit(
            name,
            f"{key} holds NaN or infinite numbers: its training diverged",
            "use an earlier file of that training, or train again with a lower learning rate",
        )
    layer = layers.setdefault((named.network, named.place), Layer(named=named))
    if named.part == "alpha":
        if layer.alpha is not None or tensor.numel() != 1:
            raise _unfit(name, f"{key} is no single alpha of its layer", "export the LoRA again")
        layer.alpha = float(tensor)
        return
    if named.part in layer.tensors:
        raise _unfit(
            name, f"{key} is there twice (in two spellings or two adapters)", "export one adapter alone"
        )
    layer.tensors[named.part] = tensor


def _check_parts(name: str, layer: Layer) -> None:
    parts = set(layer.tensors) - BIASES
    where = f"{layer.named.network} {layer.named.layer}"
    for half, other in HALVES.items():
        if half in parts and other not in parts:
            raise _unfit(
                name,
                f"half a file: {where} has lora_{half} and no lora_{other}",
                "get or export the whole file",
            )
    if not layer.tensors:
        raise _unfit(name, f"{where} has an alpha and nothing else", "get or export the whole file")
    for kind, (whole, _) in KINDS.items():
        if parts & whole and not whole <= parts:
            lacking = ", ".join(sorted(whole - parts))
            raise _unfit(
                name, f"{where} has half a {kind}, without {lacking}", "get or export the whole file"
            )
    needed, besides = KINDS.get(layer.kind, (set[str](), set[str]()))
    if layer.kind == "LoKr":
        for number in ("1", "2"):
            whole, factors = {f"lokr_w{number}"}, {f"lokr_w{number}_a", f"lokr_w{number}_b"}
            mine = parts & (whole | factors)
            if mine not in (whole, factors):
                raise _unfit(name, f"{where} has half a LoKr", "get or export the whole file")
        if "lokr_t2" in parts and "lokr_w2_a" not in parts:
            raise _unfit(name, f"{where} has a LoKr core without its factors", "get or export the whole file")
    if layer.kind == "LoHa" and len(parts & {"hada_t1", "hada_t2"}) == 1:
        raise _unfit(name, f"{where} has one LoHa core of two", "get or export the whole file")
    strange = sorted(parts - needed - besides)
    if strange or (layer.kind == "bias difference" and layer.alpha is not None):
        raise _unfit(
            name,
            f"{where} has {', '.join(strange) or 'an alpha'} that does not go with a {layer.kind} layer",
            "export the LoRA again, as one kind",
        )
    for twice in ({*BIASES, "up_bias"}, set(MAGNITUDES)):
        if len(set(layer.tensors) & twice) > 1:
            both = " and ".join(sorted(set(layer.tensors) & twice))
            raise _unfit(name, f"{where} has both {both}", "export the LoRA again, as one kind")


def _settings(name: str, metadata: Mapping[str, str]) -> dict[str, Json]:
    text = metadata.get("lora_adapter_metadata")
    if text is None:
        return {}
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise _unfit(name, "its lora_adapter_metadata is no JSON object", "export the LoRA again") from error


def _scale(name: str, layer: Layer, settings: Mapping[str, Json]) -> None:
    """Alpha and rank as diffusers writes them into a file's metadata (peft's configuration, by network)."""
    prefix = f"{layer.named.network}."
    mine = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    prefixed = any(key.startswith(("unet.", "text_encoder.", "text_encoder_2.")) for key in settings)
    if not mine and not prefixed and layer.named.network == UNET:
        mine = dict(settings)
    if layer.rank is None or not mine:
        return
    stated = _pattern(mine.get("rank_pattern"), layer.named.layer, mine.get("r"))
    if isinstance(stated, int) and stated != layer.rank and layer.kind == "LoRA":
        raise _unfit(
            name,
            f"its metadata says rank {stated} for {layer.named.layer}, which has {layer.rank}",
            "export the LoRA again",
        )
    alpha = _pattern(mine.get("alpha_pattern"), layer.named.layer, mine.get("lora_alpha", mine.get("alpha")))
    layer.rooted = bool(mine.get("use_rslora"))
    if not isinstance(alpha, int | float):
        return
    if layer.alpha is not None and not math.isclose(layer.alpha, alpha, rel_tol=1e-3):
        raise _unfit(
            name,
            f"{layer.named.layer} has alpha {layer.alpha:g}, its metadata says {alpha:g}",
            "export the LoRA again, with one alpha",
        )
    layer.alpha = float(alpha)


def _pattern(patterns: Json, layer: str, default: Json) -> Json:
    if not isinstance(patterns, dict) or not patterns:
        return default
    return patterns.get(get_pattern_key(list(patterns), layer), default)


def _changes(layer: Layer) -> bool:
    """Whether a layer can change anything: a product is zero where one of its factors is."""
    zero = {part: not bool(tensor.float().any()) for part, tensor in layer.tensors.items()}
    if any(not zero.get(part, True) for part in (*BIASES, "up_bias")) or not zero.keys().isdisjoint(
        MAGNITUDES
    ):
        return True
    if layer.kind in _CHANGE:
        return _CHANGE[layer.kind](layer.tensors, zero)
    weight = [is_zero for part, is_zero in zero.items() if part not in (*BIASES, "up_bias")]
    return bool(weight) and layer.scale != 0 and not any(weight)


def _turns(tensors: Mapping[str, Tensor], _: Mapping[str, bool]) -> bool:
    """Blocks that are no symmetric matrices, or rows of another length."""
    blocks, rescale = tensors["oft_blocks"].float(), tensors.get("rescale")
    turned = bool((blocks != blocks.transpose(-1, -2)).any())
    return turned or (rescale is not None and bool((rescale.float() != 1).any()))


_CHANGE: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, bool]], bool]] = {
    "GLoRA": lambda _, zero: not (zero["a1"] or zero["a2"]) or not (zero["b1"] or zero["b2"]),
    "OFT": _turns,
    "BOFT": _turns,
    "(IA)^3": lambda _, zero: not zero[SCALE],
    "(IA)^3 of peft": lambda tensors, _: bool((tensors["ia3_l"].float() != 1).any()),
}


def _unfit(name: str, why: str, fix: str) -> WeightsError:
    return WeightsError("WGT-FIT", f"LoRA {name}: {why}", fix=fix)
