"""`pokora stats`: how good and how fast runs were, by style and setting, and what got worse. Torch-free."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError, QualityError
from pokora_anime.history.run_statistics import FEWEST, LAST, Group, Regression, groups
from pokora_anime.provenance.hashing import Json
from pokora_anime.system.files.user_folder import amount
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = f"""Groups the finished runs below an output folder by style and setting (all but prompt, seed
and device) and tells, for each, the medians of seconds, peak memory and the overall score, 0 to 1. The newest
run of a setting is held against up to {LAST} before it: what is worse by more than they differ among
themselves is a regression, and the exit status is then {QualityError.exit_code}. Fewer than {FEWEST} earlier
runs say nothing."""
EXAMPLES = """Try
  pokora stats
  pokora stats lcm pastel
  pokora stats --json"""


def main(arguments: Sequence[str]) -> int:
    """Print the groups; 6 where the newest run of one is worse than those before it."""
    parser = OneLineParser(
        prog="pokora stats",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="words of a setting: lcm, pastel, video")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="default: ./outputs")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(list(arguments))
    found = groups(options.out, options.words)
    if not found:
        named = f" with {' '.join(options.words)}" if options.words else ""
        raise ConfigError(
            "CFG-FILE",
            f"no finished run in {shown(options.out)}{shown(named)}",
            expected="at least one",
            fix="leave the words out: pokora stats" if options.words else "pokora video, or --out DIR",
        )
    worse = [group for group in found if group.regressions]
    if options.json:
        listed: list[Json] = [group.to_json() for group in found]
        print(json.dumps({"settings": listed, "regressions": len(worse)}, ensure_ascii=False, indent=2))
    else:
        print("\n".join(line for group in found for line in _lines(group)))
    return QualityError.exit_code if worse else 0


def _lines(group: Group) -> list[str]:
    figures = (
        f"{group.runs} run{'s' if group.runs > 1 else ''}",
        f"{group.seconds:.0f} s" if group.seconds is not None else "",
        amount(round(group.memory)) if group.memory is not None else "",
        f"score {group.score:.3f}" if group.score is not None else "",
    )
    lines = [f"{group.setting}  {shown(' '.join(group.labels))}"]
    lines.append("  " + "  ".join(figure for figure in figures if figure))
    lines += [
        f"  worse: {_told(one)}; newest {shown(group.newest)}; {one.advice}" for one in group.regressions
    ]
    lines += [f"  try {' or '.join(group.advice)}"] if group.advice else []
    return lines


def _told(one: Regression) -> str:
    if one.what == "memory":
        return f"{amount(round(one.newest))} instead of {amount(round(one.usual))}"
    if one.what == "seconds":
        return f"{one.newest:.0f} s instead of {one.usual:.0f} s"
    return f"score {one.newest:.3f} instead of {one.usual:.3f}"
