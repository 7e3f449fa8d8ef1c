"""`pokora submission`: the team's words, the state of things, and the bundle."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError

PAGE = """pokora submission: from finished runs to one archive that a jury can check.

  pokora submission init     ask for title, members and words, and write submission/project.yaml
  pokora submission status   what is done, what is missing, and when it is due
  pokora submission build    write submission/dist/TITLE-HASH.zip with write-up and poster

`build` writes nothing while something bars the entry; --draft writes it all the same, watermarked.

Try
  pokora submission init --title 'Petals in the Light' --member 'Kim Minsu=20231234'
  pokora submission status
  pokora submission build --draft
  make submission DRAFT=1"""
COMMANDS = ("init", "status", "build")


def main(arguments: Sequence[str]) -> int:
    """Dispatch init, status and build; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(PAGE)
        return 0
    name, rest = arguments[0], list(arguments[1:])
    if name not in COMMANDS:
        raise ConfigError(
            "CFG-COMMAND", f"submission {name}", expected="|".join(COMMANDS), fix="`pokora submission`"
        )
    return {"init": _init, "status": _status, "build": _build}[name](rest)


def _init(arguments: list[str]) -> int:
    from pokora_anime.submission import interview, project

    parser = _parser("init")
    for name in (*project.LINES, *project.TEXTS):
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", default=None)
    parser.add_argument("--member", action="append", metavar="NAME=ID", help="once for each")
    parser.add_argument("--stills", action="append", metavar="RUN", help="a run of stills; once for each")
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    options = vars(parser.parse_args(arguments))
    asked = interview.from_flags(Path(), options)
    if not options["yes"] and sys.stdin.isatty():
        asked = interview.ask(Path(), asked, _answer, print)
    place = project.save(Path(), asked)
    print(place)
    return 0


def _answer(question: str) -> str:
    try:
        return input(question)
    except EOFError as error:
        fix = "`pokora submission init --help` lists flags for all of them"
        raise ConfigError("SUB-INIT", "the answers ended", fix=fix) from error


def _status(arguments: list[str]) -> int:
    from pokora_anime.submission import checklist

    parser = _parser("status")
    parser.add_argument("--json", action="store_true", help="the checklist as JSON")
    if parser.parse_args(arguments).json:
        plain = [
            {**asdict(item), "details": [*map(str.strip, item.details)]} for item in checklist.items(Path())
        ]
        print(json.dumps(plain, ensure_ascii=False, indent=2))
    else:
        print(checklist.as_text(Path()))
    return 0


def _build(arguments: list[str]) -> int:
    from pokora_anime.submission import build, project
    from pokora_anime.submission.entry_rules import barring, lines

    parser = _parser("build")
    parser.add_argument("--draft", action="store_true", help="write it although something bars the entry")
    parser.add_argument(
        "--with-loras",
        action="store_true",
        help="carry the LoRAs that were trained here (at most 64 MiB): a judge's replay computes with them",
    )
    typed = parser.parse_args(arguments)
    draft: bool = typed.draft
    root = Path()
    missing = draft and not project.path(root).exists()
    words = project.Project() if missing else project.load(root)
    built = build.build(root, words, draft=draft, loras=typed.with_loras, tell=_tell)
    for line in lines(built.findings):
        print(line)
    if built.path is None:
        count = len(barring(built.findings))
        things = "1 thing bars" if count == 1 else f"{count} things bar"
        print(f"nothing was written: {things} the entry (`bars` above); --draft writes a watermarked one")
        return 1
    print(f"{built.size / 1e6:.1f} MB, poster pictures at JPEG quality {built.poster_quality}")
    print(built.path)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser(name: str) -> argparse.ArgumentParser:
    return OneLineParser(prog=f"pokora submission {name}", description=PAGE.partition("\n")[0])
