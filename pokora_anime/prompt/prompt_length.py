"""How long a prompt is before any model is there: over 300 tokens is refused. Torch-free.

nano's own tokenizer comes with the package. Of a base whose tokenizer is not here the least number is
counted that it can have: CLIP makes at least one token of each word, number and run of signs.
"""

from __future__ import annotations

import re
from functools import cache

from pokora_anime.prompt.prompt_chunks import MAX_CHUNKS, Ids, Spans, Tokenizer, chunked
from pokora_anime.prompt.prompt_syntax import ParsedPrompt, parse_travel
from pokora_anime.schema.settings import BaseConfig, Family, ShotConfig
from pokora_anime.system.files.installed_package import NANO_WEIGHTS

_NANO = NANO_WEIGHTS / "tokenizer" / "tokenizer.json"
# CLIP's own cut, before any pair of bytes is merged.
_UNIT = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\w\s]|_)+", re.IGNORECASE)
_SHORT = 150  # bytes: no more tokens than that, and so no more than 4 chunks


def refuse_long(shot: ShotConfig, base: BaseConfig, chosen: str) -> None:
    """Raise PromptError PRM-LONG where a stop of the prompt, or the negative one, has over 300 tokens."""
    tokenizer = _nano if base.family is Family.nano and base.weights == "nano" else _least
    positives, negative = parse_travel(shot, chosen)
    for what, parsed in (*(("prompt", one) for _, one in positives), ("negative prompt", negative)):
        if not _short(parsed):
            chunked(parsed.pieces, tokenizer, what)


def _short(parsed: ParsedPrompt) -> bool:
    return len(parsed.text.encode()) <= _SHORT and len(parsed.pieces) <= MAX_CHUNKS


def _least(text: str) -> tuple[Ids, Spans]:
    spans = [found.span() for found in _UNIT.finditer(text)]
    return [0] * len(spans), spans


def _nano(text: str) -> tuple[Ids, Spans]:
    return _nano_tokenizer()(text)


@cache
def _nano_tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer as Shipped

    shipped = Shipped.from_file(str(_NANO))

    def read(text: str) -> tuple[Ids, Spans]:
        found = shipped.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    return read
