"""What other tools write into their pictures: the web UI's `parameters`, ComfyUI's `prompt`.

Read as far as prompt, seed and number of steps go; whatever else they tell is named, and not taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pokora_anime.history.embedded_texts import MAX_NAMED, MAX_TEXT, Texts, unreadable
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import LAST_SEED
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown

LIMITS = Limits(json_bytes=MAX_TEXT)
_LENIENT = Limits(json_bytes=MAX_TEXT, json_odd_as_null=True)  # for values that are only looked through
MOST_STEPS = 150
_HOPS = 16  # nodes between a sampler and the words that steer it
_SETTINGS = re.compile(r"^Steps: \S", re.MULTILINE)
_NAME = re.compile(r"(?:^|, )([A-Z][\w .-]{0,30}): ")
_TAG = re.compile(r"<(\w+:[^<>]{0,80})>")
Graph = Mapping[str, Json]


@dataclass(slots=True, kw_only=True)
class Foreign:
    """Another tool's settings. `ignored` names what is not taken."""

    prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    ignored: list[str] = field(default_factory=list[str])


def parse(data: str, path: Path, name: str, limits: Limits = LIMITS) -> Json:
    """The JSON of a text. Raises ConfigError CFG-TAG for what is none, or is too deep or too large."""
    try:
        return strict_json.parse(data.encode(), limits)
    except strict_json.BadJson as error:
        raise unreadable(path, f"its text {name!r} is not plain JSON ({error.reason})") from error


def read(texts: Texts, path: Path) -> Foreign:
    """The settings that another tool's texts tell. Raises ConfigError CFG-TAG where there are none."""
    found = _told(texts, path)
    if found is None or not found.prompt:
        named = f" (not read: {', '.join(texts.others)})" if texts.others else ""
        raise unreadable(path, f"it carries no prompt{named}")
    found.ignored = list(dict.fromkeys([*found.ignored, *texts.others]))[:MAX_NAMED]
    return found


def _told(texts: Texts, path: Path) -> Foreign | None:
    if "parameters" in texts.read:
        return _parameters(texts.read["parameters"])
    if "prompt" in texts.read:
        return _graph(_loose(texts.read["prompt"], path, "prompt"))
    comment = texts.read.get("comment", "").strip()
    if not comment.startswith("{"):  # words of a person, or of a program about itself
        texts.others += ["comment"] if comment else []
        return None
    value = _loose(comment, path, "comment")
    graph = value.get("prompt") if isinstance(value, dict) else None
    if isinstance(graph, str) and not graph.lstrip().startswith("{"):
        return _plain_object(cast(dict[str, Json], value), graph)
    return _graph(_loose(graph, path, "prompt") if isinstance(graph, str) else graph)


def _loose(data: str, path: Path, name: str) -> Json:
    """As `parse`; a number that is none is null. Raises ConfigError CFG-TAG."""
    return parse(data, path, name, _LENIENT)


def _plain_object(value: dict[str, Json], prompt: str) -> Foreign:
    """Prompt, seed and steps side by side in one object, as several tools write them."""
    words, tags = _plain(prompt)
    found = Foreign(prompt=words, ignored=[*tags, *(name for name in value if name not in _TAKEN)])
    found.seed = _taken(value.get("seed"), "seed", LAST_SEED, found.ignored)
    found.steps = _taken(value.get("steps"), "steps", MOST_STEPS, found.ignored, least=1)
    found.ignored = [shown(name, 40) for name in found.ignored]
    return found


_TAKEN = ("prompt", "seed", "steps")


def _taken(value: Json, name: str, most: int, ignored: list[str], *, least: int = 0) -> int | None:
    """A whole number within bounds; what is told and is none is named in `ignored`."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    if value is not None:
        ignored.append(f"{name} {shown(value, 24)}")
    return None


def _parameters(text: str) -> Foreign:
    """The web UI's: the prompt, `Negative prompt: ...`, and a line of settings that begins with Steps."""
    last = [*_SETTINGS.finditer(text)][-1:]
    body = text[: last[0].start()] if last else text
    settings = text[last[0].start() :] if last else ""
    prompt, negative, _ = body.partition("Negative prompt:")
    words, tags = _plain(prompt)
    named = [name for name in _NAME.findall(settings) if name not in ("Seed", "Steps")]
    ignored = [*tags, *(["negative prompt"] if negative else [])]
    seed = _taken(_number("Seed", settings), "Seed", LAST_SEED, ignored)
    steps = _taken(_number("Steps", settings), "Steps", MOST_STEPS, ignored, least=1)
    return Foreign(prompt=words, seed=seed, steps=steps, ignored=[*ignored, *named])


def _graph(value: Json) -> Foreign | None:
    """ComfyUI's: nodes by number, each with a class and inputs that are values or [node, output]."""
    if not isinstance(value, dict):
        return None
    nodes = {name: node for name, node in value.items() if isinstance(node, dict)}
    sampler = next((node for node in nodes.values() if "positive" in _inputs(node)), None)
    numbers = [_inputs(node) for node in ([sampler] if sampler else []) + list(nodes.values())]
    prompt, tags = _plain(_text(nodes, sampler, "positive")) if sampler else ("", [])
    kinds = [str(node.get("class_type")) for node in nodes.values() if node is not sampler]
    ignored = [*tags]
    seed = _taken(_first(numbers, ("seed", "noise_seed")), "seed", LAST_SEED, ignored)
    steps = _taken(_first(numbers, ("steps",)), "steps", MOST_STEPS, ignored, least=1)
    ignored += [shown(kind, 40) for kind in dict.fromkeys(kinds) if "TextEncode" not in kind]
    return Foreign(prompt=prompt, seed=seed, steps=steps, ignored=ignored)


def _text(nodes: Mapping[str, dict[str, Json]], node: dict[str, Json], slot: str) -> str:
    """The words behind an input, along the nodes that lead to it."""
    for _ in range(_HOPS):
        value = _inputs(node).get(slot)
        if isinstance(value, str):
            return value
        target = nodes.get(str(value[0])) if isinstance(value, list) and value else None
        if target is None:
            return ""
        node, inputs = target, _inputs(target)
        slots = ("text", "text_g", "string", "value", "positive", "conditioning")
        slot = next((name for name in slots if name in inputs), "")
    return ""


def _inputs(node: dict[str, Json]) -> dict[str, Json]:
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _first(inputs: list[dict[str, Json]], names: tuple[str, ...]) -> Json:
    """The first whole number under one of the names, or else what stands there instead."""
    values = [one[name] for one in inputs for name in names if name in one]
    whole = (one for one in values if isinstance(one, int) and not isinstance(one, bool))
    odd = "NaN or over-long" if values and values[0] is None else values[0] if values else None
    return next(whole, odd)


def _number(name: str, settings: str) -> str | None:
    """A setting's value as text; None where it does not stand there."""
    found = re.search(rf"(?:^|, ){name}: ([^,\n]*)", settings, re.MULTILINE)
    return found[1].strip() if found else None


def _plain(prompt: str) -> tuple[str, list[str]]:
    """A prompt on one line without the tags of networks that only the other tool has, and those tags."""
    return " ".join(_TAG.sub(" ", prompt).split()).strip(" ,"), [
        shown(tag, 40) for tag in _TAG.findall(prompt)
    ]
