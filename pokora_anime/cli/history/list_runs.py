"""`pokora list`: the runs that are there, newest first."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser, whole
from pokora_anime.history.run_list import Run, listed
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = """Lists the runs below an output folder, newest first: name, command, seed, seconds, the
score's good, fair and bad numbers, whether the config is an entry to its contest, and the prompt. Words
behind it must all stand in the prompt."""
EXAMPLES = """Try
  pokora list
  pokora list kimono night
  pokora list --last 5 --json"""


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns the exit status."""
    parser = OneLineParser(
        prog="pokora list",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="words of the prompt")
    parser.add_argument("--last", type=whole(1), metavar="N", help="at most N runs")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="default: ./outputs")
    parser.add_argument("--json", action="store_true", help="one JSON list")
    options = parser.parse_args(list(arguments))
    found = [one for one, _ in zip(listed(options.out, options.words), _up_to(options.last), strict=False)]
    if options.json:
        print(json.dumps([one.to_json() for one in found], ensure_ascii=False, indent=2))
    elif found:
        print("\n".join(lines(found)))
    else:
        print(f"no run in {options.out}" + (f" with {' '.join(options.words)}" if options.words else ""))
    return 0


def _up_to(last: int | None) -> Iterable[int]:
    return range(last if last is not None else 10**9)


def lines(runs: Sequence[Run]) -> list[str]:
    """Two lines a run: where it lies, and what it is."""
    return [line for run in runs for line in (shown(run.path), f"  {_told(run)}")]


def _told(run: Run) -> str:
    if run.problem:
        return f"damaged: {shown(run.problem)}"
    parts = [run.command, f"seed {run.seed}", _seconds(run), _score(run.score), run.entry]
    return "  ".join(part for part in (*parts, shown(run.prompt, 100)) if part)


def _seconds(run: Run) -> str:
    return (
        run.status if run.status != "finished" else f"{run.seconds:.0f} s" if run.seconds is not None else ""
    )


def _score(score: dict[str, int] | None) -> str:
    return "" if score is None else f"{score['good']} good {score['fair']} fair {score['bad']} bad"
