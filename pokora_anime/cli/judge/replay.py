"""`pokora replay`: parts of a finished run computed again on the judge's machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.cli.parser import OneLineParser, whole
from pokora_anime.provenance import run_layout
from pokora_anime.signing import signing_key
from pokora_anime.system.files.atomic_files import write_atomic, writing

if TYPE_CHECKING:
    from pokora_anime.replay.examine_replay import Question

DESCRIPTION = """Computes nodes of a run again from their stored parents, by this install and its weights.

The nonce picks them: choose it after the run was handed in. The prompt, the initial noise, the
keyframe, the control maps and the delivered frames of one segment are always among them. In the
environment that a node ran in, every bit must be equal; elsewhere the measured thresholds of
COMPLIANCE.md hold. PASS, REVIEW or FAIL.

Of a bundle every run is replayed, and all that it shows beside its runs is compared with what pokora makes
of them: the entry's files, the documents, the pages, the source.

Writes replay.png (stored, recomputed, difference) and replay.json into the run's reports/ folder, for a
zip beside it, or where --out says.

Exit status: 0 PASS, 1 REVIEW or FAIL, 2 unreadable, 3 weights are missing."""
EXAMPLES = """Try
  pokora replay outputs/video/NAME --nonce 7
  pokora replay bundle.zip --nonce "$(date)" --nodes 12 --key ed25519:... --out judged
  pokora replay outputs/video/NAME --nonce 7 --threads 1"""
MAX_NODES = 2000


def main(arguments: Sequence[str]) -> int:
    """Replay one run and print the report; returns the exit status."""
    options = _parse(arguments)
    from pokora_anime.replay.examine_replay import Question
    from pokora_anime.replay.replay_device import Wishes
    from pokora_anime.schema.settings import DeviceKind, DType
    from pokora_anime.submission.check.opened_runs import opened

    question = Question(
        nonce=options.nonce,
        nodes=options.nodes,
        wishes=Wishes(device=DeviceKind(options.device), dtype=DType(options.dtype), threads=options.threads),
        key=signing_key.check_typed(options.key),
    )
    worst = 0
    with opened(options.run) as runs:
        for name, folder in runs.items():
            out = (options.out or _reports(options.run)) / name
            subject = f"{options.run}: {name}" if name else str(options.run)
            worst = max(worst, _one(folder, question, out, subject, as_json_only=options.json))
        if "" not in runs:
            worst = max(worst, _shown(options))
    return worst


def _shown(options: _Options) -> int:
    """What a bundle shows beside its runs; returns the exit status."""
    import json

    from pokora_anime.submission.check import entry_verdict
    from pokora_anime.verify.verdict import Verdict

    told = entry_verdict.examine(options.run, key=signing_key.check_typed(options.key))
    if told is None:
        return 2
    text = "\n".join([f"{told.subject}: entry", *told.lines(), f"ENTRY   {told.verdict.value}"])
    print(json.dumps(told.to_plain(), indent=2) if options.json else text)
    return int(told.verdict is not Verdict.passed)


def _one(run: Path, question: Question, out: Path, subject: str, *, as_json_only: bool) -> int:
    from pokora_anime.replay.examine_replay import replay
    from pokora_anime.replay.replay_report import as_json, as_text
    from pokora_anime.untrusted.untrusted_names import shown

    report, picture = replay(run, question, lambda line: print(line, file=sys.stderr, flush=True))
    report = replace(report, subject=shown(subject))
    if report.parts:
        names = tuple(str(out / name) for name in ("replay.png", "replay.json"))
        report = replace(report, files=names if picture else names[1:])
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            if picture:
                write_atomic(out / "replay.png", picture)
            write_atomic(out / "replay.json", as_json(report).encode())
    print(as_json(report) if as_json_only else as_text(report))
    return report.exit_code


def _reports(run: Path) -> Path:
    """Where a run's reports lie: outside what its record seals."""
    return run / run_layout.REPORTS if run.is_dir() else run.with_name(f"{run.stem}-{run_layout.REPORTS}")


def _parse(arguments: Sequence[str]) -> _Options:
    import argparse

    parser = OneLineParser(
        prog="pokora replay",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN_OR_BUNDLE", help="a run's folder, or a zip of it")
    parser.add_argument("--nonce", required=True, metavar="N", help="the judge's text or number")
    parser.add_argument(
        "--nodes", type=whole(3, MAX_NODES), default=8, metavar="K", help="how many parts, 3 or more (8)"
    )
    parser.add_argument("--key", metavar="FINGERPRINT", help="the key that must have signed")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--threads", type=whole(0, 1024), default=0, metavar="T", help="0: as the run had")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where picture and JSON are written")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser.parse_args(arguments, namespace=_Options())


class _Options:
    run: Path
    nonce: str
    nodes: int
    key: str | None
    device: str
    dtype: str
    threads: int
    out: Path | None
    json: bool
