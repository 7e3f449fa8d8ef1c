"""Where a long prompt is cut into chunks of 75 tokens: at commas, never inside a word. Torch-free.

A tokenizer gives ids and where each begins; what may be cut there is told by the text before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pokora_anime.errors import PromptError

CHUNK = 75  # text tokens between BOS and EOS
MAX_CHUNKS = 4
BACKTRACK = 37  # tokens that a chunk gives up to end at a comma
_COMMAS = ",，、。；;"
BREAK = ("BREAK", -1.0)  # the piece at which a new chunk begins

Ids = Sequence[int]
Spans = Sequence[tuple[int, int]]
Tokenizer = Callable[[str], tuple[Ids, Spans]]


class Place(IntEnum):
    """What a token begins: nothing that may be cut off, a character, a word, or what follows a comma."""

    within = 0
    character = 1
    word = 2
    phrase = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """A token with its weight and what it begins."""

    id: int
    weight: float
    place: Place


def chunked(pieces: Iterable[tuple[str, float]], tokenizer: Tokenizer, what: str) -> list[list[Placed]]:
    """The pieces' tokens in chunks of at most 75; at least one chunk.

    Raises PromptError PRM-LONG with the count when there are more than 300 tokens or 4 chunks.
    """
    sections = _sections(pieces, tokenizer)
    count = sum(map(len, sections))
    chunks = [chunk for section in sections for chunk in _cut(section)]
    if count > MAX_CHUNKS * CHUNK or len(chunks) > MAX_CHUNKS:
        many = (
            "" if count > MAX_CHUNKS * CHUNK else f" in {len(chunks)} chunks, which end at commas and BREAK"
        )
        raise PromptError(
            "PRM-LONG",
            f"the {what} has {count} tokens{many}",
            expected=f"at most {MAX_CHUNKS * CHUNK} in {MAX_CHUNKS} chunks",
            fix="shorten it: a few strong tags work better than many",
        )
    return chunks or [[]]


def _sections(pieces: Iterable[tuple[str, float]], tokenizer: Tokenizer) -> list[list[Placed]]:
    """The tokens between one BREAK and the next, empty stretches left out."""
    sections: list[list[Placed]] = [[]]
    text = ""
    for piece, weight in pieces:
        if (piece, weight) == BREAK:
            text = ""
            sections.append([])
            continue
        if piece.strip():
            ids, spans = tokenizer(piece)
            last = -1
            for token, (start, _) in zip(ids, spans, strict=True):
                place = Place.within if start == last else _place(text + piece[:start])
                sections[-1].append(Placed(token, weight, place))
                last = start
        text += piece
    return [section for section in sections if section]


def _place(before: str) -> Place:
    """What begins behind `before`."""
    bare = before.rstrip()
    spaced = len(bare) < len(before)
    if not bare or bare[-1] in _COMMAS or (spaced and bare[-1] in ".!?"):
        return Place.phrase
    return Place.word if spaced else Place.character


def _cut(tokens: list[Placed]) -> list[list[Placed]]:
    chunks: list[list[Placed]] = []
    while len(tokens) > CHUNK:
        end = _end(tokens)
        chunks.append(tokens[:end])
        tokens = tokens[end:]
    return [*chunks, tokens]


def _end(tokens: list[Placed]) -> int:
    """Where the first chunk ends: at the last comma if it is near, else word, else character."""
    for place, first in ((Place.phrase, CHUNK - BACKTRACK), (Place.word, 1), (Place.character, 1)):
        ends = [index for index in range(first, CHUNK + 1) if tokens[index].place >= place]
        if ends:
            return ends[-1]
    return CHUNK
