"""What can be text at all: one line of printable characters. Torch-free."""

from __future__ import annotations

import unicodedata

from pokora_anime.errors import PromptError


def check_text(key: str, text: str) -> None:
    """Raise PromptError unless `text` is one line of real characters."""
    if text == "???":  # OmegaConf's sign for a missing value
        raise PromptError("PRM-EMPTY", f"{key} is only question marks", fix="type what is to be seen")
    if "\n" in text or "\r" in text:
        raise PromptError(
            "PRM-CHARACTER", f"{key} has a line break", expected="one line", fix="join the lines by commas"
        )
    for position, character in enumerate(text):
        if not printable(character):
            raise PromptError(
                "PRM-CHARACTER",
                f"{key} is not text: character {position + 1} is U+{ord(character):04X}",
                expected="printable UTF-8",
                fix="retype that character",
            )


def printable(character: str) -> bool:
    """Whether a character can be text. Unassigned ones count: newer emoji are unknown to older Pythons."""
    if unicodedata.category(character) in ("Cc", "Cs", "Co", "Zl", "Zp"):
        return False
    point = ord(character)
    return not (0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE)
