"""Choices in a prompt: of `{red|blue} hair` the seed takes one, and a sweep renders each. Torch-free."""

from __future__ import annotations

import re
from hashlib import sha256

from pokora_anime.errors import PromptError
from pokora_anime.schema.brackets import narrow
from pokora_anime.schema.settings import ShotConfig

MAX_WAYS = 64
_INNERMOST = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)\}", re.DOTALL)
_BAR = re.compile(r"(?<!\\)\|")
_UNFINISHED = re.compile(r"(?<!\\)\{[^{}]*(?<!\\)\|[^{}]*$", re.DOTALL)
_COUNTED = re.compile(r"^\s*[\d.-]*\s*(?:\$\$(?:[^|$]*\$\$)?|::)")  # dynamicprompts' `2$$a|b` and `0.5::a`
# Braces that hold no choice, while others are looked for; neither character is text (check_text).
_HIDE, _SHOW = str.maketrans("{}", "\ue000\ue001"), str.maketrans("\ue000\ue001", "{}")


def has(text: str) -> bool:
    """Whether the text leaves something to be chosen; braces without a bar are letters."""
    return _next(narrow(text)) is not None


def choose(text: str, seed: int, key: str = "shot.prompt") -> str:
    """The text with each choice made by the seed, the inner ones first.

    Raises PromptError PRM-SYNTAX for a choice that is not closed, and for counts and odds in one.
    """
    if not has(text):
        _refuse_unfinished(text, key)
        return text
    text, number = narrow(text), 0
    while (found := _next(text)) is not None:
        options = _options(found, key)
        drawn = int.from_bytes(sha256(f"choice {number} of seed {seed}".encode()).digest()[:8])
        text = _put(text, found, options[drawn % len(options)])
        number += 1
    _refuse_unfinished(text, key)
    return text.translate(_SHOW)


def ways(text: str, key: str = "shot.prompt") -> list[str]:
    """Every text that the choices allow, in the order of typing. PromptError PRM-SYNTAX for too many."""
    if not has(text):
        return [text]
    done: list[str] = []
    open_ = [narrow(text)]
    while open_:
        first, *rest = open_
        found = _next(first)
        if found is None:
            done.append(first)
            open_ = rest
            continue
        made = [_put(first, found, option) for option in _options(found, key)]
        open_ = list(dict.fromkeys([*made, *rest]))
        if len(open_) + len(done) > MAX_WAYS:
            raise PromptError(
                "PRM-SYNTAX",
                f"{key} has more than {MAX_WAYS} ways",
                expected=f"at most {MAX_WAYS} combinations of its {{a|b}}",
                fix="leave out --multirun: then the seed chooses",
            )
    return [one.translate(_SHOW) for one in dict.fromkeys(done)]


def settle(shot: ShotConfig, seed: int) -> None:
    """Make the prompt's choices; what was typed is kept in `shot.typed`."""
    if has(shot.prompt):
        shot.typed = shot.prompt
        shot.prompt = choose(shot.prompt, seed)


def _next(text: str) -> re.Match[str] | None:
    """The first innermost choice. Braces without a bar are hidden on the way, so positions stay."""
    hidden = text
    while (found := _INNERMOST.search(hidden)) is not None:
        if _BAR.search(found[1]):
            return found
        inner = found[0].translate(_HIDE)
        hidden = hidden[: found.start()] + inner + hidden[found.end() :]
    return None


def _put(text: str, found: re.Match[str], option: str) -> str:
    return f"{found.string[: found.start()]}{option}{text[found.end() :]}"


def _options(found: re.Match[str], key: str) -> list[str]:
    options = _BAR.split(found[1])
    plain = [_COUNTED.sub("", option) for option in options]
    if plain != options:
        shown = found[0].translate(_SHOW)
        raise PromptError(
            "PRM-SYNTAX",
            f"a count or odds in {shown!r} in {key}",
            expected="a plain choice",
            fix=f"write {{{'|'.join(plain)}}} instead of {shown}",
        )
    return options


def _refuse_unfinished(text: str, key: str) -> None:
    if (found := _UNFINISHED.search(narrow(text))) is not None:
        raise PromptError(
            "PRM-SYNTAX",
            f"a choice without its end in {found[0][:40]!r} in {key}",
            expected="{red|blue}",
            fix=f"write {found[0].strip()}}} instead of {found[0].strip()}",
        )
