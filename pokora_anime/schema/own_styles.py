"""The user's own options of `style`: blends of LoRAs, a small JSON file each in the data folder. Torch-free.

A file is read by the strict reader and put into Hydra's store as the values that it names, so that nothing
else of it is ever composed: no defaults, no interpolation, no class.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from pokora_anime.errors import ConfigError
from pokora_anime.provenance.hashing import Json, Table
from pokora_anime.schema.settings import Family
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.user_folder import data_folder
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.untrusted_names import is_digest, shown

GROUP = "style"
FORMAT = "pokora-style-1"
MOST_BYTES = 16 << 10
MOST_LORAS = 3
MOST_WEIGHT = 2.0
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LORA = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# What style=none says before every prompt.
PREFIX = "(masterpiece, anime, clean cel-shading), detailed eyes, vivid colors"
_KEYS = {"format", "name", "base", "contest", "loras", "scores"}
_LORA_KEYS = {"id", "weight", "sha256", "title", "author", "licence", "page"}
_WORDS = ("title", "author", "licence", "page")
_LIMITS = replace(LIMITS, json_bytes=MOST_BYTES, json_depth=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A LoRA of a blend: its id or role, its weight, and the sha256 of its file on the blend's base."""

    id: str
    weight: float
    sha256: str
    title: str = ""
    author: str = ""
    licence: str = ""
    page: str = ""

    def to_plain(self) -> Table:
        """As the file holds it."""
        told: dict[str, Json] = {name: said for name in _WORDS if (said := getattr(self, name))}
        return {"id": self.id, "weight": self.weight, "sha256": self.sha256, **told}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """An option of `style`; `contest` is whose bounds its weights keep, `scores` what was measured."""

    name: str
    base: Family
    contest: str
    parts: tuple[Part, ...]
    scores: Mapping[str, float]

    def to_plain(self) -> Table:
        """As the file holds it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "base": self.base.value,
            "contest": self.contest,
            "loras": [part.to_plain() for part in self.parts],
            "scores": dict(self.scores),
        }

    @property
    def said(self) -> str:
        """Its weights in words: `pastel=0.7 flat_color=0.3`."""
        return " ".join(f"{part.id}={part.weight:g}" for part in self.parts)

    @property
    def option(self) -> Table:
        """What it sets, as an option's YAML file says it."""
        loras: list[Json] = [{"id": part.id, "weight": part.weight} for part in self.parts]
        return {"shot": {"prefix": PREFIX}, GROUP: {"loras": loras}}


def folder() -> Path:
    """Where the files lie."""
    return data_folder() / "styles"


def path_of(name: str) -> Path:
    """The file of one."""
    return folder() / f"{name}.json"


def names() -> tuple[str, ...]:
    """The options that are there, by file name, whether they can be read or not."""
    try:
        found = [path.stem for path in folder().iterdir() if path.suffix == ".json"]
    except OSError:
        return ()
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))


def find(name: str) -> Blend:
    """One of them. Raises ConfigError CFG-STYLE for none, or for a file that is none."""
    path = path_of(name) if NAME.fullmatch(name) else None
    try:
        if path is not None:
            stat = path.stat()
            return _read(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError:
        pass
    close = nearest(name, names())
    raise ConfigError(
        "CFG-STYLE",
        f"no style of yours is called {shown(name, 60)!r}",
        expected=f"one of {', '.join(names())}" if names() else "one that `pokora style blend` has made",
        fix=f"did you mean {close}?" if close else "pokora style list",
    )


def readable() -> list[Blend]:
    """All that can be read: a damaged file bars nobody who does not ask for it."""
    found: list[Blend] = []
    for name in names():
        try:
            found.append(find(name))
        except ConfigError:
            continue
    return found


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _size: int, _inode: int) -> Blend:
    blend = parse(read_bytes(path), path.name)
    if blend.name != path.stem:
        raise _none(path.name, f"it is called {blend.name}", "the name of its file")
    return blend


def read_bytes(path: Path) -> bytes:
    """At most one byte more than a blend has. Raises OSError."""
    with path.open("rb") as handle:
        return handle.read(MOST_BYTES + 1)


def parse(data: bytes, said: str) -> Blend:
    """A blend from the bytes of a file named `said`. Raises ConfigError CFG-STYLE, and for nothing else."""
    try:
        value = strict_json.parse(data, _LIMITS)
    except strict_json.BadJson as error:
        raise _none(said, f"{error.code}: {error.reason}", "one small JSON object") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise _none(said, "no style", f'a JSON object with "format": "{FORMAT}"')
    _only(said, value, _KEYS)
    name, base, contest = (value.get(key) for key in ("name", "base", "contest"))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _none(said, f"name {_short(name)}", "a small letter, then letters, digits, _ or -, at most 32")
    if base not in {family.value for family in Family}:
        raise _none(said, f"base {_short(base)}", "|".join(family.value for family in Family))
    if not isinstance(contest, str) or not NAME.fullmatch(contest):
        raise _none(said, f"contest {_short(contest)}", "the name of a contest")
    loras = value.get("loras")
    if not isinstance(loras, list) or not 1 <= len(loras) <= MOST_LORAS:
        raise _none(said, f"loras {_short(loras)}", f"a list of 1 to {MOST_LORAS} LoRAs")
    parts = tuple(_part(said, entry) for entry in loras)
    if len({part.id for part in parts}) < len(parts):
        raise _none(said, "a LoRA twice", "each once")
    scores = _scores(said, value.get("scores"))
    return Blend(name=name, base=Family(base), contest=contest, parts=parts, scores=scores)


def _part(said: str, entry: strict_json.Json) -> Part:
    if not isinstance(entry, dict):
        raise _none(said, f"a LoRA {_short(entry)}", "an object with id, weight and sha256")
    _only(said, entry, _LORA_KEYS)
    name, weight, digest = (entry.get(key) for key in ("id", "weight", "sha256"))
    if not isinstance(name, str) or not LORA.fullmatch(name) or ".." in name:
        raise _none(said, f"id {_short(name)}", "a role or an id of `pokora models list`")
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not 0 < cast(float, weight) <= MOST_WEIGHT:
        raise _none(said, f"weight {_short(weight)} of {name}", f"a number above 0, at most {MOST_WEIGHT:g}")
    if not is_digest(digest):
        raise _none(said, f"sha256 {_short(digest)} of {name}", "64 hexadecimal digits")
    words = {key: entry.get(key, "") for key in _WORDS}
    for key, text in words.items():
        if not isinstance(text, str) or len(text) > 200 or not text.isprintable():
            raise _none(said, f"{key} {_short(text)} of {name}", "one line of at most 200 characters")
    plain = cast(dict[str, str], words)
    return Part(id=name, weight=float(cast(float, weight)), sha256=cast(str, digest), **plain)


def _scores(said: str, value: strict_json.Json) -> dict[str, float]:
    if not isinstance(value, dict) or len(value) > 12:
        raise _none(said, f"scores {_short(value)}", "an object of a few numbers, {} for none")
    for key, number in value.items():
        finite = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if not NAME.fullmatch(key) or not finite:
            raise _none(said, f"score {_short(key)}: {_short(number)}", "a number by name")
    return {key: float(cast(float, number)) for key, number in value.items()}


def _only(said: str, value: Mapping[str, object], known: set[str]) -> None:
    unknown = sorted(set(value) - known)
    if unknown:
        raise _none(said, f"the key {_short(unknown[0])}", ", ".join(sorted(known)))


def _short(value: object) -> str:
    return shown(repr(value), 60)


def _none(said: str, why: str, expected: str) -> ConfigError:
    return ConfigError(
        "CFG-STYLE",
        f"{shown(said, 80)}: {why}",
        expected=expected,
        fix="a file that `pokora style export` wrote; to be rid of one: pokora style remove NAME",
    )
