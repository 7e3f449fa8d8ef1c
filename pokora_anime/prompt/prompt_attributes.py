"""Which attributes of the drawn world a prompt names, in tags or plain English. Torch-free."""

from __future__ import annotations

import re

from pokora_anime.nano.world import vocabulary
from pokora_anime.schema.brackets import narrow

_HAIR = ("hair", "twintails", "twin tails", "pigtails", "ponytail", "pony tail")
_EYES = ("eyes", "eyed")
_WORN = ("clothes", "outfit")
_NEAR = 3  # words that may lie between a colour and what it belongs to


def asked_attributes(prompt: str) -> dict[str, str]:
    """The value of every attribute that the prompt names; what it does not name is left out."""
    text = bare_text(prompt)
    found: dict[str, str] = {}
    for name, values in vocabulary.ATTRIBUTES.items():
        if name not in ("hair_color", "eye_color", "outfit_color"):
            best = _first(text, _forms(name, values))
            if best is not None:
                found[name] = best
    if "hair_style" not in found and (
        cut := re.search(r"\b(short|long) [\w-]+ hair\b|\bcut (short)\b", text)
    ):
        found["hair_style"] = f"{cut[1] or cut[2]} hair"
    nouns = {
        "hair_color": _HAIR,
        "eye_color": _EYES,
        "outfit_color": (*_WORN, *(form for form, _ in _forms("outfit", vocabulary.ATTRIBUTES["outfit"]))),
    }
    for name, things in nouns.items():
        color = _colored(text, _forms(name, vocabulary.ATTRIBUTES[name]), things)
        if color is not None:
            found[name] = color
    return found


def bare_text(prompt: str) -> str:
    """Lower case, without LoRA tags and the signs of emphasis; phrases stay apart at their commas."""
    text = re.sub(r"<[^>]*>", " ", narrow(prompt).replace("BREAK", ",").replace("_", " ").lower())
    text = re.sub(r":\s*[\d.]+\s*\)", ")", text)
    return re.sub(r"\s+", " ", re.sub(r"[()\[\]\\]", " ", text)).strip()


def _forms(name: str, values: tuple[str, ...]) -> list[tuple[str, str]]:
    """Every way to say a value, the longest first, so that "starry sky" wins over "sky"."""
    phrases = {
        "action": vocabulary.ACTION_PHRASES,
        "background": vocabulary.PLACE_PHRASES,
        "expression": vocabulary.EXPRESSION_PHRASES,
        "shot": vocabulary.SHOT_PHRASES,
        "camera": vocabulary.CAMERA_PHRASES,
        "style": vocabulary.STYLE_PHRASES,
    }.get(name, {})
    forms = [(value, value) for value in values]
    forms += [(form, value) for value, said in vocabulary.SYNONYMS.get(name, {}).items() for form in said]
    forms += [(form, value) for value, said in phrases.items() for form in said]
    return sorted(forms, key=lambda pair: -len(pair[0]))


def _first(text: str, forms: list[tuple[str, str]]) -> str | None:
    for form, value in forms:
        if re.search(rf"\b{re.escape(form)}\b", text):
            return value
    return None


def _colored(text: str, forms: list[tuple[str, str]], things: tuple[str, ...]) -> str | None:
    """The colour that stands before one of the things, at most a few words away, in the same phrase."""
    noun = "|".join(re.escape(thing) for thing in sorted(things, key=len, reverse=True))
    color = "|".join(re.escape(form) for form, _ in forms)
    others = "|".join((color, *_HAIR, *_EYES))
    between = rf"(?: (?!(?:{others})\b)[\w-]+){{0,{_NEAR}}}?"
    match = re.search(rf"\b({color}){between}[ -](?:{noun})\b", text)
    return dict(forms)[match[1]] if match else None
