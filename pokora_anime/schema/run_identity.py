"""A composed config as plain data, its key and its name: what a run folder is called after."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, cast

import yaml

from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, text_hash
from pokora_anime.schema.settings import RunConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_SLUG_LENGTH = 40


def to_plain(config: RunConfig) -> dict[str, Json]:
    """The config as dicts, lists and scalars; enums by their name."""
    plain = _plain(asdict(config))
    assert isinstance(plain, dict)
    return plain


def recorded(config: RunConfig) -> dict[str, Json]:
    """The same as a run's record holds it."""
    return run_layout.recorded(to_plain(config))


def part(section: DataclassInstance) -> dict[str, Json]:
    """A section of a config as plain data, as a node records it."""
    plain = _plain(asdict(section))
    assert isinstance(plain, dict)
    return plain


def to_yaml(config: RunConfig) -> str:
    """The resolved config as YAML that reads like the groups in conf/."""
    return yaml.safe_dump(recorded(config), sort_keys=False, allow_unicode=True, width=100)


def run_key(command: str, config: RunConfig) -> str:
    """sha256 (hex) of everything that changes the result; `fresh` and how it is judged do not."""
    return plain_key(command, to_plain(config))


def plain_key(command: str, plain: Mapping[str, Json]) -> str:
    """The key of a config that is plain data, as a record holds it."""
    return text_hash({"command": command, "config": run_layout.lasting(plain)})


def run_slug(config: RunConfig) -> str:
    """A short ASCII name from the prompt, for people; the key tells runs apart."""
    text = re.sub(r"<[^<>]*>", " ", config.shot.prompt)
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    if len(slug) > _SLUG_LENGTH:
        slug = slug[: _SLUG_LENGTH + 1].rsplit("-", 1)[0][:_SLUG_LENGTH]
    return slug or "shot"


def _plain(value: object) -> Json:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        pairs = cast(dict[object, object], value)
        return {str(_plain(key)): _plain(item) for key, item in pairs.items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[object], value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} in a config")
