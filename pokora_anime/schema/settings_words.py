"""Settings of a server or a session, typed as PREFIXkey=value and judged by their fields. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from pokora_anime.errors import ConfigError
from pokora_anime.schema import field_laws
from pokora_anime.schema.field_laws import Setting
from pokora_anime.system.did_you_mean import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def read(usual: T, prefix: str, words: Sequence[str], command: str) -> T:
    """`usual` with what the words say. Raises ConfigError CFG-SYNTAX, CFG-KEY, CFG-TYPE, CFG-RANGE.

    `command` is whose help page lists the keys.
    """
    known = {f"{prefix}{one.key}": one for one in field_laws.settings(type(usual))}
    found: dict[str, object] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in known:
            best = nearest(key, list(known))
            fix = f"did you mean {best}=?" if best else f"`pokora {command} --help`"
            code = "CFG-KEY" if equals else "CFG-SYNTAX"
            raise ConfigError(code, word[:80], expected=", ".join(f"{name}=" for name in known), fix=fix)
        found[known[key].key] = _value(known[key], key, text)
    return replace(usual, **found)


def help_lines(kind: type[T], prefix: str) -> list[str]:
    """A line a setting: how it is typed, what it takes, what it is."""
    lines: list[str] = []
    for one in field_laws.settings(kind):
        default = getattr(one.default, "name", one.default)
        lines.append(f"  {prefix}{one.key}={default}".ljust(32) + f"  {one.accepted}: {one.law.help}")
    return lines


def _value(setting: Setting, key: str, text: str) -> object:
    if issubclass(setting.kind, Enum):
        if text not in setting.members:
            best = nearest(text, setting.members) or setting.members[0]
            raise ConfigError(
                "CFG-RANGE", f"{key}={text[:60]}", expected="|".join(setting.members), fix=f"{key}={best}"
            )
        return setting.kind[text]
    if setting.kind not in (int, float):
        return text
    whole = setting.kind is int
    if not re.fullmatch(_pattern(setting) if whole else _DECIMAL, text, re.ASCII):
        expected = "a whole number" if whole else "a number"
        raise ConfigError("CFG-TYPE", f"{key}={text[:60]}", expected=expected, fix=f"{key}={setting.default}")
    number = int(text) if whole else float(text)
    if not setting.law.holds(number):
        near = field_laws.number(setting.law.nearest(number))
        raise ConfigError("CFG-RANGE", f"{key}={text}", expected=setting.law.range(), fix=f"{key}={near}")
    return number


_DECIMAL = r"-?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})"


def _pattern(setting: Setting) -> str:
    """Whole numbers of nine digits, or of as many as the largest that is allowed has."""
    high = setting.law.high
    return rf"-?\d{{1,{9 if high is None else max(9, len(str(int(high))))}}}"
