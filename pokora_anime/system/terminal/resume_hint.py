"""The command that goes on from where a stopped one was, as a line to paste into the shell."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_remembered: list[str] = []


def remember(command: str, words: Sequence[str]) -> None:
    """Keep `command` and the words typed behind it; fresh= would throw away what is finished."""
    kept = (word for word in words if not re.match(r"\+{0,2}fresh=", word))
    # Now, because a sweep puts Hydra's words into sys.argv.
    _remembered[:] = [*_program(), command, *kept]


def how() -> str:
    """The shell command to continue, or "the same command" where nothing was remembered."""
    return shlex.join(_remembered) if _remembered else "the same command"


def _program() -> list[str]:
    """How this program is started: by its name if the PATH leads to it, else by the path as typed."""
    started = sys.argv[0]
    found = shutil.which("pokora")
    if found and Path(found).resolve() == Path(started).resolve():
        return ["pokora"]
    if Path(started).stem == "pokora":
        return [started]
    return [sys.executable, "-m", "pokora_anime.cli"]  # not the installed script: python -m, or a test
