"""What parent and child say to each other: a line of JSON each way, never pickle."""

from __future__ import annotations

import json
import threading
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import IO, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pokora_anime import errors
from pokora_anime.errors import ConfigError, PokoraError

T = TypeVar("T")
Message = dict[str, Any]


_sending = threading.Lock()  # threads of a run report beside each other


def send(stream: IO[bytes], message: Mapping[str, object]) -> None:
    """One message. Raises OSError where the other side is gone."""
    line = json.dumps(message).encode() + b"\n"
    with _sending:
        stream.write(line)
        stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """The next message; None where the other side is gone."""
    line = stream.readline()
    return json.loads(line) if line.endswith(b"\n") else None


def pack_error(error: PokoraError) -> Message:
    """An error as data."""
    return {
        "kind": type(error).__name__,
        "code": error.code,
        "got": error.got,
        "expected": error.expected,
        "fix": error.fix,
    }


def unpack_error(message: Message) -> PokoraError:
    """The error that `pack_error` was given."""
    kind = getattr(errors, message["kind"], PokoraError)
    return kind(message["code"], message["got"], expected=message["expected"], fix=message["fix"])


def from_plain(kind: type[T], value: object, path: str = "") -> T:
    """A config dataclass from what `to_plain` made of it: enums by name, every key present, none unknown.

    Raises ConfigError CFG-KEY or CFG-TYPE, because the data comes from another process.
    """
    if not isinstance(value, dict):
        raise _wrong(path, value, "a section")
    hints = get_type_hints(kind)
    held = cast(dict[str, Any], value)
    names = [entry.name for entry in fields(cast(Any, kind))]  # T is a config dataclass
    strange = sorted(set(names) ^ set(held))
    if strange:
        raise ConfigError("CFG-KEY", f"{path or 'config'}: {', '.join(strange)}", expected=", ".join(names))
    return kind(**{name: _typed(hints[name], held[name], f"{path}{name}") for name in names})


def _typed(kind: Any, value: Any, path: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        rest = next(one for one in inner if one is not types.NoneType)
        return None if value is None else _typed(rest, value, path)
    if origin is list and isinstance(value, list):
        items = cast(list[Any], value)
        return [_typed(inner[0], item, f"{path}[{index}]") for index, item in enumerate(items)]
    if origin is dict and isinstance(value, dict):
        held = cast(dict[Any, Any], value)
        return {str(key): _typed(inner[1], item, f"{path}.{key}") for key, item in held.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        return from_plain(kind, value, f"{path}.")
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value in kind.__members__:
            return kind[value]
        raise _wrong(path, value, "|".join(kind.__members__))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise _wrong(path, value, getattr(cast(Any, kind), "__name__", str(cast(Any, kind))))


def _wrong(path: str, value: object, expected: str) -> ConfigError:
    return ConfigError("CFG-TYPE", f"{path or 'config'}={str(value)[:60]}", expected=expected)
