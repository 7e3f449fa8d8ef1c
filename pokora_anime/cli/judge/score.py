"""`pokora score`: how good a finished clip is, in numbers and on a page with plots."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError, QualityError
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.run_layout import REPORTS, VIDEO
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = """Measures a finished clip before and after interpolation: joins, colour, flicker, motion,
content, sharpness. Writes scorecard.json and scorecard.html into the run's reports/ folder, which lies
outside what the run's record seals. Every clip is scored while it is rendered (quality.score=false leaves
it out); this scores it again, or a clip that came without a scorecard.

--selftest measures clips with a known fault instead: which numbers must move, and which must not."""
EXAMPLES = """Try
  pokora score outputs/video/NAME
  pokora score outputs/video/NAME --json
  pokora score outputs/video/NAME --against OTHER   what is better and worse; status 6 if it is worse
  pokora score --selftest
  pokora score --metrics"""


def main(arguments: Sequence[str]) -> int:
    """Score one run, or test the metrics; returns the exit status."""
    parser = OneLineParser(
        prog="pokora score",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="a finished video's folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: RUN/reports)")
    parser.add_argument("--json", action="store_true", help="print what scorecard.json holds")
    parser.add_argument("--selftest", action="store_true", help="measure clips with a known fault")
    parser.add_argument("--metrics", action="store_true", help="print the table of definitions")
    parser.add_argument("--against", metavar="RUN", help="another run: what is better, what worse")
    options = parser.parse_args(list(arguments))
    if options.metrics:
        from pokora_anime.quality.metrics.metric_table import markdown

        print(markdown())
        return 0
    if options.selftest:
        from pokora_anime.quality.metrics.metric_selftest import selftest

        return selftest()
    if options.run is None:
        raise ConfigError("CFG-SYNTAX", "no run to score", fix="pokora score outputs/video/NAME")
    if options.against is not None:
        return _against(str(options.run), options.against, as_json=options.json)
    return _score(options.run, options.out or options.run / REPORTS, as_json=options.json)


def _score(run: Path, out: Path, *, as_json: bool) -> int:
    from pokora_anime.quality.finished_score import score_run
    from pokora_anime.quality.report.scorecard_files import write
    from pokora_anime.quality.scorecard import as_text

    if not run.is_dir():
        raise ConfigError(
            "CFG-FILE", f"{run} is no folder", expected="a finished run's", fix="`ls outputs/video`"
        )
    card = score_run(run)
    data, page = write(card, out, run / VIDEO)
    print(data.read_text(encoding="utf-8") if as_json else f"{as_text(card)}\n{data}\n{page}")
    return 0


def _against(run: str, other: str, *, as_json: bool) -> int:
    """Compare two runs by the scorecards that they have; 6 where the first is worse."""
    import json

    from pokora_anime.quality.score_difference import Change, compare

    found = compare(_card(run), _card(other))
    if not found.rows:
        raise ConfigError(
            "CFG-FILE",
            f"{run} and {other} have no number in common",
            expected="clips scored by the same judges",
            fix=f"pokora score {run}; pokora score {other}",
        )
    print(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.lines()))
    return QualityError.exit_code if found.verdict is Change.worse else 0


def _card(text: str) -> Mapping[str, Json]:
    """The scorecard of a run, by its folder or a part of its name. Raises ConfigError CFG-FILE."""
    from pokora_anime.history import run_list, run_origin
    from pokora_anime.quality.scorecard import SCORECARD

    folder = run_origin.place(text, Path("outputs"))
    card = run_list.report(folder / REPORTS / SCORECARD)
    if not card:
        raise ConfigError(
            "CFG-FILE",
            f"{shown(folder)} holds no scorecard",
            expected="a finished clip's folder",
            fix=f"pokora score {shown(folder)}" if (folder / VIDEO).is_file() else "pokora list",
        )
    return card
