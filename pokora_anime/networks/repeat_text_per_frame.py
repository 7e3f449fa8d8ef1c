"""Cross-attention of a video's frames to the text that all of them share, and to an IP-Adapter's tokens.

A prompt's keys and values depend on neither frame nor step: they are computed once a text, not once a
frame and step. Shape suffixes: B videos in a batch, F frames, N places, T tokens, C D channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import torch
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

_Pair = tuple[Tensor, Tensor]  # keys and values
_KEPT = 2  # texts: both rows of guidance and one of them, or one after the other


class Attends(Protocol):
    """A network of diffusers, by what its attention is computed with."""

    attn_processors: Mapping[str, object]
    shares_text: bool  # ours: for who asks

    def set_attn_processor(self, processor: dict[str, object]) -> None: ...


class _Layer(Protocol):
    """An attention layer of diffusers."""

    heads: int
    to_out: Sequence[Callable[[Tensor], Tensor]]

    def to_q(self, states: Tensor, /) -> Tensor: ...
    def to_k(self, states: Tensor, /) -> Tensor: ...
    def to_v(self, states: Tensor, /) -> Tensor: ...


class _Adapter(Protocol):
    """diffusers' processor with an IP-Adapter's layers, one a picture; ours has one picture."""

    to_k_ip: Sequence[nn.Module]
    to_v_ip: Sequence[nn.Module]
    num_tokens: Sequence[int]
    scale: Sequence[float]


class _Processes(Protocol):
    """diffusers' own processor, which has no types."""

    def __call__(
        self, attn: _Layer, states: Tensor, texts: Tensor, mask: Tensor | None, temb: Tensor | None, /
    ) -> Tensor: ...


def share_text(network: Attends, *, keep: bool) -> None:
    """From here on the network takes one text a video, or one a frame as before.

    `keep`: keys and values serve until other texts come; otherwise they are computed at each pass.
    """
    processors = dict(network.attn_processors)
    for name, before in processors.items():
        if isinstance(before, IPAdapterAttnProcessor2_0):
            adapter = cast(_Adapter, before)
            layers = (adapter.to_k_ip[0], adapter.to_v_ip[0])
            processors[name] = TextAndPicture(*layers, adapter.num_tokens[0], adapter.scale[0], keep=keep)
        elif isinstance(before, TextAndPicture):
            processors[name] = TextAndPicture(
                before.to_k, before.to_v, before.tokens, before.scale, keep=keep
            )
        elif name.endswith("attn2.processor") and "motion_modules" not in name:
            processors[name] = _SharedText(keep=keep)
    network.set_attn_processor(processors)
    network.shares_text = True


def told(network: object, embeds_BTD: Tensor, frames: int) -> Tensor:
    """A text for each video as the network takes it: as it is, or repeated for each frame."""
    if getattr(network, "shares_text", False):
        return embeds_BTD
    return embeds_BTD.repeat_interleave(frames, dim=0)


class _SharedText(AttnProcessor2_0):
    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep
        self._kept: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=_KEPT)

    def __call__(
        self,
        attn: _Layer,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Frames [B F, N, C] that attend to texts [B, T, D]: [B F, N, C]; a video's frames are one row."""
        # A training changes what keys and values are made by, and may compute a block twice.
        if not self._keep or attention_mask is not None or torch.is_grad_enabled():
            plain = cast(_Processes, super().__call__)
            found = plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
            return found.reshape(hidden_states.shape)
        key, value = self._keys_and_values(attn, encoder_hidden_states)
        query = _heads(attn.to_q(hidden_states), len(encoder_hidden_states), attn.heads)
        found = functional.scaled_dot_product_attention(query, key, value)
        return _given_out(attn, found, hidden_states)

    def _keys_and_values(self, attn: _Layer, text_BTD: Tensor) -> tuple[Tensor, Tensor]:
        for text, key, value in self._kept:
            if text.is_set_to(text_BTD):  # the very same memory, which is not given away while it is kept
                return key, value
        rows = len(text_BTD)
        key, value = (_heads(project(text_BTD), rows, attn.heads) for project in (attn.to_k, attn.to_v))
        self._kept.append((text_BTD, key, value))
        return key, value


class TextAndPicture(nn.Module):
    """Decoupled cross-attention (IP-Adapter, arXiv 2308.06721, eq. 5): to a text, and to a picture's tokens.

    The last `tokens` of what is attended to are the picture's; they have keys and values of their own, and
    what is found there is added `scale` times. `keep` as in `share_text`.
    """

    def __init__(self, to_k: nn.Module, to_v: nn.Module, tokens: int, scale: float, *, keep: bool) -> None:
        super().__init__()
        self.to_k, self.to_v, self.tokens, self.scale = to_k, to_v, tokens, scale
        self._keep = keep
        self._kept: deque[tuple[Tensor, list[_Pair]]] = deque(maxlen=_KEPT)

    def forward(
        self,
        attn: _Layer,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Frames [B F, N, C] that attend to texts and tokens [B, T, D]: [B F, N, C]."""
        del attention_mask, temb  # a motion UNet gives its cross-attention neither
        (key, value), *picture = self._keys_and_values(attn, encoder_hidden_states)
        query = _heads(attn.to_q(hidden_states), len(encoder_hidden_states), attn.heads)
        found = functional.scaled_dot_product_attention(query, key, value)
        for shown_key, shown_value in picture:
            shown = functional.scaled_dot_product_attention(query, shown_key, shown_value)
            found = found + self.scale * shown
        return _given_out(attn, found, hidden_states)

    def _keys_and_values(self, attn: _Layer, seen_BTD: Tensor) -> list[_Pair]:
        """Those of the text, then those of the picture where it counts."""
        for seen, made in self._kept:
            if seen.is_set_to(seen_BTD):
                return made
        text, picture = (part.contiguous() for part in seen_BTD.tensor_split([-self.tokens], dim=1))
        rows, heads = len(text), attn.heads
        made = [(_heads(attn.to_k(text), rows, heads), _heads(attn.to_v(text), rows, heads))]
        if self.scale:
            own = (_heads(self.to_k(picture), rows, heads), _heads(self.to_v(picture), rows, heads))
            made.append(own)
        if self._keep:
            self._kept.append((seen_BTD, made))
        return made


def _given_out(attn: _Layer, found: Tensor, hidden_states: Tensor) -> Tensor:
    """What attention found, [B, heads, F N, channels of a head], as the layer hands it on: [B F, N, C]."""
    return attn.to_out[1](attn.to_out[0](found.transpose(1, 2).reshape(*hidden_states.shape[:2], -1)))


def _heads(projected: Tensor, rows: int, heads: int) -> Tensor:
    """[rows, heads, places, channels of a head]."""
    return projected.view(rows, -1, heads, projected.shape[-1] // heads).transpose(1, 2)
