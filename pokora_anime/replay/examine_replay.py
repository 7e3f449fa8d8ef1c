"""The whole replay of one run: opened, checked, parts picked, computed again and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pokora_anime.findings import Finding, Severity, of_severity
from pokora_anime.provenance.operations import ALWAYS_RUN
from pokora_anime.replay import replay_device
from pokora_anime.replay.difference_picture import Row, side_by_side
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.replay.replay_parts import Choice, choose
from pokora_anime.replay.replay_report import Report
from pokora_anime.replay.stored_run import Shelf
from pokora_anime.rules import closed_config
from pokora_anime.schema.settings import RunConfig
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS, Limits
from pokora_anime.untrusted.run_source import open_source
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.policy import policy
from pokora_anime.verify.record import integrity
from pokora_anime.verify.record.claimed_record import Record, read_record
from pokora_anime.verify.record.stored_contents import Arrays
from pokora_anime.verify.video.frame_figures import Compared

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
            config, _ = closed_config.read(record.command, record.config)
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
    replay_device.require(config)
    from pokora_anime.replay.session import Session

    ran = next(step.environment for step in record.steps if step.op in ALWAYS_RUN)
    session = Session(
        folder=folder,
        record=record,
        arrays=arrays,
        config=config,
        context=replay_device.context(
            config, ran, question.wishes, Shelf(record, arrays, record.steps[0]).folder
        ),
        limits=limits,
    )
    parts: list[Compared] = []
    for number, unit in enumerate(choice.units, start=1):
        tell(f"{number}/{len(choice.units)} {unit.name}")
        parts.append(session.compare(unit))
    return _Outcome(choice=choice, machine=session.machine, parts=tuple(parts)), session.rows
