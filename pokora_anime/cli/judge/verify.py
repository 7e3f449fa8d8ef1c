"""`pokora verify`: a run or a submission bundle against its own record and the contest's rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.signing import signing_key
from pokora_anime.system.files.atomic_files import write_atomic, writing

DESCRIPTION = """Checks a run, or a submission with its runs, without rendering anything, and without torch.

INTEGRITY: every file, hash, ledger line, node and decoded frame is what the signed record says.
POLICY: every picture descends from text, seeds and registered weights; numbers within the rules.

Exit status: 0 clean, 1 findings, 2 unreadable. With --strict, what a person has to review counts too."""
EXAMPLES = """Try
  pokora verify outputs/video/NAME
  pokora verify bundle.zip --key ed25519:... --html verify.html"""


def main(arguments: Sequence[str]) -> int:
    """Verify one run and print its report; returns the exit status."""
    options = _parse(arguments)
    from pokora_anime.submission.check.examine_bundle import examine_and_show
    from pokora_anime.verify.report_text import as_json, as_text

    page: Path | None = options.html
    report, exhibits = examine_and_show(
        options.run,
        key=signing_key.check_typed(options.key),
        contest=options.contest,
        pictures=page is not None,
    )
    if page is not None:
        from pokora_anime.verify.report_page import as_page

        with writing(page.parent):
            write_atomic(page, as_page(report, exhibits).encode())
    print(as_json(report) if options.json else as_text(report))
    return report.exit_code(strict=options.strict)


def _parse(arguments: Sequence[str]) -> _Options:
    import argparse

    parser = OneLineParser(
        prog="pokora verify",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN_OR_BUNDLE", help="a run's folder, or a zip of it")
    parser.add_argument("--key", metavar="FINGERPRINT", help="the key that must have signed")
    parser.add_argument("--contest", default="", metavar="NAME", help="judge by this contest's limits")
    parser.add_argument("--strict", action="store_true", help="exit 1 for REVIEW too")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained page")
    return parser.parse_args(arguments, namespace=_Options())


class _Options:
    run: Path
    key: str | None
    contest: str
    strict: bool
    json: bool
    html: Path | None
