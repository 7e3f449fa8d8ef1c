"""A setting's law, which stands on its field, and the one walk over the fields of a schema. Torch-free.

`width: Annotated[int, Law("width of a frame", low=64, high=2048, multiple=8, unit="px")]`: checks, closed
strings, what can be typed, the help pages and docs/settings.md are read from there. Hydra sees the type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from types import NoneType
from typing import Annotated, Never, cast, get_args, get_origin, get_type_hints

REQUIRED = cast(Never, "???")  # OmegaConf's sign for a value that must be given
_BIG = 10**6  # from here on `:g` would round whole numbers
_TYPES: dict[type[object], str] = {int: "whole number", float: "number", str: "text", bool: "true|false"}


class Text(Enum):
    """What a string may hold where its law does not list the words; the value is what a help page says."""

    prompt = "text"
    weights = "registry id|own:ID"
    role = "role|registry id"
    own_role = "role|registry id|own:ID"
    plain = "name"
    speed = "option of the group speed"
    upscaler = "role|registry id of an upscaler"
    sound = "name of a registered sound"
    hash = "sha256"
    licence = "SPDX id"
    curve = "digits"


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """What a setting is for, in one line, and what it may be.

    Numbers lie from `low` to `high`, in `unit`, are a `multiple` of something or `odd`, or are `off`. Strings
    are one of `words` or what `text` says. Of a list and a map the law holds for each item; `names` are those
    that a map may have. `typed`: whether it can be set on a command line.
    """

    help: str = field(kw_only=False)
    low: float | None = None
    high: float | None = None
    multiple: int = 0
    odd: bool = False
    off: float | None = None
    unit: str = ""
    text: Text | None = None
    words: tuple[str, ...] = ()
    names: Text | tuple[str, ...] | None = None
    typed: bool = True

    def holds(self, value: float) -> bool:
        """Whether a number is one that the law allows."""
        low, high = self.bounds()
        if value == self.off:
            return True
        if not (math.isfinite(value) and low <= value <= high):
            return False
        return value % 2 == 1 if self.odd else not (self.multiple and value % self.multiple)

    def below(self, high: float) -> Law:
        """The same law with another largest number."""
        return replace(self, high=high)

    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest number."""
        low = -math.inf if self.low is None else self.low
        return low, math.inf if self.high is None else self.high

    def expected(self) -> str:
        """The numbers that the law allows, in words; "" where it allows all."""
        if self.low is None or self.high is None:
            return ""
        if self.odd:
            off = "" if self.off is None else f"{number(self.off)}, or "
            unit = f" of {self.unit}" if self.unit else ""
            return f"{off}an odd number{unit} from {number(self.low)} to {number(self.high)}"
        if self.multiple:
            return f"a multiple of {self.multiple} from {number(self.low)} to {number(self.high)}"
        return f"{number(self.low)} to {number(self.high)}"

    def range(self) -> str:
        """The same for a help page, with the unit: `64 to 2048 px, a multiple of 8`."""
        if self.low is None or self.high is None or self.odd:
            return self.expected()
        unit = f" {self.unit}" if self.unit else ""
        of = f", a multiple of {self.multiple}" if self.multiple else ""
        return f"{number(self.low)} to {number(self.high)}{unit}{of}"

    def nearest(self, value: float) -> float:
        """The allowed number that is closest; the smallest for what is no number."""
        low, high = self.bounds()
        if self.holds(value):
            return value
        if value > high:
            return high
        if not value > low:
            return low
        if self.odd:
            below = math.ceil(value) - 1
            return below - (below % 2 == 0)
        return min(max(low, round(value / self.multiple) * self.multiple), high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One field of a schema: its dotted `key`, its type, its law, and its default ("???": it must be given).

    In a key [] stands for any item of a list and {} for any name of a map. `form` is list, map or "", and
    `kind` the type of one item: a scalar, an Enum or a dataclass.
    """

    key: str
    kind: type[object]
    form: str
    optional: bool
    law: Law
    default: object

    @property
    def section(self) -> str:
        """The section that it stands in; "" for the run's own."""
        return self.key.rpartition(".")[0]

    @property
    def inside(self) -> bool:
        """Whether it is a field of a record that stands in a list or a map."""
        return "[" in self.key or "{" in self.key

    @property
    def type_name(self) -> str:
        """The type in a newcomer's words, as it is typed."""
        if self.form == "list":
            if is_dataclass(self.kind):
                return "[{" + ",".join(f"{entry.name}:..." for entry in fields(self.kind)) + "}]"
            members = self.members
            return "[" + ",".join(members or (_TYPES[self.kind], "...")) + "]"
        if self.form == "map":
            return f"{_TYPES.get(self.kind, 'record')} by name: {self.key}.{_first(self.law.names)}=..."
        one = "|".join(self.members) or _TYPES[self.kind]
        return f"{one} or null" if self.optional else one

    @property
    def members(self) -> tuple[str, ...]:
        """The words that are allowed, where there are few."""
        if issubclass(self.kind, Enum):
            return tuple(member.name for member in self.kind)
        return self.law.words

    @property
    def accepted(self) -> str:
        """What may be typed: the range with its unit, the words, or the type."""
        law = self.law
        if self.form == "map":
            return f"{law.range()}, by name: {self.key}.{_first(law.names)}=..."
        if law.text is None or self.form == "list":
            return law.range() or self.type_name
        return f"{law.text.value}{'|null' if self.optional else ''}"


def _first(names: Text | tuple[str, ...] | None) -> str:
    return names[0] if isinstance(names, tuple) else "NAME"


def number(value: float) -> str:
    """A number as people write it: 8, 0.5, and whole ones in full."""
    return str(int(value)) if abs(value) >= _BIG and float(value).is_integer() else f"{value:g}"


@cache
def settings(schema: type[object]) -> tuple[Setting, ...]:
    """Every field of a schema that is no section, in order; those of records in lists and maps as well."""
    return tuple(_settings(schema, ""))


@cache
def sections(schema: type[object]) -> dict[str, Law]:
    """The sections of a schema by dotted key: `finish.hires`."""
    return dict(_sections(schema, "", typed=True))


def _settings(schema: type[object], prefix: str, *, typed: bool = True) -> Iterator[Setting]:
    for name, default, kind, law in _fields(schema):
        key = f"{prefix}{name}"
        if _is_record(kind):
            yield from _settings(kind, f"{key}.", typed=typed and law.typed)
            continue
        inner, form, optional = _taken_apart(kind)
        own = law if typed or not law.typed else replace(law, typed=False)
        yield Setting(key=key, kind=inner, form=form, optional=optional, law=own, default=default)
        if _is_record(inner):
            yield from _settings(inner, f"{key}{'[]' if form == 'list' else '{}'}.", typed=own.typed)


def _sections(schema: type[object], prefix: str, *, typed: bool) -> Iterator[tuple[str, Law]]:
    for name, _, kind, law in _fields(schema):
        if _is_record(kind):
            yield f"{prefix}{name}", law if typed else replace(law, typed=False)
            yield from _sections(kind, f"{prefix}{name}.", typed=typed and law.typed)


@cache
def _fields(schema: type[object]) -> tuple[tuple[str, object, type[object], Law], ...]:
    """Name, default, type and law of each field. A field without a law has one without a word of help."""
    hints = get_type_hints(schema, include_extras=True)
    found: list[tuple[str, object, type[object], Law]] = []
    assert is_dataclass(schema)
    for entry in fields(schema):
        hint, law = hints[entry.name], Law("")
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            law = next((extra for extra in extras if isinstance(extra, Law)), law)
        found.append((entry.name, _default(entry.default, entry.default_factory), hint, law))
    return tuple(found)


def _is_record(kind: object) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _default(value: object, factory: object) -> object:
    if value is not MISSING:
        return value
    return factory() if callable(factory) else REQUIRED


def _taken_apart(kind: type[object]) -> tuple[type[object], str, bool]:
    """The type of one item, whether there are several, and whether there may be none."""
    inside = get_args(kind)
    if NoneType in inside:
        return inside[0], "", True
    if get_origin(kind) is list:
        return inside[0], "list", False
    return (inside[1], "map", False) if get_origin(kind) is dict else (kind, "", False)
