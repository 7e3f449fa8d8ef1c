"""Brackets of East Asian keyboards, read as the ASCII ones that they stand for."""

from __future__ import annotations

import re
import unicodedata

_WIDE = str.maketrans("（）［］｛｝＜＞｜", "()[]{}<>|")
_WEIGHT = re.compile(r"[:：]\s*[+\-＋－]?[\d.．]+\s*(?=[)\]])")
_TAG = re.compile(r"<\s*\w+\s*[:：][^<>]*>")


def narrow(text: str) -> str:
    """The text with full-width brackets, bars, weights and tags as ASCII; other characters stay."""
    text = text.translate(_WIDE)
    return _TAG.sub(_plain, _WEIGHT.sub(_plain, text))


def _plain(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found[0])
