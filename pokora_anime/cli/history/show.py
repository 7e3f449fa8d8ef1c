"""`pokora show`: what made a run, a PNG or an MP4."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.history import run_list, run_origin
from pokora_anime.history.run_origin import Origin
from pokora_anime.provenance.hashing import Json
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = """Tells what made a run's folder, a still's PNG or a clip's MP4: the command that renders it
again, prompt, seed, and of a run its record, weights and score. A file is asked for the texts that it
carries; its picture is not decoded. Of other tools' files prompt, seed and number of steps are read; the
rest is named."""
EXAMPLES = """Try
  pokora show outputs/video/NAME
  pokora show outputs/stills/NAME#2
  pokora show clip.mp4 --json"""


def main(arguments: Sequence[str]) -> int:
    """Print what is known; returns the exit status. Raises ConfigError CFG-FILE, CFG-TAG, RecordError."""
    parser = OneLineParser(
        prog="pokora show",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="FILE|RUN", help="a run, a still as RUN#2, a PNG or an MP4")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="default: ./outputs")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(list(arguments))
    told = facts(run_origin.find(options.what, options.out))
    if options.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print(
            "\n".join(f"{name:9} {_text(value)}" for name, value in told.items() if value not in (None, []))
        )
    return 0


def facts(found: Origin) -> dict[str, Json]:
    """What is known of it, in reading order."""
    typed = found.retyped()
    shot = run_origin.shot(found.plain)
    told: dict[str, Json] = {
        "path": found.name,
        "again": shlex.join(["pokora", found.command, *typed.words]),
        "prompt": str(shot.get("typed") or shot.get("prompt") or "") or None,
        "seed": found.seed if found.seed is not None else found.plain.get("seed"),
        "ignored": [*typed.ignored],
        "keyframe": found.keyframe or None,
    }
    if found.reading is not None:
        told |= {"record": found.reading.sha256, "weights": [*run_origin.weights(found.reading)]}
        told |= {"score": {**score} if (score := run_list.score(found.path)) else None}
    return told


def _text(value: Json) -> str:
    if isinstance(value, list):
        return shown(", ".join(map(str, value)), 1000)
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items())
    return shown(value, 4000)
