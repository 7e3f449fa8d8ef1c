"""`pokora favourite`: runs that somebody likes, for the gallery and for the submission."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError
from pokora_anime.history import favourites, run_origin
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = """Keeps runs as favourites in favourites.txt below the output folder, the last one first
choice. The gallery stars them, and `pokora submission` takes the first choice of each kind where its project
names no run. Without a run they are listed."""
EXAMPLES = """Try
  pokora favourite
  pokora favourite outputs/video/NAME
  pokora favourite outputs/stills/NAME#2
  pokora favourite NAME --remove"""


def main(arguments: Sequence[str]) -> int:
    """Add, remove or list; returns the exit status. Raises ConfigError CFG-FILE, MachineError SYS-*."""
    parser = OneLineParser(
        prog="pokora favourite",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a run, or a still as RUN#2")
    parser.add_argument("--remove", action="store_true", help="take them away")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="default: ./outputs")
    options = parser.parse_args(list(arguments))
    kept = favourites.read(options.out)
    if options.runs:
        change = _without if options.remove else _with
        changed = change(kept, options.runs, options.out)
        if len(changed) > favourites.MOST:
            raise ConfigError(
                "CFG-RANGE",
                f"{len(changed)} favourites",
                expected=f"at most {favourites.MOST}",
                fix="--remove",
            )
        print(favourites.write(options.out, changed))
    elif options.remove:
        raise ConfigError("CFG-SYNTAX", "--remove without a run", fix="pokora favourite RUN --remove")
    else:
        print("\n".join(reversed(kept)) or f"no favourite in {options.out}")
    return 0


def _with(kept: Sequence[str], runs: Sequence[str], root: Path) -> list[str]:
    """What is liked anew moves to the end. Raises ConfigError CFG-FILE for what is no run below `root`."""
    named = [_name(text, root) for text in runs]
    return [*(line for line in kept if line not in named), *named]


def _without(kept: Sequence[str], runs: Sequence[str], root: Path) -> list[str]:
    """A run that is gone can be taken away too. Raises ConfigError CFG-FILE for what is no favourite."""
    gone: list[str] = []
    for text in runs:
        found = [line for line in kept if text in (line, line.rpartition("/")[2], str(root / line))]
        if not found:
            raise ConfigError(
                "CFG-FILE",
                f"{shown(text)} is no favourite",
                expected="one of the list",
                fix="`pokora favourite`",
            )
        gone += found
    return [line for line in kept if line not in gone]


def _name(text: str, root: Path) -> str:
    """A run's path below the output folder. Raises ConfigError CFG-FILE."""
    for one in (text, str(root / text)):
        if (root / one.partition("#")[0]).exists() or Path(one.partition("#")[0]).exists():
            text = one if Path(one.partition("#")[0]).exists() else str(root / one)
            break
    found = run_origin.find(text, root)
    folder = found.path if found.path.is_dir() else found.path.parent
    number = f"#{found.still + 1}" if found.still is not None else ""
    try:
        inside = folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        inside = ""
    if found.reading is None or not inside or not inside.isprintable():
        raise ConfigError(
            "CFG-FILE",
            f"{found.name} is no finished run in {root}",
            expected="one of its runs",
            fix="`pokora list`",
        )
    return inside + number
