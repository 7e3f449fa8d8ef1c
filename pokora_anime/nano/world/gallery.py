"""A page with a picture of everything that the drawn world knows, drawn by the world itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html import escape

import cv2
import numpy as np

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES, SYNONYMS

SIDE = 128  # pixels a picture
_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:70em}figure{display:inline-block;margin:.4em;width:128px;"
    "vertical-align:top}figcaption{text-align:center}small{color:#666;display:block}"
)
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


def page(said: Callable[[str, str], str]) -> str:
    """The page as HTML that needs no other file; `said` names a value of an attribute in a prompt's words."""
    parts = [_section(name, values, said) for name, values in ATTRIBUTES.items()]
    return (
        f"<!DOCTYPE html>\n<html lang='en'><meta charset='utf-8'><title>pokora words</title>"
        f"<style>{_STYLE}</style>\n<h1>What base=nano draws</h1>\n{''.join(parts)}</html>\n"
    )


def picture(name: str, value: str) -> bytes:
    """A PNG of one value of one attribute."""
    fixed = _REST | ({"shot": "full body"} if name in _WHOLE else {}) | {name: value}
    scene = sample_scene(np.random.default_rng(0), **fixed)
    drawn = draw_frame(scene, _LATER * (20 if name == "camera" else 1), SIDE).rgb
    found, encoded = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    assert found
    return encoded.tobytes()


def _section(name: str, values: tuple[str, ...], said: Callable[[str, str], str]) -> str:
    figures = [_figure(name, value, said) for value in values]
    return f"<h2>{escape(name.replace('_', ' '))}</h2>\n{''.join(figures)}\n"


def _figure(name: str, value: str, said: Callable[[str, str], str]) -> str:
    label = said(name, value)
    others = ", ".join(said(name, form) for form in SYNONYMS.get(name, {}).get(value, ()))
    data = b64encode(picture(name, value)).decode()
    return (
        f"<figure><img width={SIDE} height={SIDE} alt='{escape(label)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(label)}<small>{escape(others)}</small></figcaption></figure>\n"
    )
