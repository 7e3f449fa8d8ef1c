"""A group that is typed wins over what a preset says of the same keys. Torch-free.

Hydra merges a preset (`experiment=`, `sweep=`) last: `speed=hq` beside one of four steps would keep its
sampler and lose its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.config_groups import groups, options, overridden
from pokora_anime.schema.option_values import values_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

PRESETS = ("experiment", "sweep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regained:
    """A key of a typed group that a preset sets otherwise: `was` by the preset, `value` by the group."""

    word: str  # of the group, as it is typed
    preset: str
    key: str
    value: Json
    was: Json


def regained(command: str, words: Sequence[str]) -> list[Regained]:
    """What typed groups say otherwise than a typed preset. A group's several values are each looked at.

    Where the preset chooses the very option that is typed, it is one with it, and its values stand; so do
    those of keys that are typed themselves.
    """
    typed = dict(_pair(word) for word in words if "=" in word)
    found: list[Regained] = []
    for preset in PRESETS:
        option = typed.get(preset, "")
        if option not in options(preset):
            continue
        chosen, presets = overridden(preset, option), values_of(preset, option)
        for group in [name for name in groups(command) if name in typed and name not in PRESETS]:
            for one in typed[group].split(","):
                if one not in options(group) or chosen.get(group) == one:
                    continue
                found += [
                    Regained(
                        word=f"{group}={one}",
                        preset=f"{preset}={option}",
                        key=key,
                        value=value,
                        was=presets[key],
                    )
                    for key, value in values_of(group, one).items()
                    if key in presets and key not in typed and presets[key] != value
                ]
    return found


def settle(command: str, composed: DictConfig, words: Sequence[str]) -> None:
    """Give the keys of typed groups their own values again, in a config composed from these words."""
    from omegaconf import OmegaConf

    for one in regained(command, words):
        OmegaConf.update(composed, one.key, one.value)


def lines(command: str, words: Sequence[str]) -> list[str]:
    """What to tell of it: a line a typed group."""
    told: dict[str, list[str]] = {}
    for one in regained(command, words):
        told.setdefault(one.word, []).append(f"{one.key}={one.value} (not {one.was} of {one.preset})")
    return [f"{word} is typed and brings its own: {', '.join(keys)}" for word, keys in told.items()]


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.lstrip("+").partition("=")
    return key, value
