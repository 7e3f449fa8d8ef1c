"""Each field of a config held against its own law; what fields must be together is in checks.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, cast

from pokora_anime.catalogue import finishing_networks
from pokora_anime.schema.field_laws import Law, Setting, Text, number, settings
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system.did_you_mean import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OWN = "own:"
# Names that are looked up later are judged by their shape: what is expected, and whether own: may precede.
_NAMES = {
    Text.weights: ("a registry id", True),
    Text.role: ("a role or registry id", False),
    Text.own_role: ("a role or registry id", True),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was got, what is expected, what to type."""

    path: str
    got: object
    expected: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Narrower:
    """A range that another field narrows: the largest number, why, and what to type if not that."""

    high: float
    why: str = ""
    fix: str = ""


def problems(config: RunConfig, narrower: Mapping[str, Narrower]) -> list[Problem]:
    """All fields that break their laws, in the order of the schema; `narrower` by dotted key."""
    found: list[Problem] = []
    for setting in settings(type(config)):
        if setting.law.typed and not setting.inside:
            value = _value(config, setting.key)
            found += _of_setting(setting, setting.key, value, narrower.get(setting.key))
    return found


def _value(config: RunConfig, key: str) -> object:
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _of_setting(
    setting: Setting, key: str, value: object, narrower: Narrower | None = None
) -> Iterator[Problem]:
    law = setting.law
    if setting.form == "map":
        for name, item in cast(dict[str, float], value).items():
            yield from _name(law, f"{key}.{name}", name, item)
            yield from _number(law, f"{key}.{name}", item, None)
    elif setting.form == "list":
        if is_dataclass(setting.kind):
            yield from _records(setting, cast("list[DataclassInstance]", value))
    elif isinstance(value, int | float):
        yield from _number(law, key, value, narrower)
    elif isinstance(value, str) and setting.kind is str:
        yield from _string(setting, key, value)


def _records(setting: Setting, items: Sequence[DataclassInstance]) -> Iterator[Problem]:
    """Records of a list, which are typed anew as a whole."""
    for index, item in enumerate(items):
        for one in settings(setting.kind):
            value = getattr(item, one.key)
            for problem in _of_setting(one, f"{setting.key}[{index}].{one.key}", value):
                if isinstance(value, int | float):
                    mended = [*items[:index], replace(item, **{one.key: one.law.nearest(value)})]
                    problem = replace(problem, fix=_typed(setting.key, [*mended, *items[index + 1 :]]))
                yield problem


def _typed(key: str, items: Sequence[DataclassInstance]) -> str:
    records = (",".join(f"{name}:{_word(value)}" for name, value in asdict(item).items()) for item in items)
    return f"{key}=[{','.join(f'{{{record}}}' for record in records)}]"


def _word(value: object) -> object:
    """A value as it is typed within a record."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if not isinstance(value, str) or _ID.fullmatch(value) else f"'{value}'"


def _number(law: Law, key: str, value: float, narrower: Narrower | None) -> Iterator[Problem]:
    expected = law.expected()
    if not expected:
        return
    stricter = law if narrower is None else law.below(narrower.high)
    if not stricter.holds(value):
        fix = f"{key}={number(stricter.nearest(value))}"
        if narrower is None:
            yield Problem(key, value, expected, fix)
        else:
            yield Problem(key, value, f"{stricter.expected()}{narrower.why}", narrower.fix or fix)


def _name(law: Law, key: str, name: str, value: float) -> Iterator[Problem]:
    """A name that its map has not."""
    if isinstance(law.names, tuple) and name not in law.names:
        best = nearest(name, law.names)
        map_key = key.removesuffix(f".{name}")
        yield Problem(key, value, "|".join(law.names), f"{map_key}.{best}={value:g}" if best else "")


def _string(setting: Setting, key: str, value: str) -> Iterator[Problem]:
    law = setting.law
    if law.words and value not in law.words:
        best = nearest(value, law.words) or setting.default
        yield Problem(key, value, "|".join(law.words), f"did you mean {best}?")
    elif law.text is Text.upscaler:
        known = finishing_networks.upscalers()
        if value not in known:
            yield Problem(key, repr(value), "|".join(known), f"{key}={nearest(value, known) or known[0]}")
    elif law.text in _NAMES:
        expected, own = _NAMES[law.text]
        if not _ID.fullmatch(value.removeprefix(_OWN) if own else value):
            fix = f"{key}=null" if law.text is Text.own_role else "`pokora models list`"
            yield Problem(key, repr(value), expected, fix)
