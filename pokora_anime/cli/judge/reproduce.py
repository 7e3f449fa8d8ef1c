"""`pokora reproduce`: the runs of a bundle rendered again and compared frame by frame."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.signing import signing_key

DESCRIPTION = """Renders each run of a bundle, or one run, again with this install and compares.

In the environment that a run was made in, every frame and every file must be equal, bit for bit. Elsewhere
what both videos decode to is compared at full size, within the bounds that replay has for frames. Of a bundle
the entry's files, documents, pages and source are compared too. PASS, REVIEW or FAIL.

--trust-source renders with the bundle's own source instead, after showing how it differs from this
install's, in a process that may read the libraries and write in one folder. That shows that the source
does what was handed in, and not that the source is honest: read the difference.

Exit status: 0 PASS, 1 REVIEW or FAIL, 2 unreadable, 3 weights are missing."""
EXAMPLES = """Try
  pokora reproduce bundle.zip
  pokora reproduce bundle.zip --out again
  pokora reproduce bundle.zip --trust-source"""


def main(arguments: Sequence[str]) -> int:
    """Reproduce one bundle and print the report; returns the exit status."""
    import argparse

    parser = OneLineParser(
        prog="pokora reproduce",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle or a run, folder or zip")
    parser.add_argument("--out", type=Path, default=Path("reproduced"), metavar="DIR", help="where runs go")
    parser.add_argument("--key", metavar="FINGERPRINT", help="the key that must have signed")
    parser.add_argument("--trust-source", action="store_true", help="render with the bundle's own source")
    parser.add_argument("--yes", action="store_true", help="do not ask before the bundle's source runs")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(list(arguments))
    from pokora_anime.jobs.render_job import render
    from pokora_anime.submission.reproduce import reproduce_runs

    ask = None if options.yes else _confirmed
    report = reproduce_runs.reproduce(
        options.bundle,
        options.out,
        key=signing_key.check_typed(options.key),
        trust=reproduce_runs.Trust(source=options.trust_source, confirm=ask),
        render=render,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(report.to_plain(), indent=2) if options.json else report.as_text())
    return report.exit_code


def _confirmed(difference: str) -> bool:
    print(difference)
    if not sys.stdin.isatty():
        return False
    return input("Render with this source? Only yes runs it: ").strip() == "yes"
