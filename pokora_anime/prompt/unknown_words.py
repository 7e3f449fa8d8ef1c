"""Which words of a prompt the drawn world does not know, with the nearest that it does. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache

from pokora_anime.nano.world import vocabulary
from pokora_anime.nano.world.kindred import kindred

# What joins words and draws nothing.
_JOINING = frozenset(
    """a an and are as at be but by for from has have he her his hers him i in into is it its itself my of
    off on onto or our out over she so than that the their them then there these they this those through to
    under up very was we were which while who whose will with without you your one two some any no not
    anime-style girl's it's she's looks look looking shows show scene video clip animation high low quality
    detailed masterpiece 4k 8k hd uhd illustration artwork art cute pretty lovely young nice little""".split()
)
_PHRASES = (
    vocabulary.HAIR_PHRASES,
    vocabulary.ACTION_PHRASES,
    vocabulary.PLACE_PHRASES,
    vocabulary.EXPRESSION_PHRASES,
    vocabulary.SHOT_PHRASES,
    vocabulary.CAMERA_PHRASES,
    vocabulary.STYLE_PHRASES,
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_COLORED = {"hair": "hair_color", "eyes": "eye_color"}
_SHOWN = 8  # things that a line names


def unknown_words(text: str, also: Sequence[str] = ()) -> tuple[str, ...]:
    """The things in a prompt's bare text that it cannot draw, each once: neighbouring words are one thing.

    What is in `also` is known from elsewhere.
    """
    bare = re.sub(r"[\s_]+", " ", text.lower())
    for form in (*_forms(), *sorted(also, key=len, reverse=True)):
        bare = re.sub(rf"(?<![\w-]){re.escape(form)}(?![\w-])", lambda found: "," * len(found[0]), bare)
    found: dict[str, None] = {}
    for phrase in re.split(r"[,.;:!?、。()\[\]\"]+", _unpaired(bare, found)):
        run: list[str] = []
        for word in [*_WORD.findall(phrase), ""]:
            if word and not _known(word):
                run.append(word)
            elif run:
                found[" ".join(run)] = None
                run = []
    return tuple(found)


def nearest(thing: str) -> str:
    """The nearest that is drawn: by meaning, else by spelling; empty where nothing is near."""
    near = kindred()
    for said in (thing, *reversed(thing.split())):
        if said in near:
            return near[said]
    for said in (thing, *reversed(thing.split())):
        close = get_close_matches(said, _names(), n=1, cutoff=0.75)
        if close:
            return close[0]
    return ""


def line(text: str, also: Sequence[str] = ()) -> str:
    """One line about what of the text is not drawn; empty where all of it is."""
    things = unknown_words(text, also)
    if not things:
        return ""
    told = [f"{thing} (nearest: {near})" if (near := nearest(thing)) else thing for thing in things[:_SHOWN]]
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return f"{', '.join(told)}{more}"


def _unpaired(bare: str, found: dict[str, None]) -> str:
    """Without the colours that hair or eyes do not come in, which are put into `found`."""
    for noun, attribute in _COLORED.items():
        drawn = {*vocabulary.ATTRIBUTES[attribute], *_synonyms(attribute)}
        for match in re.finditer(rf"(?<![\w-])([a-z]+) {noun}(?!\w)", bare):
            if f"{match[1]} {noun}" in kindred() or (match[1] in _colors() and match[1] not in drawn):
                found[f"{match[1]} {noun}"] = None
                bare = bare.replace(match[0], "," * len(match[0]))
    return bare


@cache
def _forms() -> tuple[str, ...]:
    """What is known as a whole, the longest first: `school uniform`, `in a sakura garden`."""
    forms = {*vocabulary.QUALITY, *vocabulary.SUBJECTS, *_names()}
    for table in _PHRASES:
        forms |= {form for said in table.values() for form in said if "{}" not in form}
    return tuple(sorted((form for form in forms if " " in form), key=lambda form: (-len(form), form)))


@cache
def _names() -> tuple[str, ...]:
    """The tags of everything that is drawn."""
    names = [name for name in vocabulary.ATTRIBUTES if "color" not in name]
    return ("1girl", *(form for name in names for form in (*vocabulary.ATTRIBUTES[name], *_synonyms(name))))


@cache
def _colors() -> frozenset[str]:
    names = [name for name in vocabulary.ATTRIBUTES if "color" in name]
    return frozenset(form for name in names for form in (*vocabulary.ATTRIBUTES[name], *_synonyms(name)))


def _synonyms(attribute: str) -> list[str]:
    return [form for forms in vocabulary.SYNONYMS.get(attribute, {}).values() for form in forms]


@cache
def _single() -> frozenset[str]:
    """Words known by themselves: those of captions, without the noise that captions hold."""
    noise = set(vocabulary.FILLER) - {form for form in _names() if " " not in form}
    return (frozenset(vocabulary.words()) - noise) | _JOINING


def _known(word: str) -> bool:
    return word in _single() or all(part in _single() for part in word.split("-"))
