"""Strict JSON: one meaning per text, small numbers, no depth to fall into. Every file is read with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import cast

from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

INTEGER_DIGITS, FLOAT_DIGITS = 19, 32
# Strings are skipped whole, so that brackets inside them do not count.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


class BadJson(ValueError):
    """Text that is no strict JSON; `code` is stable (JSN-*), `reason` one line."""

    def __init__(self, code: str, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code}: {reason}")


def parse(data: bytes, limits: Limits) -> Json:
    """The value of `data`, which equals what any other reader makes of it.

    Raises BadJson JSN-SIZE, JSN-UTF8, JSN-DEPTH, JSN-DUPLICATE, JSN-NUMBER or JSN-SYNTAX.
    """
    if len(data) > limits.json_bytes:
        raise BadJson("JSN-SIZE", f"{len(data)} bytes, at most {limits.json_bytes} are read")
    _check_depth(data, limits.json_depth)
    try:
        text = data.decode("utf-8", "strict")
        value = cast(
            Json,
            json.loads(
                text,
                object_pairs_hook=_pairs,
                parse_int=_reader(_integer, limits),
                parse_float=_reader(_float, limits),
                parse_constant=_reader(_constant, limits),
            ),
        )
        # Half a surrogate pair, written as an escape, is no text and cannot be hashed.
        json.dumps(value, ensure_ascii=False).encode("utf-8", "strict")
    except UnicodeError as error:
        raise BadJson(
            "JSN-UTF8", f"not UTF-8 ({error.reason if isinstance(error, _DETAILED) else ''})"
        ) from error
    except BadJson:
        raise
    except (ValueError, RecursionError) as error:
        raise BadJson("JSN-SYNTAX", shown(error)) from error
    return value


_DETAILED = (UnicodeDecodeError, UnicodeEncodeError)


def _check_depth(data: bytes, limit: int) -> None:
    depth = 0
    for token in _TOKENS.finditer(data):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > limit:
                raise BadJson("JSN-DEPTH", f"lists in lists deeper than {limit}")
        elif token[0] in (b"]", b"}"):
            depth -= 1


def _pairs(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise BadJson("JSN-DUPLICATE", f"the key {shown(double, 60)!r} stands twice in one object")
    return found


def _reader(read: Callable[[str], Json], limits: Limits) -> Callable[[str], Json]:
    """What reads a number; with `json_odd_as_null` one that no other reader has to understand is null."""

    def lenient(digits: str) -> Json:
        try:
            return read(digits)
        except BadJson:
            return None

    return lenient if limits.json_odd_as_null else read


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS:
        raise BadJson("JSN-NUMBER", f"an integer of {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= FLOAT_DIGITS else math.inf
    if not math.isfinite(value):
        raise BadJson("JSN-NUMBER", f"the number {shown(digits, 40)}")
    return value


def _constant(name: str) -> Json:
    raise BadJson("JSN-NUMBER", f"{name} is no JSON number")
