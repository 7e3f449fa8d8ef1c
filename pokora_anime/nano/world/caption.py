"""Captions of a scene: Danbooru-style tags and plain-English sentences."""

from __future__ import annotations

import re
import string
from collections.abc import Collection

import numpy as np

from pokora_anime.nano.world import vocabulary
from pokora_anime.nano.world.scene import Scene

KEEP = 0.85
ORDER = tuple(vocabulary.ATTRIBUTES)


def full_caption(scene: Scene) -> str:
    """Every attribute as canonical tags in a fixed order."""
    return ", ".join(_tags(scene, set(ORDER) - _hidden(scene), None))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A random caption of the scene: tags or a sentence, in lower case."""
    return caption_with_labels(scene, rng)[0]


def caption_with_labels(
    scene: Scene, rng: np.random.Generator, left_out: Collection[str] = ()
) -> tuple[str, dict[str, int]]:
    """A random caption, and per attribute the index of the value it mentions (-1: not mentioned).

    Attributes that are `left_out` are never mentioned.
    """
    mentioned = _choose(scene, rng).difference(left_out)
    if rng.random() < 0.6:
        parts = _tags(scene, mentioned, rng)
        order = rng.permutation(len(parts))
        parts = [parts[int(i)] for i in order]
        if rng.random() < 0.85:
            parts = ["1girl", *parts]
    else:
        parts = [_sentence(scene, mentioned, rng)]
    text = ", ".join(_decorated(parts, rng))
    labels = {
        name: values.index(str(getattr(scene, name))) if name in mentioned else -1
        for name, values in vocabulary.ATTRIBUTES.items()
    }
    return text, labels


def _hidden(scene: Scene) -> set[str]:
    """Attributes a full caption leaves out: unseen ones and defaults."""
    hidden: set[str] = set()
    if scene.expression == "closed eyes":
        hidden.add("eye_color")
    if scene.style == "plain":
        hidden.add("style")
    if scene.camera == "static":
        hidden.add("camera")
    return hidden


def _choose(scene: Scene, rng: np.random.Generator) -> set[str]:
    """The attributes that this caption mentions."""
    keep = KEEP if rng.random() < 0.8 else float(rng.uniform(0.15, 0.5))
    mentioned = {name for name in ORDER if rng.random() < keep}
    if scene.expression == "closed eyes":
        mentioned.discard("eye_color")
    if scene.style == "plain" and rng.random() < 0.85:
        mentioned.discard("style")
    if scene.camera == "static" and rng.random() < 0.8:
        mentioned.discard("camera")
    return mentioned


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _word(scene: Scene, name: str, rng: np.random.Generator | None) -> str:
    """The value of an attribute, sometimes as a synonym."""
    value = str(getattr(scene, name))
    forms = vocabulary.SYNONYMS.get(name, {}).get(value, ())
    if rng is None or not forms or rng.random() < 0.75:
        return value
    return _pick(rng, forms)


def _tags(scene: Scene, mentioned: set[str], rng: np.random.Generator | None) -> list[str]:
    """One tag for each mentioned attribute; outfit and its colour share one."""
    tags: list[str] = [] if rng is not None else ["1girl"]
    for name in ORDER:
        if name not in mentioned:
            continue
        word = _word(scene, name, rng)
        if name == "hair_color":
            tags.append(f"{word} hair")
        elif name == "eye_color":
            tags.append(f"{word} eyes")
        elif name == "outfit":
            color = f"{_word(scene, 'outfit_color', rng)} " if "outfit_color" in mentioned else ""
            tags.append(f"{color}{word}")
        elif name == "outfit_color":
            if "outfit" not in mentioned:
                tags.append(f"{word} clothes")
        else:
            tags.append(word)
    return tags


def _hair_phrase(scene: Scene, mentioned: set[str], rng: np.random.Generator) -> str:
    color = _word(scene, "hair_color", rng) if "hair_color" in mentioned else ""
    if "hair_style" in mentioned:
        return re.sub(r" +", " ", _pick(rng, vocabulary.HAIR_PHRASES[scene.hair_style]).format(color))
    return f"with {color} hair" if color else ""


def _outfit_phrase(scene: Scene, mentioned: set[str], rng: np.random.Generator) -> str:
    color = _word(scene, "outfit_color", rng) if "outfit_color" in mentioned else ""
    if "outfit" in mentioned:
        lead = _pick(rng, ("in a", "wearing a"))
        return re.sub(r" +", " ", f"{lead} {color} {_word(scene, 'outfit', rng)}")
    return f"in {color} clothes" if color else ""


def _sentence(scene: Scene, mentioned: set[str], rng: np.random.Generator) -> str:
    """Plain English; what does not fit into the main clause follows after commas."""
    parts = [_pick(rng, vocabulary.SUBJECTS), _hair_phrase(scene, mentioned, rng)]
    if "eye_color" in mentioned:
        link = "and" if parts[-1] else "with"
        parts.append(f"{link} {_word(scene, 'eye_color', rng)} eyes")
    parts.append(_outfit_phrase(scene, mentioned, rng))
    if "action" in mentioned:
        parts.append(_pick(rng, vocabulary.ACTION_PHRASES[scene.action]))
    if "background" in mentioned:
        parts.append(_pick(rng, vocabulary.PLACE_PHRASES[scene.background]))
    tail: list[str] = []
    for name, table in (
        ("expression", vocabulary.EXPRESSION_PHRASES),
        ("shot", vocabulary.SHOT_PHRASES),
        ("camera", vocabulary.CAMERA_PHRASES),
        ("style", vocabulary.STYLE_PHRASES),
    ):
        if name in mentioned:
            tail.append(_pick(rng, table[str(getattr(scene, name))]))
    return ", ".join([" ".join(part for part in parts if part), *tail])


def _decorated(parts: list[str], rng: np.random.Generator) -> list[str]:
    """Quality tags in front and harmless unknown words anywhere."""
    parts = list(parts)
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(1, 4))):
            word = _filler(rng)
            parts.insert(int(rng.integers(len(parts) + 1)), word)
    if rng.random() < 0.35:
        count = int(rng.integers(1, 5))
        chosen = rng.permutation(len(vocabulary.QUALITY))[:count]
        parts = [*(vocabulary.QUALITY[int(i)] for i in chosen), *parts]
    return parts


def _filler(rng: np.random.Generator) -> str:
    if rng.random() < 0.65:
        return _pick(rng, vocabulary.FILLER)
    letters = rng.integers(0, 26, size=int(rng.integers(3, 10)))
    return "".join(string.ascii_lowercase[int(i)] for i in letters)
