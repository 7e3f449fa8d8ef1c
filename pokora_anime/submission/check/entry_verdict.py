"""What a bundle shows beside its runs, for `replay` and `reproduce`: what verify found, as one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Json
from pokora_anime.submission.check.examine_bundle import examine_and_show
from pokora_anime.untrusted.read_limits import LIMITS, Limits
from pokora_anime.verify.verdict import Report, Verdict

_OURS = ("BND-", "SUB-CODE", "SIG-", "SRC-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What came of a bundle's own files: entry, documents, pages, source and signed copies."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """FAIL for what is against the rules, REVIEW for what a person has to look at, else PASS."""
        severities = {one.severity for one in self.findings}
        if Severity.block in severities:
            return Verdict.failed
        return Verdict.review if Severity.review in severities else Verdict.passed

    def to_plain(self) -> dict[str, Json]:
        """As JSON data."""
        found: list[Json] = [dict[str, Json](one.to_plain()) for one in self.findings]
        return {"subject": self.subject, "part": "entry", "verdict": self.verdict.value, "findings": found}

    def lines(self) -> list[str]:
        """For a terminal."""
        what = "entry, documents, pages, source: every file is the runs' own or what pokora writes of them"
        if self.findings:
            what = "entry, documents, pages, source"
        return [f"{self.verdict.value:6}  {what}", *(f"        {one.line()}" for one in self.findings)]


def examine(path: Path, *, key: str = "", limits: Limits = LIMITS) -> Shown | None:
    """What the bundle at `path` shows; None where it cannot be read. Never raises for what is wrong."""
    report, _ = examine_and_show(path, key=key, limits=limits, pictures=False)
    return None if report.unreadable else judged(report)


def judged(report: Report) -> Shown:
    """Of a bundle's report, what counts for what it shows: all of INTEGRITY, of POLICY its own files."""
    told = [*report.integrity, *(one for one in report.policy if one.code.startswith(_OURS))]
    found = tuple(one for one in told if one.severity is not Severity.note)
    return Shown(subject=report.subject, findings=found)
