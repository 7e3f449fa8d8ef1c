"""Runs that somebody likes, in a file beside them; `pokora submission` takes them first. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.untrusted import untrusted_names

FILE = "favourites.txt"
MOST = 1000
_MAX_BYTES = 1 << 18
_HEAD = "# Favourite runs, the last one first choice: `pokora favourite RUN` adds, --remove takes away.\n"


def path(root: Path) -> Path:
    """The file below an output folder."""
    return root / FILE


def read(root: Path) -> list[str]:
    """Runs as paths relative to `root`, with `#2` for a still, oldest choice first.

    A line that names nothing inside `root` is none; a file that cannot be read holds none.
    """
    try:
        with path(root).open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    lines = (line.strip() for line in text.splitlines())
    named = [line for line in lines if line and not line.startswith("#")]
    return [line for line in dict.fromkeys(named) if not untrusted_names.problem(line)][-MOST:]


def runs(root: Path) -> list[str]:
    """The runs alone, the latest choice first."""
    return list(dict.fromkeys(line.partition("#")[0] for line in reversed(read(root))))


def write(root: Path, lines: Iterable[str]) -> Path:
    """Writes the file anew; returns its path. Raises MachineError SYS-*."""
    place = path(root)
    text = _HEAD + "".join(f"{line}\n" for line in dict.fromkeys(lines))
    with writing(root):
        write_atomic(place, text.encode())
    return place
