"""`--prompt-file`: a text file with one prompt a line, rendered as a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.prompt.prompt_text import check_text
from pokora_anime.rules import text_rules
from pokora_anime.untrusted.untrusted_names import shown

MAX_PROMPTS = 2000
_MAX_BYTES = 1_000_000


def override(path: Path) -> str:
    """The file's prompts as one override; empty lines and those that begin with # are none.

    Raises ConfigError CFG-FILE for a file that cannot be read or holds no prompts, and what a typed prompt
    raises (GATE-*, PRM-*) with the number of its line, before anything is rendered.
    """
    lines = enumerate((line.strip() for line in _read(path).split("\n")), start=1)
    prompts = {number: line for number, line in lines if line and not line.startswith("#")}
    if not prompts or len(prompts) > MAX_PROMPTS:
        raise _refusal(f"{len(prompts)} prompts in {shown(path)}", f"1 to {MAX_PROMPTS}, one a line")
    option = next((line for line in prompts.values() if line.startswith("--")), None)
    if option is not None:
        raise _refusal(
            f"{shown(option, 40)!r} in {shown(path)}", "prompts alone: options stand on the command line"
        )
    _judge(path, prompts)
    return f"shot.prompt={json.dumps([*prompts.values()], ensure_ascii=False)}"


def _judge(path: Path, prompts: Mapping[int, str]) -> None:
    """The gate of typed words, line by line; the first one that does not pass is told."""
    wrong = [(number, error) for number, line in prompts.items() if (error := _problem(line))]
    if not wrong:
        return
    number, error = wrong[0]
    others = len(wrong) - 1
    more = f" (and {others} more {'line' if others == 1 else 'lines'})" if others else ""
    raise ConfigError(
        error.code,
        f"line {number} of {shown(path)}: {error.got}{more}",
        expected=error.expected,
        fix=error.fix or "retype that line",
    )


def _problem(line: str) -> PokoraError | None:
    """What a typed prompt of these words would be refused for."""
    try:
        check_text("shot.prompt", line)
    except PokoraError as error:
        return error
    found = text_rules.judge(text_rules.PROMPT, line, "shot.prompt")
    if not found:
        return None
    first = found[0]
    got = f"{first.message} ({first.got})"
    return ConfigError(first.code, got, expected=first.expected, fix=first.fix)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _refusal(
                f"{shown(path)} is larger than {_MAX_BYTES} bytes", "a text file, one prompt a line"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refusal(
            f"cannot read {shown(path)} ({error.strerror})", "a text file, one prompt a line"
        ) from error
    except UnicodeDecodeError as error:
        raise _refusal(f"{shown(path)} is no UTF-8 text", "a text file, one prompt a line") from error


def _refusal(got: str, expected: str) -> ConfigError:
    return ConfigError("CFG-FILE", got, expected=expected, fix="--prompt '1girl, blue hair'")
