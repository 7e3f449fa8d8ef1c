"""CLIP's text encoder (arXiv 2103.00020, section 2.4): token ids in, hidden states and an embedding out.

The numbers are those of transformers' classes, to the bit, and so are the names of the layers, which LoRAs go
by. Importing those classes takes longer than the first picture: they bring object detection, compilers and
distributed training along.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

_PREFIX = "text_model."  # older files have it in front of every name
# What some files hold beside the weights: consecutive numbers, and a projection that nothing asks for.
_BESIDE = frozenset(
    {"embeddings.position_ids", "text_model.embeddings.position_ids", "text_projection.weight"}
)


def _quick_gelu(hidden: Tensor) -> Tensor:
    return hidden * torch.sigmoid(1.702 * hidden)


_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": _quick_gelu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSettings:
    """Sizes of an encoder, under the names of its config.json; what that leaves out is CLIP's own."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of a checkpoint's config.json. Raises OSError and ValueError."""
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = cls(**{name: told[name] for name in cls.__dataclass_fields__ if name in told})
        if settings.hidden_act not in _ACTIVATIONS:
            raise ValueError(f"hidden_act {settings.hidden_act!r}, expected {' or '.join(_ACTIVATIONS)}")
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Hidden states [batch, tokens, channels]: after the last norm, and in front of, between and behind the
    layers; the pooled embedding [batch, projection] where there is a projection.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...]
    text_embeds: Tensor | None = None


def _table(rows: int, width: int) -> nn.Embedding:
    """Without numbers: on the meta device random ones would have torch import its compiler."""
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


class _Embeddings(nn.Module):
    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.token_embedding = _table(settings.vocab_size, settings.hidden_size)
        self.position_embedding = _table(settings.max_position_embeddings, settings.hidden_size)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[-1], device=ids.device)[None]
        return self.token_embedding(ids) + self.position_embedding(positions)


class _Attention(nn.Module):
    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        width = settings.hidden_size
        self.head = width // settings.num_attention_heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        shape = (*hidden.shape[:-1], -1, self.head)
        query, key, value = (
            project(hidden).view(shape).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = functional.scaled_dot_product_attention(
            query, key, value, scale=self.head**-0.5, is_causal=hidden.shape[1] > 1
        )
        return self.out_proj(seen.transpose(1, 2).reshape(hidden.shape))


class _Feedforward(nn.Module):
    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[settings.hidden_act]
        self.fc1 = nn.Linear(settings.hidden_size, settings.intermediate_size)
        self.fc2 = nn.Linear(settings.intermediate_size, settings.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(hidden)))


class _Layer(nn.Module):
    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(settings), _Feedforward(settings)
        self.layer_norm1 = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)
        self.layer_norm2 = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        return hidden + self.mlp(self.layer_norm2(hidden))


class _Layers(nn.Module):
    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer(settings) for _ in range(settings.num_hidden_layers)])

    def forward(self, hidden: Tensor) -> tuple[Tensor, ...]:
        states = [hidden]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return tuple(states)


class _Pretrained(nn.Module):
    """A network that is read from a checkpoint's folder."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.settings = settings

    @classmethod
    def from_pretrained(
        cls,
        folder: Path,
        *,
        variant: str | None,
        use_safetensors: bool,
        local_files_only: bool,
        dtype: torch.dtype,
    ) -> Self:
        """The encoder in a folder, its weights in `dtype`. Raises OSError and ValueError.

        Only safetensors of this disk are read, whatever is asked for.
        """
        assert use_safetensors and local_files_only
        with torch.device("meta"):
            made = cls(ClipSettings.read(folder))
        wanted = made.state_dict().keys()
        found: dict[str, Tensor] = {}
        for file in _files(folder, variant):
            found |= {cls.spelled(name): value.to(dtype) for name, value in _read(file).items()}
        lacking, strange = sorted(wanted - found.keys()), sorted(found.keys() - wanted - _BESIDE)
        if lacking or strange:
            told = f"has no {lacking[0]}" if lacking else f"has a strange {strange[0]}"
            raise ValueError(f"{folder.name} {told}")
        made.load_state_dict({name: found[name] for name in wanted}, assign=True)
        return made

    @staticmethod
    def spelled(name: str) -> str:
        """The name of a weight here, of its name in a file."""
        return name


class ClipText(_Pretrained):
    """An encoder without projection: SDXL's first, SD2's, nano's first."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__(settings)
        self.embeddings, self.encoder = _Embeddings(settings), _Layers(settings)
        self.final_layer_norm = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.final_layer_norm.weight.device

    def forward(self, ids: Tensor, *, output_hidden_states: bool = True) -> Encoded:
        """Token ids [batch, tokens], at most as many tokens as it has positions."""
        states = self.encoder(self.embeddings(ids))
        last = self.final_layer_norm(states[-1])
        return Encoded(last_hidden_state=last, hidden_states=states if output_hidden_states else ())

    @staticmethod
    def spelled(name: str) -> str:
        """The name of a weight here: older files have `text_model.` in front of it."""
        return name.removeprefix(_PREFIX)


class ClipTextProjected(_Pretrained):
    """An encoder whose state at the first end of text is projected: the second of SDXL and nano."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__(settings)
        self.text_model = ClipText(settings)
        self.text_projection = nn.Linear(settings.hidden_size, settings.projection_dim, bias=False)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.text_model.device

    def forward(self, ids: Tensor, *, output_hidden_states: bool = True) -> Encoded:
        """Token ids [batch, tokens], at most as many tokens as it has positions."""
        found = self.text_model(ids, output_hidden_states=output_hidden_states)
        last, end = found.last_hidden_state, self.settings.eos_token_id
        # Published configs of SDXL call the end of text 2; it is the largest id then.
        at = ids.int().argmax(dim=-1) if end == 2 else (ids.int() == end).int().argmax(dim=-1)
        pooled = last[torch.arange(len(last), device=last.device), at]
        return replace(found, text_embeds=self.text_projection(pooled))


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _files(folder: Path, variant: str | None) -> list[Path]:
    """The safetensors of an encoder: one, or as many as its index names."""
    middle = f".{variant}" if variant else ""
    index = folder / f"model.safetensors.index{middle}.json"
    if not index.is_file():
        return [folder / f"model{middle}.safetensors"]
    named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / Path(name).name for name in sorted(set(named))]
