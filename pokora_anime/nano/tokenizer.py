"""A CLIP tokenizer whose vocabulary is the drawn world's words and all 256 bytes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from transformers import CLIPTokenizer

MAX_LENGTH = 77
BOS = "<|startoftext|>"
EOS = "<|endoftext|>"


def byte_alphabet() -> tuple[str, ...]:
    """The 256 printable stand-ins for bytes, in the order CLIP and GPT-2 use."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in kept]
    return tuple(chr(b) for b in kept) + tuple(chr(256 + i) for i in range(len(moved)))


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent first, until every word is one token.

    Merging in all words at each turn, as encoding does, is what makes the result consistent.
    """
    symbols = [[*word[:-1], word[-1] + "</w>"] for word in sorted(set(words))]
    merges: list[tuple[str, str]] = []
    while any(len(s) > 1 for s in symbols):
        pairs = Counter(pair for s in symbols for pair in zip(s, s[1:], strict=False))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        symbols = [_merge(s, best) for s in symbols]
    return merges


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """The tokenizer for captions made of `words`; any other text becomes pieces or bytes."""
    letters = {piece for word in words for piece in re.findall(r"[a-z]+", word)}
    merges = learn_merges(letters)
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *(a + b for a, b in merges), BOS, EOS]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
