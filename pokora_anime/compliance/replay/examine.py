"""The whole replay of one run: opened, checked, parts picked, computed again and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pokora_anime.compliance.findings import Finding, Severity, of_severity
from pokora_anime.compliance.replay import judge
from pokora_anime.compliance.replay.compare import Compared
from pokora_anime.compliance.replay.judge import Wishes
from pokora_anime.compliance.replay.picture import Row, side_by_side
from pokora_anime.compliance.replay.report import Report
from pokora_anime.compliance.replay.shelf import Shelf
from pokora_anime.compliance.replay.units import Choice, choose
from pokora_anime.compliance.rules import closed
from pokora_anime.compliance.verify import integrity, policy
from pokora_anime.compliance.verify.container import Unreadable
from pokora_anime.compliance.verify.contents import Arrays
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import LIMITS, Limits
from pokora_anime.compliance.verify.names import shown
from pokora_anime.compliance.verify.record import Record, read_record
from pokora_anime.compliance.verify.source import open_source
from pokora_anime.config.schema import RunConfig

# Findings about content alone: the stages can still be run, and their figures help a judge.
CONTENT = frozenset({"POL-NOISE", "POL-KNOWN"})
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: the judge's nonce, how many parts, how to compute, and whose key must have signed."""

    nonce: str
    nodes: int = 8
    wishes: Wishes = field(default_factory=Wishes)
    key: str = ""


def replay(
    path: Path, question: Question, tell: Tell = lambda _: None, limits: Limits = LIMITS
) -> tuple[Report, bytes]:
    """Replays a run's folder or a zip of it; the report and the side-by-side picture (b"" without parts).

    Raises WeightsError WGT-* or MachineError SYS-* where this machine cannot compute, ConfigError for
    wishes that it cannot fulfil. What is wrong with the run is in the report.
    """
    started = time.monotonic()
    subject = shown(path)
    try:
        with open_source(path, limits) as folder:
            record = read_record(folder, limits)
            arrays = Arrays(folder, record, limits)
            found = _checked(folder, record, arrays, question.key, limits)
            blocking = of_severity(found, Severity.block)
            config, _ = closed.read(record.command, record.config)
            if config is None or any(one.code not in CONTENT for one in blocking):
                told = Report(subject=subject, nonce=shown(question.nonce, 80), findings=tuple(blocking))
                return told, b""
            report, rows = _replayed(folder, record, arrays, config, question, tell, limits)
            return (
                Report(
                    subject=subject,
                    nonce=shown(question.nonce, 80),
                    replayable=report.choice.replayable,
                    missed=report.choice.missed,
                    machine=report.machine,
                    parts=report.parts,
                    findings=tuple(blocking),
                    seconds=time.monotonic() - started,
                ),
                side_by_side(rows) if rows else b"",
            )
    except Unreadable as error:
        return Report(subject=subject, nonce=shown(question.nonce, 80), unreadable=error.line()), b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    choice: Choice
    machine: str
    parts: tuple[Compared, ...]


def _checked(folder: Folder, record: Record, arrays: Arrays, key: str, limits: Limits) -> list[Finding]:
    """All of verify's findings but those about a contest's numbers, which change nothing about a replay."""
    found = [*integrity.check(folder, record, arrays, key, limits), *policy.check(record, arrays, "")]
    return [one for one in found if not one.code.startswith("RULE-")]


def _replayed(
    folder: Folder,
    record: Record,
    arrays: Arrays,
    config: RunConfig,
    question: Question,
    tell: Tell,
    limits: Limits,
) -> tuple[_Outcome, Sequence[Row]]:
    choice = choose(record, question.nonce, question.nodes)
    judge.require(config)
    from pokora_anime.compliance.replay.session import Session

    ran = next(step.environment for step in record.steps if step.op in ("keyframe", "motion"))
    session = Session(
        folder=folder,
        record=record,
        arrays=arrays,
        config=config,
        context=judge.context(config, ran, question.wishes, Shelf(record, arrays, record.steps[0]).folder),
        limits=limits,
    )
    parts: list[Compared] = []
    for number, unit in enumerate(choice.units, start=1):
        tell(f"{number}/{len(choice.units)} {unit.name}")
        parts.append(session.compare(unit))
    return _Outcome(choice=choice, machine=session.machine, parts=tuple(parts)), session.rows
