"""The names of a LoRA's tensors, in every known spelling: network, layer and part. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

UNET, ENCODER, ENCODER_2 = "unet", "text_encoder", "text_encoder_2"
SCALE = "scale"  # of (IA)^3, named as a plain weight is: only behind a LoRA's prefix

_ADAPTER = r"(?:\.(?P<adapter>[\w-]+))?"  # what peft's state_dict() leaves between the half and its weight
_PARTS = tuple(
    (re.compile(pattern + "$"), part)
    for pattern, part in (
        (rf"\.lora_(?:A|down){_ADAPTER}\.weight", "down"),
        (rf"\.lora_(?:B|up){_ADAPTER}\.weight", "up"),
        (rf"\.lora_(?:B|up){_ADAPTER}\.bias", "up_bias"),
        (r"[._]lora\.down\.weight", "down"),
        (r"[._]lora\.up\.weight", "up"),
        (r"\.lora_linear_layer\.down\.weight", "down"),
        (r"\.lora_linear_layer\.up\.weight", "up"),
        (r"\.lora_mid\.weight", "mid"),
        (r"\.alpha", "alpha"),
        (r"\.dora_scale", "dora_scale"),
        (r"\.lora_magnitude_vector(?:\.(?!weight$)(?P<adapter>[\w-]+))?(?:\.weight)?", "magnitude"),
        (rf"\.(?P<part>hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)){_ADAPTER}", ""),
        (r"\.(?P<part>diff|diff_b|w_norm|b_norm)", ""),
        (r"\.(?P<part>[ab][12]|bm)\.weight", ""),  # GLoRA
        (r"\.(?P<part>oft_blocks|rescale|on_input)", ""),
        (rf"\.(?P<part>ia3_l){_ADAPTER}", ""),
        (r"\.weight", SCALE),
    )
)
_WRAPPERS = re.compile(r"^(?:module\.|base_model\.model\.)+")
_NETWORKS = tuple(
    (re.compile("^" + pattern), network)
    for pattern, network in (
        (r"(?:lora|oft)_unet[._]", UNET),
        (r"lycoris_(?:unet_)?", UNET),
        (r"lora_te2[._]", ENCODER_2),
        (r"lora_te1?[._]", ENCODER),
        (r"(?:model\.)?diffusion_model\.", UNET),
        (r"unet\.", UNET),
        (r"text_encoder_2\.", ENCODER_2),
        (r"text_encoder\.", ENCODER),
        (r"(?=text_model\.)", ENCODER),
        (
            r"(?=(?:down_blocks|up_blocks|mid_block|conv_in|conv_out|conv_norm_out|time_embedding"
            r"|add_embedding|input_blocks|middle_block|output_blocks|time_embed|label_emb|out)\.)",
            UNET,
        ),
        (r"(?=conv_(?:in|out)$)", UNET),
    )
)
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
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
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.?(.*)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A tensor's name taken apart; `layer` keeps the dots that the file wrote."""

    network: str
    layer: str
    part: str
    adapter: str

    @property
    def place(self) -> str:
        """The layer in the one form that `places` looks up."""
        return _flat(self.layer, self.network)


def take_apart(key: str) -> Named | None:
    """Network, layer and part of a tensor's name; None for what no known spelling says."""
    for pattern, part in _PARTS:
        match = pattern.search(key)
        if match is None:
            continue
        layer = _WRAPPERS.sub("", key[: match.start()])
        groups = match.groupdict()
        for prefix, network in _NETWORKS:
            found = prefix.match(layer)
            if found is not None:
                if part == SCALE and ("." in layer or not layer.startswith(("lora_", "lycoris_"))):
                    return None
                return Named(
                    network=network,
                    layer=_WRAPPERS.sub("", layer[found.end() :]).replace(".processor.", "."),
                    part=part or groups["part"],
                    adapter=groups.get("adapter") or "",
                )
        return None
    return None


def places(network: str, modules: Iterable[str]) -> dict[str, str]:
    """By every spelling of a layer, the name of its module in diffusers' or transformers' layout."""
    names = list(modules)
    found = {_flat(name, network): name for name in names}
    original = _Original(names) if network == UNET else None
    for name in names:
        for spelling in _others(name, original):
            found.setdefault(_flat(spelling, network), name)
    return found


def _flat(layer: str, network: str) -> str:
    flat = re.sub(r"(?<=_to_out)$", "_0", layer.replace(".", "_"))
    return flat if network == UNET else flat.removeprefix("text_model_")


def _others(name: str, original: _Original | None) -> list[str]:
    if original is None:
        older = re.sub(r"self_attn\.(q|k|v|out)_proj$", r"self_attn.to_\1", name)
        return [older] if older != name else []
    return original.names(name)


class _Original:
    """Names of a UNet's layers in the layout of the original implementations (LDM, AnimateDiff)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._resnets: dict[tuple[str, int], int] = {}
        self._sampled: set[tuple[str, int]] = set()
        self._attended: set[tuple[str, int]] = set()
        for name in names:
            match = _BLOCK.match(name)
            if match is None:
                continue
            block, part = (match[1], int(match[2])), match[3]
            if part == "resnets":
                self._resnets[block] = max(self._resnets.get(block, 0), int(match[4]) + 1)
            elif part == "attentions":
                self._attended.add(block)
            else:
                self._sampled.add(block)

    def names(self, name: str) -> list[str]:
        """The other names of a module, none where the original layout has no such layer."""
        if "motion_modules." in name:
            inside = re.sub(r"motion_modules\.(\d+)\.", r"motion_modules.\1.temporal_transformer.", name)
            numbered = re.sub(
                r"\.attn([12])\.", lambda attn: f".attention_blocks.{int(attn[1]) - 1}.", inside
            )
            return [inside, numbered]
        end = next((end for end in _ENDS if name == end), None)
        if end is not None:
            return [_ENDS[end]]
        middle = _MIDDLE.match(name)
        if middle is not None:
            number = 2 * int(middle[2]) + (middle[1] == "attentions")
            return [f"middle_block.{number}.{_inner(middle[1], middle[3])}"]
        block = _BLOCK.match(name)
        return [self._block(block)] if block is not None else []

    def _block(self, match: re.Match[str]) -> str:
        way, number, part, inner = match[1], int(match[2]), match[3], match[5]
        block = (way, number)
        before = [(way, earlier) for earlier in range(number)]
        start = sum(self._resnets.get(one, 0) for one in before)
        if way == "down":
            start += 1 + sum(one in self._sampled for one in before)
        root = "input_blocks" if way == "down" else "output_blocks"
        if part == "downsamplers":
            return f"{root}.{start + self._resnets.get(block, 0)}.0.op"
        if part == "upsamplers":
            last = start + self._resnets.get(block, 0) - 1
            return f"{root}.{last}.{2 if block in self._attended else 1}.{inner}"
        return f"{root}.{start + int(match[4])}.{int(part == 'attentions')}.{_inner(part, inner)}"


def _inner(part: str, inner: str) -> str:
    return _RESNET.get(inner, inner) if part == "resnets" else inner
