"""What a replay comes to, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pokora_anime.findings import Finding, worst_first
from pokora_anime.provenance.hashing import Json
from pokora_anime.verify.verdict import Verdict, judge
from pokora_anime.verify.video.frame_figures import Compared, worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One replay. `findings` are what keeps the record from being believed at all; with any that blocks,
    the replay fails. `missed` is the chance that one forged part went unseen. `machine` says how the
    judge computed, `unreadable` why nothing could be judged.
    """

    subject: str
    nonce: str
    replayable: int = 0
    missed: float = 1.0
    machine: str = ""
    parts: tuple[Compared, ...] = ()
    findings: tuple[Finding, ...] = ()
    unreadable: str = ""
    seconds: float = 0.0
    files: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """PASS, REVIEW or FAIL; `not run` where nothing could be judged."""
        if self.unreadable:
            return Verdict.not_run
        return worst([judge(self.findings), *(part.verdict for part in self.parts)])

    @property
    def exit_code(self) -> int:
        """0 for PASS, 1 for REVIEW and FAIL, 2 where nothing could be judged."""
        if self.unreadable:
            return 2
        return int(self.verdict is not Verdict.passed)

    def to_plain(self) -> dict[str, Json]:
        """The report as JSON data."""
        return {
            "subject": self.subject,
            "verdict": self.verdict.value,
            "nonce": self.nonce,
            "replayed": len(self.parts),
            "replayable": self.replayable,
            "chance_missed": self.missed,
            "machine": self.machine,
            "parts": [part.to_plain() for part in self.parts],
            "findings": [dict[str, Json](finding.to_plain()) for finding in self.findings],
            "unreadable": self.unreadable,
            "files": [*self.files],
            "seconds": round(self.seconds, 3),
        }


def as_text(report: Report) -> str:
    """What a judge reads. Safe for a terminal."""
    lines = [report.subject]
    if report.unreadable:
        return "\n".join([*lines, f"REPLAY     {report.verdict.value}", f"UNREADABLE {report.unreadable}"])
    lines.append(f"REPLAY     {report.verdict.value}")
    if report.parts:
        lines.append(
            f"  {len(report.parts)} of {report.replayable} parts, nonce {report.nonce}, {report.machine}"
        )
        lines.append(
            "  a single forged part outside those that are always replayed would have gone unseen"
            f" with a chance of {report.missed:.0%}"
        )
    for part in report.parts:
        equal = "bit-equal" if part.exact else "not bit-equal"
        lines.append(f"{part.verdict.value:6}  {part.name}: {equal}")
        lines += [f"        {name}: {one.line()}" for name, one in part.figures.items()]
        lines += [f"        {reason}" for reason in part.reasons]
    lines += [f"{found.severity.value:6}  {found.line()}" for found in worst_first(report.findings)]
    return "\n".join([*lines, *report.files])


def as_json(report: Report) -> str:
    """The report as JSON, ASCII only."""
    return json.dumps(report.to_plain(), indent=2)
