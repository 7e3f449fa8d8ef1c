"""Every key on a line of its own: default, what it may be, what it is for. `pokora video --help keys`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache

from pokora_anime.config.compose import unresolved
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema import field_laws
from pokora_anime.schema.config_groups import SCHEMAS, keys, typed_settings
from pokora_anime.schema.field_laws import Setting
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.system.did_you_mean import nearest

_ALL = "keys"
_WIDTH = 110
_INDENT = 32
_HEAD = """Keys of `pokora {command}`: its default, what it may be, what it is for

Each can follow the command as key=value. A group's option and base= set other defaults than these:
`pokora {command} --cfg` prints what a command line comes to. Prompts come with the base."""


def page(command: str, topic: str) -> str:
    """All keys, those of a section, or one. Raises ConfigError CFG-KEY for a topic that is none of these."""
    known = typed_settings(command)
    if topic == _ALL:
        return "\n".join([_HEAD.format(command=command), *_sections(command, list(known.values()))])
    asked = [one for key, one in known.items() if key == topic or key.startswith(f"{topic}.")]
    if not asked:
        raise _unknown(command, topic)
    return "\n".join(_sections(command, asked)).lstrip("\n")


def default(command: str, setting: Setting) -> str:
    """The value that `pokora COMMAND` composes a key to; "" for an empty text."""
    value: Json = _plain(command)
    for name in setting.key.split("."):
        assert isinstance(value, dict)
        value = value[name]
    return _typed(value)


def section_help(command: str, section: str) -> str:
    """What a section is for, in one line."""
    return field_laws.sections(SCHEMAS[command])[section].help


@cache
def _plain(command: str) -> dict[str, Json]:
    return to_plain(unresolved(command))


def _typed(value: Json) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_typed(item)}' for name, item in value.items())}}}"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _unknown(command: str, topic: str) -> ConfigError:
    known = keys(command)
    inner = {one.section for one in typed_settings(command).values()}
    leaves = {key.split(".")[-1]: key for key in reversed(known)}
    near = nearest(topic, [_ALL, *sorted(inner - {""}), *leaves, *known])
    best = leaves.get(near or "", near)
    fix = f"`pokora {command} --help {best or _ALL}`"
    return ConfigError("CFG-KEY", f"no help for {topic}", expected=f"{_ALL}, a section or a key", fix=fix)


def _sections(command: str, asked: list[Setting]) -> Iterator[str]:
    by_section: dict[str, list[Setting]] = {}
    for setting in asked:
        by_section.setdefault(setting.section, []).append(setting)
    for section, settings in by_section.items():
        yield from ("", f"{section}: {section_help(command, section)}" if section else "the run")
        for setting in settings:
            yield from _entry(command, setting)


def _entry(command: str, setting: Setting) -> Iterator[str]:
    """`  key=default   range: help`, folded where it is long."""
    value = default(command, setting)
    head = f"  {setting.key}={value}" if value and len(value) <= 24 else f"  {setting.key}"
    lines = _folded(f"{setting.accepted}: {setting.law.help}")
    if len(head) >= _INDENT:
        yield head
    else:
        yield f"{head:{_INDENT}}{lines.pop(0)}"
    yield from (f"{'':{_INDENT}}{line}" for line in lines)


def _folded(text: str) -> list[str]:
    """Lines that break between words and behind each |."""
    lines = [""]
    for piece in re.findall(r"[^ |]*\|| *[^ |]+", text):
        if len(lines[-1]) + len(piece) > _WIDTH - _INDENT:
            lines.append("")
            piece = piece.lstrip()
        lines[-1] += piece
    return lines
