"""The prompts of the nano bench: combinations that no training saw, as tags and as plain English."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pokora_anime.nano.train.drawn_data import LONGEST, is_held_out
from pokora_anime.nano.world.caption import caption_with_labels, full_caption
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES, SUBJECTS

SEED = 20_261  # no training draws from it
LEFT_OUT = ("style", "camera")  # defaults that a prompt need not name


@dataclass(frozen=True, slots=True)
class Asked:
    """The index-th prompt, the scene that it describes and a moment of it; the index is the seed too."""

    index: int
    scene: Scene
    time: float
    text: str
    english: bool

    @property
    def label(self) -> str:
        """The prompt on one short line."""
        return f"{self.index}: {self.text}"


def asked(index: int, stream: int = 0, **fixed: str) -> Asked:
    """The index-th prompt of a stream, uniform over the vocabulary but for `fixed` and held-out.

    Even ones are tags in any order, odd ones plain English; both name every attribute that shows.
    """
    rng = np.random.default_rng((SEED, stream, index))
    while True:
        scene = sample_scene(rng, **{"style": "plain", **fixed})
        if is_held_out(scene):
            break
    time = float(rng.uniform(0.0, LONGEST))
    english = index % 2 == 1
    text = _english(scene, rng) if english else _tags(scene, rng)
    return Asked(index, scene, time, text, english)


def _tags(scene: Scene, rng: np.random.Generator) -> str:
    first, *rest = full_caption(scene).split(", ")
    return ", ".join([first, *(rest[int(i)] for i in rng.permutation(len(rest)))])


def _english(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence of the training captions' kind that leaves nothing out; odd words may be in it."""
    needed = set(ATTRIBUTES) - {"style"}
    if scene.expression == "closed eyes":
        needed -= {"eye_color"}
    if scene.camera == "static":
        needed -= {"camera"}
    while True:
        text, labels = caption_with_labels(scene, rng)
        if all(labels[name] >= 0 for name in needed) and any(
            f"{subject} with" in text for subject in SUBJECTS
        ):
            return text
