"""What is typed beside a clip under way: a whole prompt, or words that change a part of it. Torch-free."""

from __future__ import annotations

import re

from pokora_anime.choreography.action_words import PHRASES
from pokora_anime.nano.world.vocabulary import SUBJECTS
from pokora_anime.prompt.prompt_attributes import asked_attributes, bare_text

_NOUNS = {"hair_color": "{} hair", "eye_color": "{} eyes"}
_SUBJECT = re.compile(
    r"\b(?:\d+ ?(?:girls?|boys?)|"
    + "|".join(map(re.escape, sorted(SUBJECTS, key=len, reverse=True)))
    + r")\b"
)
_ACTIONS = re.compile(
    r"\b(?:"
    + "|".join(re.escape(form) for forms in PHRASES.values() for form in sorted(forms, key=len, reverse=True))
    + r")\b"
)


def merged(now: str, typed: str) -> str:
    """The prompt after `typed`: it alone where it names somebody, else in the place of what it changes.

    `1girl, red hair, waving` and `dancing` make `1girl, red hair, dancing`.
    """
    typed = typed.strip(" ,")
    if not typed or not now or _SUBJECT.search(bare_text(typed)):
        return typed or now
    named = _named(typed)
    said = {part.strip().lower() for part in typed.split(",")}
    kept = [part for part in _parts(now) if not named & _named(part) and part.lower() not in said]
    found = ", ".join([*kept, typed])
    wanted = {name: value for name, value in asked_attributes(now).items() if name not in named}
    lost = {name: value for name, value in wanted.items() if name not in asked_attributes(found)}
    return ", ".join([found, *_tags(lost, wanted)])


def _named(text: str) -> set[str]:
    """What a stretch of text says something about."""
    found = set(asked_attributes(text))
    if "outfit" in found and "outfit_color" not in found:
        found.add("outfit_color")
    if _ACTIONS.search(bare_text(text)):
        found.add("action")
    return found


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _tags(lost: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """What a sentence that was left out said beside what has changed, as tags."""
    found = [_NOUNS.get(name, "{}").format(value) for name, value in lost.items() if "outfit" not in name]
    if {"outfit", "outfit_color"} & set(lost):
        found.append(" ".join(wanted[name] for name in ("outfit_color", "outfit") if name in wanted))
    return found
