"""A resolved config as the words that compose it: the fewest that differ from the defaults, in typing order.

Nothing of the config is trusted: each value becomes a word, and whoever uses the words has them judged as
if they had been typed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from pokora_anime.config.compose import unchecked
from pokora_anime.config.overrides import quote
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema import own_styles
from pokora_anime.schema.config_groups import (
    SCHEMAS,
    defaults,
    groups,
    keys,
    map_keys,
    options,
    own_option,
    prompt_keys,
)
from pokora_anime.schema.option_values import MAX_DEPTH, Leaves, leaves, values_of
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.untrusted.untrusted_names import shown

_PLAIN = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_RESERVED = ("null", "true", "false", "inf", "nan")
# Groups that a value names; every other one is found by what its options say.
NAMED = {"base": "base.family", "speed": "speed.name", "contest": "contest.name"}
_NO_CHOICE = ("experiment", "sweep", *NAMED)
_SETTLED = ("finish.camera", "motion.lora", "shot.prefix")  # what motion.camera and the prompt may set
_DERIVED = ("fresh", "shot.typed")  # what a config says of itself and nobody types


@dataclass(frozen=True, slots=True)
class Retyped:
    """`words` to type behind the command; `ignored`: keys whose values cannot be typed, or are none here."""

    words: list[str]
    ignored: list[str]


def retyped(command: str, wanted: Leaves) -> Retyped:
    """The words for `command` that give these values; all others are the defaults.

    Raises ConfigError or PromptError for words that do not compose.
    """
    first = _chosen(command, wanted)
    composed = leaves(to_plain(unchecked(command, first)))
    differing = _differing(wanted, composed)
    more = _options(command, wanted, differing)
    if more:
        first += more
        differing = _differing(wanted, leaves(to_plain(unchecked(command, first))))
    words = [*first, *_words(command, wanted, [key for key in differing if key not in _SETTLED])]
    left = _differing(wanted, leaves(to_plain(unchecked(command, words))))
    if late := _words(command, wanted, left):
        words += late
        left = _differing(wanted, leaves(to_plain(unchecked(command, words))))
    return Retyped(words, [shown(key, 60) for key in _told(left)])


def with_changes(words: Sequence[str], typed: Sequence[str]) -> list[str]:
    """`words` without what is typed anew; a group that is typed takes its own keys along."""
    named = {word.lstrip("+").partition("=")[0] for word in typed if "=" in word and not word.startswith("-")}
    flags = {flag for word in typed if (flag := word.partition("=")[0]) in ("--prompt", "--prompt-env")}
    named |= {"shot.prompt"} if flags else set()
    sections = named & set(groups("video"))
    return [word for word in words if not _replaced(word.partition("=")[0], named, sections)]


def dropped_with_groups(words: Sequence[str], typed: Sequence[str]) -> dict[str, list[str]]:
    """By the group that is typed anew, as it is typed: words of single keys that go with the old one."""
    chosen = {word.lstrip("+").partition("=")[0]: word for word in typed if "=" in word}
    found: dict[str, list[str]] = {}
    for word in words:
        key = word.partition("=")[0]
        section, dot, _ = key.partition(".")
        if dot and key not in chosen and section in chosen and section in groups("video"):
            found.setdefault(chosen[section], []).append(word)
    return found


def _replaced(key: str, named: Collection[str], sections: Collection[str]) -> bool:
    return key in named or key.partition(".")[0] in sections


def _words(command: str, wanted: Leaves, differing: Sequence[str]) -> list[str]:
    return [word for key in keys(command) if key in differing for word in _typed(key, wanted[key])]


def _chosen(command: str, wanted: Leaves) -> list[str]:
    """Prompt, seed, and the groups whose option a value names, where it is not the default."""
    words: list[str] = []
    prompt = wanted.get("shot.typed") or wanted.get("shot.prompt")
    if isinstance(prompt, str):
        words.append(f"shot.prompt={prompt}")
    seed = wanted.get("seed")
    if isinstance(seed, int):
        words.append(f"seed={seed}")
    for group, key in NAMED.items():
        name = wanted.get(key)
        if isinstance(name, str) and name in options(group):
            words.append(f"{group}={name}")
    return _without_defaults(command, words)


def _without_defaults(command: str, words: list[str]) -> list[str]:
    chosen = {f"{group}={option}" for group, option in defaults(command).items()}
    return [word for word in words if word not in chosen]


def _options(command: str, wanted: Leaves, differing: Collection[str]) -> list[str]:
    """For each group the option all of whose values are wanted, and most of which differ from the default."""
    found: list[str] = []
    own = [blend.name for blend in own_styles.readable()]
    for group, names in groups(command).items():
        if group in _NO_CHOICE:
            continue
        known = [name for name in names if name in own or not own_option(group, name)]
        scored = [(_score(command, group, name, wanted, differing), name) for name in known]
        best, name = max(scored, default=(0, ""))
        if best > 0:
            found.append(f"{group}={name}")
    return found


def _score(command: str, group: str, option: str, wanted: Leaves, differing: Collection[str]) -> int:
    """How many keys fewer differ under an option; 0 as soon as it sets one otherwise than wanted."""
    values, schema = values_of(group, option), _schema(command)
    said = {key: value for key, value in values.items() if "${" not in str(value)}
    if any(key not in wanted or not _same(wanted[key], value) for key, value in said.items()):
        return 0
    left = [key for key in values_of(group, defaults(command)[group]) if key not in values]
    lost = [key for key in left if key in wanted and not _same(wanted[key], schema.get(key))]
    return sum(key in differing for key in (*said, *left)) - len(lost)


@cache
def _schema(command: str) -> Leaves:
    """What a key is where neither its group nor anybody else sets it."""
    return leaves(to_plain(SCHEMAS[command]()))


def _differing(wanted: Leaves, composed: Leaves) -> list[str]:
    return [key for key, value in wanted.items() if not _same(composed.get(key, _Missing), value)]


class _Missing:
    """Stands for a value that a config has not."""


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _told(differing: Sequence[str]) -> list[str]:
    """What to name of the keys that could not be had; a contest's limits as one."""
    kept = [key for key in differing if key not in _DERIVED]
    return list(dict.fromkeys("contest" if key.startswith("contest.") else key for key in kept))


def _typed(key: str, value: Json) -> list[str]:
    """The words that set a key, none for a value that no key has."""
    if key in map_keys():
        entries = value.items() if isinstance(value, dict) else ()
        return [f"{key}.{name}={_value(item)}" for name, item in entries if _PLAIN.fullmatch(name)]
    if key in prompt_keys():
        return [f"{key}={value}"] if isinstance(value, str) else []
    return [f"{key}={_value(value)}"]


def _value(value: Json, depth: int = 0) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list) and depth < MAX_DEPTH:
        return f"[{','.join(_value(item, depth + 1) for item in value)}]"
    if isinstance(value, dict) and depth < MAX_DEPTH:
        pairs = (f"{_value(name, depth + 1)}:{_value(item, depth + 1)}" for name, item in value.items())
        return f"{{{','.join(pairs)}}}"
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED else quote(text)
