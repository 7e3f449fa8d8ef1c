"""Syntax of other programs that has no meaning here: each is answered by what to type instead. Torch-free."""

from __future__ import annotations

import re
import shlex

from pokora_anime.errors import PromptError

_SCHEDULE = re.compile(r"^\s*\{?\s*[\"'“”]\d+[\"'“”]\s*:")
_STOP = re.compile(r"[\"'“”](\d+)[\"'“”]\s*:\s*[\"'“”](.*?)[\"'“”]\s*(?=,|\}|$)")
_JOINED = re.compile(r"\b(?:AND|AND_\w+|ADDCOL|ADDROW|ADDCOMM|ADDBASE)\b")
_ODDS = re.compile(r"^(.*\S)\s*:\s*([\d.]+)$", re.DOTALL)
_SQUARE = re.compile(r"(?<!\\)\[((?:\\.|[^\[\]\\])*)(?:\]|$)", re.DOTALL)
_SWITCH = re.compile(r"^([^:]*):(?:(.*):)?\s*\d*\.?\d+\s*$", re.DOTALL)
_WILDCARD = re.compile(r"__[A-Za-z*][\w/*-]*?__")
_LATER = 24  # a generated frame for the example of prompt travel: 3 s into a clip
_LONGEST = 300  # characters of a prompt that a fix repeats


def refuse(text: str, key: str) -> None:
    """Raise PromptError PRM-SYNTAX for the first thing in `text` that only another program would read."""
    for rule in (_schedule, _joined, _switched, _wildcard):
        rule(text, key)


def _schedule(text: str, key: str) -> None:
    if _SCHEDULE.match(text):
        stops = ", ".join(f"{frame}: {said.strip()}" for frame, said in _STOP.findall(text))
        raise _refusal(
            f"a prompt schedule in quotes in {key}",
            "prompt travel as `0: a girl, 24: a girl waving`",
            key,
            stops or "0: 1girl, 24: 1girl, waving",
        )


def _joined(text: str, key: str) -> None:
    found = _JOINED.search(text)
    if found is not None:
        parts = [part.strip(" ,") for part in _JOINED.split(text)]
        weighed = [_ODDS.sub(r"(\1:\2)", part) for part in parts if part]
        raise _refusal(
            f"{found[0]} in {key}: prompts are not composed here",
            "one prompt; `and` in small letters is a word",
            key,
            ", ".join(weighed),
        )


def _switched(text: str, key: str) -> None:
    for found in _SQUARE.finditer(text):
        inner = re.sub(r"\([^()]*\)", "", found[1])  # weights inside are not the bracket's own
        if "|" in inner:
            raise _refusal(
                f"{found[0]!r} in {key}: words do not take turns by step here",
                "a choice: the seed takes one, --multirun renders each",
                key,
                text.replace(found[0], "{" + found[1] + "}", 1),
            )
        switch = _SWITCH.match(found[1])
        if switch is not None:
            before, after = (switch[1], switch[2]) if switch[2] is not None else ("", switch[1])
            stops = [text.replace(found[0], said, 1).strip(" ,") for said in (before, after)]
            travel = f"0: {stops[0]}, {_LATER}: {stops[1]}" if all(stops) else "".join(stops)
            raise _refusal(
                f"{found[0]!r} in {key}: prompts are not switched by step here",
                "prompt travel by frame (a clip's), (word:1.2) for a weight, or a choice {a|b}",
                key,
                travel,
            )


def _wildcard(text: str, key: str) -> None:
    found = _WILDCARD.search(text)
    if found is not None:
        raise _refusal(
            f"{found[0]} in {key}: there are no wildcard files here",
            "the words as a choice {red|blue}, or whole prompts by --prompt-file FILE",
            key,
            text.replace(found[0], "{red|blue}", 1),
        )


def _refusal(got: str, expected: str, key: str, instead: str) -> PromptError:
    instead = instead if len(instead) <= _LONGEST else "1girl, blue hair"
    return PromptError("PRM-SYNTAX", got, expected=expected, fix=f"{key}={shlex.quote(instead)}")
