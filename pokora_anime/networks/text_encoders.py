"""Tokenizers and text encoders of a base, one (SD2) or two (SDXL, nano)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from pokora_anime.prompt.prompt_chunks import CHUNK


class _Tokenized(Protocol):
    input_ids: list[int]
    offset_mapping: list[tuple[int, int]]


class Tokenizer(Protocol):
    """A tokenizer of transformers."""

    bos_token_id: int
    eos_token_id: int
    pad_token_id: int

    def __call__(self, text: str, /, **how: bool) -> _Tokenized: ...


class _Encoded(Protocol):
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...]


class Encoder(Protocol):
    """A text encoder of transformers."""

    device: torch.device

    def __call__(self, ids: Tensor, /, *, output_hidden_states: bool) -> _Encoded: ...


class TextStack:
    """Turns chunks of text tokens into embeddings, as the base was trained to read them.

    `load` makes the encoders when they are first needed: reading a stored prompt needs none.
    """

    def __init__(
        self, tokenizers: Sequence[Tokenizer], load: Callable[[], Sequence[Encoder]], *, zero_empty: bool
    ) -> None:
        self.tokenizers = tokenizers
        self.zero_empty = zero_empty  # the base was trained with zeros for "no prompt"
        self._load = load
        self._encoders: Sequence[Encoder] | None = None

    @property
    def encoders(self) -> Sequence[Encoder]:
        """The encoders, loaded on first use."""
        if self._encoders is None:
            self._encoders = self._load()
        return self._encoders

    def tokens(self, text: str, which: int = 0) -> list[int]:
        """Token ids of a piece of text without BOS, EOS and padding."""
        found = self.tokenizers[which](text, add_special_tokens=False, truncation=False, verbose=False)
        return list(found.input_ids)

    def placed(self, text: str, which: int = 0) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids as `tokens`, and the characters of `text` (first, end) that each stands for."""
        found = self.tokenizers[which](
            text, add_special_tokens=False, truncation=False, verbose=False, return_offsets_mapping=True
        )
        return list(found.input_ids), [(first, end) for first, end in found.offset_mapping]

    def encode(self, chunks: list[list[list[int]]]) -> tuple[Tensor, Tensor | None]:
        """Hidden states [chunks, 77, channels] and the pooled embedding [channels] of the first chunk.

        `chunks[tokenizer][chunk]` holds at most 75 ids. SDXL: both encoders' penultimate hidden
        states side by side, pooled by the second (arXiv 2307.01952, section 2.1). SD2: the only
        encoder's last hidden state, normed, because its published layers already end one early.
        """
        hidden: list[Tensor] = []
        pooled: Tensor | None = None
        for tokenizer, encoder, rows in zip(self.tokenizers, self.encoders, chunks, strict=True):
            ids = torch.tensor([framed(row, tokenizer) for row in rows], device=encoder.device)
            with torch.inference_mode():
                found = encoder(ids, output_hidden_states=True)
            if len(self.encoders) == 1:
                hidden.append(found.last_hidden_state.float())
            else:
                hidden.append(found.hidden_states[-2].float())
                pooled = getattr(found, "text_embeds", pooled)
        return torch.cat(hidden, dim=-1), None if pooled is None else pooled[0].float()


def framed(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """A chunk as the encoder wants it: BOS, ids, EOS, padding; 77 in all."""
    row = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return row + [tokenizer.pad_token_id] * (CHUNK + 2 - len(row))
