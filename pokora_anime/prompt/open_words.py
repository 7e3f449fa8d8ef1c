"""What a prompt leaves open, chosen by the seed: a base that fills it in draws one person, not several.

The words follow from the config alone, so that whoever has a run's record derives the same. Torch-free.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256

from pokora_anime.nano.world import vocabulary
from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.prompt.prompt_syntax import parse_shot
from pokora_anime.schema.settings import Family, RunConfig

FILLED = ("hair_color", "hair_style", "eye_color", "outfit_color", "outfit")
_BESIDE = {"hair_color": "outfit_color", "outfit_color": "hair_color"}
_ALIKE = {"silver": "white", "white": "silver", "blonde": "yellow", "yellow": "blonde"}


def chosen(config: RunConfig) -> str:
    """The words that go behind every stop of the prompt, as tags; empty where nothing is left open."""
    if not config.base.fill_open or config.base.family is not Family.nano:
        return ""
    positive, negative = parse_shot(config.shot)
    asked = asked_attributes(positive.text)
    refused = asked_attributes(negative.text)
    found = _found(config.seed, asked, refused)
    if asked.get("expression") == "closed eyes":
        found.pop("eye_color", None)
    return ", ".join(_tags(found, asked))


def kept(config: RunConfig, first: str, text: str) -> str:
    """The words that have a later prompt show whom the first one shows: looks that it does not name itself,
    as the first names them or the run's seed chooses them; empty where the base fills nothing in.
    """
    if not config.base.fill_open or config.base.family is not Family.nano:
        return ""
    looks, asked = asked_attributes(first), asked_attributes(text)
    refused = asked_attributes(parse_shot(config.shot)[1].text)
    known = {**_found(config.seed, looks, refused), **looks}
    found = {name: known[name] for name in FILLED if name not in asked}
    if asked.get("expression") == "closed eyes":
        found.pop("eye_color", None)
    return ", ".join(_tags(found, asked))


def recorded(config: RunConfig) -> dict[str, str]:
    """The chosen words as a prompt's node tells them; nothing where there are none."""
    words = chosen(config)
    return {"chosen": words} if words else {}


def _found(seed: int, asked: Mapping[str, str], refused: Mapping[str, str]) -> dict[str, str]:
    """A value of each look that is not asked for; clothes and hair of one color would run into each other."""
    found: dict[str, str] = {}
    for name in FILLED:
        if name not in asked:
            beside = {**asked, **found}.get(_BESIDE.get(name, ""), "")
            found[name] = _drawn(name, seed, refused.get(name), {beside, _ALIKE.get(beside, "")})
    return found


def _drawn(name: str, seed: int, refused: str | None, beside: Collection[str]) -> str:
    """A value of an attribute by the seed alone, so that prompts of one seed show the same person; the next
    one where it would be a color `beside` it."""
    values = [value for value in vocabulary.ATTRIBUTES[name] if value != refused]
    first = int.from_bytes(sha256(f"{name} of seed {seed}".encode()).digest()[:8]) % len(values)
    return next(value for value in values[first:] + values[:first] if value not in beside)


def _tags(found: dict[str, str], asked: dict[str, str]) -> list[str]:
    tags: list[str] = []
    if "hair_color" in found:
        tags.append(f"{found['hair_color']} hair")
    if "hair_style" in found:
        tags.append(found["hair_style"])
    if "eye_color" in found:
        tags.append(f"{found['eye_color']} eyes")
    if "outfit" in found or "outfit_color" in found:
        parts = (found.get(name, asked.get(name, "")) for name in ("outfit_color", "outfit"))
        tags.append(" ".join(parts))
    return tags
