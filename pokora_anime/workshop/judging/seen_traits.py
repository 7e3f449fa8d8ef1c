"""What the pictures of a data set have in common that no caption says, and how often a LoRA gives it.

nano's probe is the judge: it was trained on drawings alone, and never trained a generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.probe import STILL, AttributeProbe
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.system.files.installed_package import NANO_WEIGHTS
from pokora_anime.untrusted.png_pictures import Image

COMMON = 0.8  # share of the pictures that show a trait
NAMED = 0.5  # share of captions, from which on it is no secret
SCENERY = ("background", "shot", "expression")
OF_EYES = "eye_color"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """By trait its value and the share of pictures that show it with the LoRA and without; `together`: all
    traits at once; `followed`: the share of what prompts ask for that is there."""

    traits: Mapping[str, str] = field(default_factory=dict[str, str])
    shown: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    together: tuple[float, float] = (0.0, 0.0)
    followed: tuple[float, float] = (0.0, 0.0)


def look(
    drawings: Sequence[Image],
    captions: Sequence[str],
    prompts: Sequence[str],
    made: tuple[NDArray[np.uint8], ...],
) -> Seen:
    """What is seen in pictures of prompts `made` with the LoRA and without, both uint8 [n, h, w, 3]."""
    probe = AttributeProbe.from_pretrained(NANO_WEIGHTS / "probe")
    traits = common(_values(probe, drawings), captions)
    asked = [asked_attributes(prompt) for prompt in prompts]
    found = [_values(probe, list(pictures)) for pictures in made]
    shares = [_shares(values, traits, asked) for values in found]
    return Seen(
        traits=traits,
        shown={name: (shares[0][0][name], shares[1][0][name]) for name in traits},
        together=(shares[0][1], shares[1][1]),
        followed=(_followed(found[0], asked), _followed(found[1], asked)),
    )


def common(values: Mapping[str, Sequence[str]], captions: Sequence[str]) -> dict[str, str]:
    """Traits that most drawings show and few captions name."""
    asked = [asked_attributes(caption) for caption in captions]
    found: dict[str, str] = {}
    for name, seen in values.items():
        # Closed lids hide the colour of the eyes.
        counted = [
            value
            for value, told in zip(seen, asked, strict=True)
            if name != OF_EYES or told.get("expression") != "closed eyes"
        ]
        best = max(set(counted), key=counted.count, default="")
        named = sum(name in told for told in asked) / max(1, len(asked))
        if name not in SCENERY and counted and counted.count(best) >= COMMON * len(counted) and named < NAMED:
            found[name] = best
    return {name: value for name, value in found.items() if (name, value) != ("style", "plain")}


def _values(probe: AttributeProbe, pictures: Sequence[Image]) -> dict[str, list[str]]:
    """By attribute what each picture shows."""
    parts = [probe.judge(picture[None]).values() for picture in pictures]  # their sizes may differ
    return {name: [ATTRIBUTES[name][int(part[name][0])] for part in parts] for name in STILL}


def _shares(
    values: Mapping[str, Sequence[str]], traits: Mapping[str, str], asked: Sequence[Mapping[str, str]]
) -> tuple[dict[str, float], float]:
    """The share of pictures that show each trait, and all at once; closed eyes are not asked for a colour."""
    hidden = np.array([told.get("expression") == "closed eyes" for told in asked])
    there = {name: np.array([one == value for one in values[name]]) for name, value in traits.items()}
    if OF_EYES in there:
        there[OF_EYES] = there[OF_EYES] | hidden
    every = np.logical_and.reduce(list(there.values())) if there else np.zeros(len(asked), bool)
    return {name: float(seen.mean()) for name, seen in there.items()}, float(every.mean())


def _followed(values: Mapping[str, Sequence[str]], asked: Sequence[Mapping[str, str]]) -> float:
    right = [
        values[name][index] == value
        for index, told in enumerate(asked)
        for name, value in told.items()
        if name in values and not (name == OF_EYES and told.get("expression") == "closed eyes")
    ]
    return float(np.mean(right)) if right else 1.0
