"""What an option of a group says: the values of its file, by dotted key. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

import yaml

from pokora_anime.provenance.hashing import Json
from pokora_anime.schema import own_styles
from pokora_anime.schema.config_groups import conf_dir, map_keys, own_option

MAX_LEAVES = 512
MAX_DEPTH = 6
Leaves = dict[str, Json]


def leaves(plain: Mapping[str, Json], prefix: str = "", depth: int = 0) -> Leaves:
    """The values of a plain config by dotted key, about `MAX_LEAVES` at most; lists and maps stay whole."""
    found: Leaves = {}
    for name, value in plain.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in map_keys() and depth < MAX_DEPTH:
            found |= leaves(value, f"{key}.", depth + 1)
        else:
            found[key] = value
        if len(found) > MAX_LEAVES:
            break
    return found


def values_of(group: str, option: str) -> Leaves:
    """What an option says; some of it is taken from elsewhere, `${base.anchor}` say."""
    if own_option(group, option):  # a blend of the user's, which may change
        return leaves(own_styles.find(option).option)
    return _shipped_values(group, option)


@cache
def _shipped_values(group: str, option: str) -> Leaves:
    text = (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8")
    read = cast(dict[str, Json], yaml.safe_load(text) or {})
    read.pop("defaults", None)
    prefix = "" if "@package _global_" in text else f"{group}."
    return leaves(read, prefix)
