"""YAML without its surprises: one plain document, no key twice, no aliases, no tags."""

from __future__ import annotations

import re
from collections import Counter
from typing import Protocol, cast

import yaml

from pokora_anime.errors import ConfigError

MAX_CHARACTERS = 100_000
MAX_DEPTH = 60
_BRACKET = re.compile(r"[][{}]")
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")}


class _Composes(Protocol):
    """PyYAML, which does not type all that it takes."""

    def compose(self, stream: str, *, Loader: type) -> yaml.Node | None: ...


def load(text: str, name: str = "config") -> object:
    """The data in `text`, of the file `name`. Raises ConfigError GATE-YAML, GATE-DUPLICATE (a key twice)."""
    return _load(text, name, yaml.SafeLoader)


def load_words(text: str, name: str) -> object:
    """As `load`, every scalar as the text that was typed: 0123 and 2026-12-05 are no numbers and no dates."""
    return _load(text, name, yaml.BaseLoader)


def _load(text: str, name: str, loader: type[yaml.SafeLoader] | type[yaml.BaseLoader]) -> object:
    if len(text) > MAX_CHARACTERS:
        raise _refusal("GATE-YAML", name, f"{len(text)} characters", f"at most {MAX_CHARACTERS}")
    if _depth(text) > MAX_DEPTH:
        raise _refusal("GATE-YAML", name, "brackets nested too deep", f"at most {MAX_DEPTH} deep")
    try:
        node = cast("_Composes", yaml).compose(text, Loader=loader)
        _walk(node, name)
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or type(error).__name__
        raise _refusal("GATE-YAML", name, str(reason), "one plain YAML document") from error


def _depth(text: str) -> int:
    """How deep brackets stand at most, wherever they are: PyYAML takes time that grows with its square."""
    deepest = depth = 0
    for found in _BRACKET.finditer(text):
        depth = max(0, depth + (1 if found[0] in "[{" else -1))
        deepest = max(deepest, depth)
    return deepest


def _walk(node: yaml.Node | None, name: str) -> None:
    open_nodes, seen = [node], set[int]()
    while open_nodes:
        current = open_nodes.pop()
        if current is None:
            continue
        line = f"line {current.start_mark.line + 1}"
        if id(current) in seen:
            raise _refusal("GATE-YAML", name, f"an alias to {line}", "every value written out")
        seen.add(id(current))
        if current.tag not in _PLAIN:
            raise _refusal("GATE-YAML", name, f"{line}: tag {current.tag}", "plain values")
        if isinstance(current, yaml.MappingNode):
            counted = Counter(str(key.value) for key, _ in current.value)
            twice, times = counted.most_common(1)[0] if counted else ("", 0)
            if times > 1:
                raise _refusal("GATE-DUPLICATE", name, f"{line}: {twice} twice", "each key once")
            open_nodes += [part for pair in current.value for part in pair]
        elif isinstance(current, yaml.SequenceNode):
            open_nodes += current.value


def _refusal(code: str, name: str, got: str, expected: str) -> ConfigError:
    return ConfigError(code, f"{name}: {got}", expected=expected)
