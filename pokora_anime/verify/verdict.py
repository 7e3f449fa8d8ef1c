"""What the findings come to: INTEGRITY and POLICY apart, and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from pokora_anime.findings import Finding, Severity, of_severity
from pokora_anime.findings import verdict as eligible
from pokora_anime.provenance.hashing import Json


class Verdict(Enum):
    """The outcome of one area."""

    passed = "PASS"
    review = "REVIEW"  # a person has to decide
    failed = "FAIL"
    not_run = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `pokora verify` found out about one run.

    `facts` are what the run says of itself, in reading order; `unreadable` is the one line that says
    why nothing could be judged, "" otherwise. `contest` names whose limits it was judged by.
    """

    subject: str
    facts: dict[str, str] = field(default_factory=dict)
    integrity: tuple[Finding, ...] = ()
    policy: tuple[Finding, ...] = ()
    unreadable: str = ""
    contest: str = ""
    seconds: float = 0.0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of both areas."""
        return (*self.integrity, *self.policy)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """One verdict an area; REPLAY is another command's."""
        if self.unreadable:
            return dict.fromkeys(("INTEGRITY", "POLICY", "REPLAY"), Verdict.not_run)
        return {
            "INTEGRITY": judge(self.integrity),
            "POLICY": judge(self.policy),
            "REPLAY": Verdict.not_run,
        }

    @property
    def entry(self) -> str:
        """Whether the run may be entered to the contest; "" where that could not be judged."""
        return "" if self.unreadable else eligible(self.findings).value

    def exit_code(self, *, strict: bool = False) -> int:
        """0 clean, 1 with findings, 2 where nothing could be judged.

        What a person has to decide (REVIEW) counts only if `strict`; notes never count.
        """
        if self.unreadable:
            return 2
        counted = (Severity.block, Severity.review) if strict else (Severity.block,)
        return int(any(finding.severity in counted for finding in self.findings))

    def to_plain(self) -> dict[str, Json]:
        """The report as JSON data."""
        return {
            "subject": self.subject,
            "verdicts": {area: verdict.value for area, verdict in self.verdicts.items()},
            "contest": self.contest,
            "entry": self.entry,
            "unreadable": self.unreadable,
            "facts": dict(self.facts),
            "integrity": [dict[str, Json](finding.to_plain()) for finding in self.integrity],
            "policy": [dict[str, Json](finding.to_plain()) for finding in self.policy],
            "seconds": round(self.seconds, 3),
        }


def judge(findings: Sequence[Finding]) -> Verdict:
    """FAIL for any block, REVIEW for any review, else PASS."""
    if of_severity(findings, Severity.block):
        return Verdict.failed
    return Verdict.review if of_severity(findings, Severity.review) else Verdict.passed
