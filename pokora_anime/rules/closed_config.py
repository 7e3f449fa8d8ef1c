"""The closed config: plain data becomes a typed config, or findings say what it holds that none may.

Reads what Hydra composed and what a run recorded alike, without Hydra. A config has text, seeds,
numbers, enums and registry ids, and every string in it has a rule: that of its field's law.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, cast, get_args, get_origin, get_type_hints

from pokora_anime.catalogue.finishing_networks import upscalers
from pokora_anime.catalogue.licences import open_ids
from pokora_anime.findings import Finding, Severity
from pokora_anime.rules import text_rules
from pokora_anime.schema.config_groups import SCHEMAS, options
from pokora_anime.schema.field_laws import REQUIRED, Text, settings
from pokora_anime.schema.settings import ContestConfig, RunConfig
from pokora_anime.sounds import sound_store

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_ITEMS = 32  # of a list or map: a config holds a handful of things, and no array
MAX_INTEGER = 2**63

Judge = Callable[[str, str], list[Finding]]


def _prompt(value: str, where: str) -> list[Finding]:
    return text_rules.judge(text_rules.PROMPT, value, where)


def _identifier(value: str, where: str) -> list[Finding]:
    return text_rules.judge(text_rules.ID, value, where)


def _choice(known: Callable[[], tuple[str, ...]], value: str, where: str) -> list[Finding]:
    if value in known():
        return []
    wrong = _refusal("GATE-CHOICE", "not one of the choices", value, where, "|".join(known()))
    return [*_identifier(value, where), wrong]


def _shaped(form: re.Pattern[str], expected: str, value: str, where: str) -> list[Finding]:
    """A value that nobody types and that has one form."""
    if form.fullmatch(value):
        return []
    return [_refusal("GATE-CHOICE", "not of the form that it has", value, where, expected)]


_HASH, _CURVE = re.compile(r"(?:[0-9a-f]{64})?"), re.compile(r"[0-9]{0,36001}")
_TEXTS: dict[Text, Judge] = {
    Text.prompt: _prompt,
    Text.weights: _identifier,
    Text.role: _identifier,
    Text.own_role: _identifier,
    Text.plain: _identifier,
    Text.speed: partial(_choice, lambda: options("speed")),
    Text.upscaler: partial(_choice, upscalers),
    Text.sound: partial(_shaped, sound_store.ID, "the name of a registered sound"),
    Text.hash: partial(_shaped, _HASH, "a sha256 in hexadecimal digits"),
    Text.licence: partial(_choice, lambda: ("", *open_ids())),
    Text.curve: partial(_shaped, _CURVE, "a digit for each delivered frame"),
}


def _judge(what: Text | tuple[str, ...]) -> Judge:
    return _TEXTS[what] if isinstance(what, Text) else partial(_choice, lambda: what)


def _strings() -> Iterator[tuple[str, Judge]]:
    for setting in (one for schema in SCHEMAS.values() for one in settings(schema)):
        if setting.law.names:
            yield f"{setting.key}{{}}", _judge(setting.law.names)
        if setting.kind is str:
            place = f"{setting.key}[]" if setting.form == "list" else setting.key
            yield place, _judge(setting.law.text or setting.law.words)


# What a string may be, by its place: [] stands for any item of a list, {} for any key of a map.
STRINGS: dict[str, Judge] = dict(_strings())


def read(command: str, plain: object) -> tuple[RunConfig | None, list[Finding]]:
    """The config of `command` that `plain` holds (None if it is none), and all that it may not hold."""
    if command not in SCHEMAS:
        return None, [_refusal("GATE-COMMAND", "no command that renders", command, "", "|".join(SCHEMAS))]
    reader = _Reader()
    config = reader.value(SCHEMAS[command], plain, "", "")
    return (config if isinstance(config, RunConfig) and not reader.broken else None), reader.findings


def read_contest(plain: object) -> tuple[ContestConfig | None, list[Finding]]:
    """A contest's limits from the plain data of its file."""
    reader = _Reader()
    limits = reader.value(ContestConfig, plain, "contest", "contest")
    return (limits if isinstance(limits, ContestConfig) and not reader.broken else None), reader.findings


@dataclass(slots=True)
class _Reader:
    """Walks plain data along a schema. `broken` once something has not the type that it should."""

    findings: list[Finding] = field(default_factory=list)
    broken: bool = False

    def value(self, kind: type[object], plain: object, where: str, slot: str) -> object:
        """`plain` as `kind`; `where` names it for people, `slot` is its place in STRINGS."""
        options = get_args(kind)
        if NoneType in options:
            return None if plain is None else self.value(options[0], plain, where, slot)
        if is_dataclass(kind):
            return self._record(kind, plain, where, slot)
        if get_origin(kind) is list:
            return self._list(options[0], plain, where, slot)
        if get_origin(kind) is dict:
            return self._map(options[1], plain, where, slot)
        if issubclass(kind, Enum):
            member = next((member for member in kind if member.name == plain), None)
            return member or self._wrong(plain, where, "|".join(member.name for member in kind))
        return self._scalar(kind, plain, where, slot)

    def _scalar(self, kind: type[object], plain: object, where: str, slot: str) -> object:
        if kind is str and isinstance(plain, str):
            self.findings += STRINGS[slot](plain, where)
            return plain
        if kind is bool and isinstance(plain, bool):
            return plain
        number = not isinstance(plain, bool)
        if kind is int and number and isinstance(plain, int):
            fits = abs(plain) < MAX_INTEGER
            return plain if fits else self._wrong("a huge number", where, "up to 2**63 - 1")
        if kind is float and number and isinstance(plain, int | float):
            fits = abs(plain) < MAX_INTEGER and math.isfinite(plain)
            return float(plain) if fits else self._wrong("a huge number", where, "a finite number")
        return self._wrong(plain, where, _KINDS[kind])

    def _record(self, kind: type[DataclassInstance], plain: object, where: str, slot: str) -> object:
        entries = self._entries(plain, where)
        if entries is None:
            return None
        hints = get_type_hints(kind)
        for name in sorted(entries.keys() - hints.keys())[:MAX_ITEMS]:
            self.broken = True
            expected = ", ".join(hints)
            self.findings.append(_refusal("GATE-KEY", "a key that no config has", name, where, expected))
        found: dict[str, object] = {}
        for entry in fields(kind):
            path, place = _join(where, entry.name), _join(slot, entry.name)
            if entry.name in entries or is_dataclass(hints[entry.name]):
                plain_entry = entries.get(entry.name, {})
                found[entry.name] = self.value(hints[entry.name], plain_entry, path, place)
            elif entry.default is REQUIRED or (entry.default is entry.default_factory is MISSING):
                self.broken = True
                self.findings.append(_refusal("GATE-KEY", "a key is missing", "nothing", path, "a value"))
        return None if self.broken else kind(**found)

    def _list(self, kind: type[object], plain: object, where: str, slot: str) -> object:
        if not isinstance(plain, list):
            return self._wrong(plain, where, "a list")
        items = cast(list[object], plain)
        if len(items) > MAX_ITEMS:
            return self._array(len(items), where)
        return [self.value(kind, item, f"{where}[{index}]", f"{slot}[]") for index, item in enumerate(items)]

    def _map(self, kind: type[object], plain: object, where: str, slot: str) -> object:
        entries = self._entries(plain, where)
        if entries is None:
            return None
        if len(entries) > MAX_ITEMS:
            return self._array(len(entries), where)
        for name in entries:
            self.findings += STRINGS[f"{slot}{{}}"](name, where)
        return {
            name: self.value(kind, item, f"{where}.{name}", f"{slot}{{}}") for name, item in entries.items()
        }

    def _entries(self, plain: object, where: str) -> dict[str, object] | None:
        given = cast(Mapping[object, object], plain) if isinstance(plain, Mapping) else None
        if given is None or not all(isinstance(name, str) for name in given):
            return self._wrong(cast(object, plain), where, "keys and values")
        return {str(name): item for name, item in given.items()}

    def _array(self, length: int, where: str) -> None:
        self.broken = True
        got, expected = f"{length} items", f"at most {MAX_ITEMS}"
        self.findings.append(_refusal("GATE-ARRAY", "a list that is too long", got, where, expected))

    def _wrong(self, plain: object, where: str, expected: str) -> None:
        self.broken = True
        got = plain if isinstance(plain, str) else type(plain).__name__
        self.findings.append(_refusal("GATE-TYPE", "a value of another type", got, where, expected))


_KINDS: dict[type[object], str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refusal(code: str, message: str, got: str, where: str, expected: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.block,
        message=message,
        got=ascii(got[:60])[1:-1],
        expected=expected,
        fix="`pokora video --help` lists what a config holds",
        where=where[:120],
    )
