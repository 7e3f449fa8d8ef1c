"""The shortest command line that composes a recorded config again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import lru_cache

from pokora_anime.config.compose import compose
from pokora_anime.errors import PokoraError
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.config_groups import groups, own_option
from pokora_anime.schema.run_identity import plain_key, run_key, to_plain
from pokora_anime.schema.settings import RunConfig

# Groups that are no part of a config: presets over others, and grids.
_PRESETS = ("experiment", "sweep", "tuned")
_NAMED = ("base", "speed")  # a config tells which option it has, and other groups' defaults follow from it


def command_line(command: str, config: RunConfig) -> str | None:
    """`pokora video base=sdxl seed=7 ...` with this config's key; None where no command line has it."""
    wanted = to_plain(config)
    options = groups(command)
    overrides = [
        f"{group}={name}"
        for group, name in (("base", config.base.family.value), ("speed", config.speed.name))
        if name in options[group]
    ]
    composed = _composed(command, overrides)
    for group, choices in options.items():
        if group in (*_PRESETS, *_NAMED) or len(choices) < 2:
            continue
        # Each composition takes its time: only groups that have something else are tried.
        if composed is None or composed.get(group) != wanted.get(group):
            overrides += _option(command, group, wanted, overrides)
            composed = _composed(command, overrides)
    overrides = _needed(command, overrides, wanted, overrides)
    composed = _composed(command, overrides)
    if composed is None:
        return None
    overrides += [f"{name}={_typed(value)}" for name, value in _differing(composed, wanted)]
    # A prompt's words move the camera, and only now is it there; the other keys were found to differ.
    spoken = [one for one in overrides if one.startswith("finish.camera")]
    overrides = _needed(command, overrides, wanted, spoken)
    same = plain_key(command, _composed(command, overrides) or {}) == run_key(command, config)
    return shlex.join(["pokora", command, *overrides]) if same else None


def _needed(
    command: str, overrides: Sequence[str], wanted: dict[str, Json], doubted: Sequence[str]
) -> list[str]:
    """The overrides without those of the doubted ones that say what comes by itself."""
    kept = list(overrides)
    for override in doubted:
        less = [one for one in kept if one != override]
        if _apart(_composed(command, less), wanted) <= _apart(_composed(command, kept), wanted):
            kept = less
    return kept


def _option(command: str, group: str, wanted: dict[str, Json], before: Sequence[str]) -> list[str]:
    """The group's option that comes closest, as an override; nothing where none comes closer."""
    best: list[str] = []
    least = _apart(_composed(command, before), wanted)
    for option in groups(command)[group]:
        if own_option(group, option):
            continue  # nobody else has it
        tried = [f"{group}={option}"]
        composed = _composed(command, [*before, *tried])
        apart = _apart(composed, wanted)
        if apart < least:
            best, least = tried, apart
            if composed is not None and composed.get(group) == wanted.get(group):
                break
    return best


def _apart(composed: dict[str, Json] | None, wanted: dict[str, Json]) -> int:
    return 10_000 if composed is None else len(_differing(composed, wanted))


def _composed(command: str, overrides: Sequence[str]) -> dict[str, Json] | None:
    return _composed_once(command, tuple(overrides))


@lru_cache(maxsize=256)
def _composed_once(command: str, overrides: tuple[str, ...]) -> dict[str, Json] | None:
    try:
        return to_plain(compose(command, overrides))
    except PokoraError:
        return None


def _differing(composed: Json, wanted: Json, prefix: str = "") -> list[tuple[str, Json]]:
    """Keys with another value, as dotted names with the wanted value; `fresh` changes nothing."""
    if isinstance(composed, dict) and isinstance(wanted, dict):
        found: list[tuple[str, Json]] = []
        for name, value in wanted.items():
            dotted = f"{prefix}.{name}" if prefix else name
            if dotted != "fresh":
                found += _differing(composed.get(name), value, dotted)
        return found
    return [] if composed == wanted and type(composed) is type(wanted) else [(prefix, wanted)]


def _typed(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_typed(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_typed(item)}" for name, item in value.items()) + "}"
    return str(value)
