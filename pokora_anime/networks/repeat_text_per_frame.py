"""Cross-attention of a video's frames to the text that all of them share.

A prompt's keys and values depend on neither frame nor step: they are computed once a text, not once a
frame and step. Shape suffixes: B videos in a batch, F frames, N places, T tokens, C D channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn import functional

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
    for name in processors:
        if name.endswith("attn2.processor") and "motion_modules" not in name:
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
        found = found.transpose(1, 2).reshape(*hidden_states.shape[:2], -1)
        return attn.to_out[1](attn.to_out[0](found))

    def _keys_and_values(self, attn: _Layer, text_BTD: Tensor) -> tuple[Tensor, Tensor]:
        for text, key, value in self._kept:
            if text.is_set_to(text_BTD):  # the very same memory, which is not given away while it is kept
                return key, value
        rows = len(text_BTD)
        key, value = (_heads(project(text_BTD), rows, attn.heads) for project in (attn.to_k, attn.to_v))
        self._kept.append((text_BTD, key, value))
        return key, value


def _heads(projected: Tensor, rows: int, heads: int) -> Tensor:
    """[rows, heads, places, channels of a head]."""
    return projected.view(rows, -1, heads, projected.shape[-1] // heads).transpose(1, 2)
