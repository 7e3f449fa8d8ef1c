"""What each key is where nobody says anything, as it is typed."""

from __future__ import annotations

import json
from functools import cache

from pokora_anime.config.compose import unresolved
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema import field_laws
from pokora_anime.schema.config_groups import SCHEMAS
from pokora_anime.schema.field_laws import Setting
from pokora_anime.schema.run_identity import to_plain


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
