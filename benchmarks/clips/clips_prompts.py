"""The prompts of the clips bench: every second one leaves what it does not name to the model."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.nano import nano_prompts
from pokora_anime.nano.world.scene import Scene

STREAM = 20  # no section of the nano bench draws from it


@dataclass(frozen=True, slots=True)
class Asked:
    """The index-th prompt; the index is the seed too. An `open` one names no eyes, outfit or expression."""

    index: int
    text: str
    open: bool
    scene: Scene


def asked(index: int) -> Asked:
    """A prompt of held-out attributes: even ones name all that shows, odd ones half of it."""
    one = nano_prompts.asked(index, STREAM, camera="static")
    scene = one.scene
    if index % 2 == 0:
        return Asked(index, one.text, open=False, scene=scene)
    named = (f"{scene.hair_color} hair", scene.hair_style, scene.background, scene.action)
    return Asked(index, ", ".join(("1girl", *named)), open=True, scene=scene)
