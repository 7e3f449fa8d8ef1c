"""What a check has to say: one record, shared by the gate before a run and by `verify` after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum


class Severity(Enum):
    """How much a finding weighs."""

    block = "block"  # against the rules, or the record does not hold
    review = "review"  # a person has to decide
    note = "note"  # worth knowing, changes nothing


class Verdict(Enum):
    """What a set of findings comes to."""

    eligible = "eligible"
    after_review = "eligible after review"
    not_eligible = "not eligible"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing found. `code` is stable and searchable.

    `message` says what is wrong in one sentence, `got` what was found, `expected` what would do, `fix`
    what to type or change, `where` the config key, node or file that it was found in. `ineligible` says
    that no contest entry can come of it although it offends nothing, such as a base for rendering only.
    """

    code: str
    severity: Severity
    message: str
    got: str = ""
    expected: str = ""
    fix: str = ""
    where: str = ""
    ineligible: bool = False

    def line(self) -> str:
        """The whole finding on one line: `CODE message (where: got); expected ...; fix: ...`."""
        about = ": ".join(part for part in (self.where, self.got) if part)
        parts = [f"{self.code} {self.message}" + (f" ({about})" if about else "")]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return " ".join("; ".join(parts).split())

    def to_plain(self) -> dict[str, str | bool]:
        """The finding as JSON data; severity by its value."""
        return {**asdict(self), "severity": self.severity.value}


def blocking(code: str, message: str, where: str, got: str, expected: str, fix: str) -> Finding:
    """A finding that ends the matter, with everything that a reader wants to know."""
    return Finding(
        code=code, severity=Severity.block, message=message, where=where, got=got, expected=expected, fix=fix
    )


def of_severity(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    """Those of one severity, in their order."""
    return [finding for finding in findings if finding.severity is severity]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The same findings, block before review before note, otherwise in their order."""
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def verdict(findings: Iterable[Finding]) -> Verdict:
    """`not eligible` for any block or what is ineligible, `eligible after review` for any review."""
    listed = list(findings)
    severities = {finding.severity for finding in listed}
    if Severity.block in severities or any(finding.ineligible for finding in listed):
        return Verdict.not_eligible
    return Verdict.after_review if Severity.review in severities else Verdict.eligible
