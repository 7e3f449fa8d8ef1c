"""A page with a picture of everything that the drawn world knows, drawn by the world itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES, SYNONYMS
from pokora_anime.system.html_template import rendered

TEMPLATE = Path(__file__).parent / "templates" / "words.html.j2"
SIDE = 128  # pixels a picture
# What is the same in all pictures, so that each shows its own word.
_REST = {
    "hair_color": "brown",
    "hair_style": "long hair",
    "eye_color": "blue",
    "expression": "smile",
    "outfit": "dress",
    "outfit_color": "white",
    "action": "standing",
    "background": "blue sky",
    "shot": "upper body",
    "camera": "static",
    "style": "plain",
}
_WHOLE = ("action", "shot", "camera", "background", "outfit")  # seen from head to feet
_LATER = 0.4  # seconds: within an action, and 20 times that within a camera's move


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A value as a prompt names it, its other forms, and its picture."""

    label: str
    others: str
    png: bytes


def page(said: Callable[[str, str], str]) -> str:
    """The page as HTML that needs no other file; `said` names a value of an attribute in a prompt's words."""
    groups = {
        name.replace("_", " "): [_word(name, value, said) for value in values]
        for name, values in ATTRIBUTES.items()
    }
    return rendered(TEMPLATE, groups=groups, side=SIDE)


def picture(name: str, value: str) -> bytes:
    """A PNG of one value of one attribute."""
    fixed = _REST | ({"shot": "full body"} if name in _WHOLE else {}) | {name: value}
    scene = sample_scene(np.random.default_rng(0), **fixed)
    drawn = draw_frame(scene, _LATER * (20 if name == "camera" else 1), SIDE).rgb
    found, encoded = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    assert found
    return encoded.tobytes()


def _word(name: str, value: str, said: Callable[[str, str], str]) -> Word:
    others = ", ".join(said(name, form) for form in SYNONYMS.get(name, {}).get(value, ()))
    return Word(label=said(name, value), others=others, png=picture(name, value))
