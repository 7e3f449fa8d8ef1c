"""A report as lines for a terminal and as JSON."""

from __future__ import annotations

import json

from pokora_anime.findings import Finding, Severity, worst_first
from pokora_anime.verify.verdict import Report, Verdict

SHOWN_FACTS = ("prompt", "seed", "base", "speed", "video", "guard", "signed by")
REPLAY = "pokora replay RUN --nonce N --nodes 8 recomputes nodes on your own machine"
MOST = 40  # findings in full


def as_text(report: Report) -> str:
    """What a judge reads: the run, three verdicts, every finding. Safe for a terminal."""
    lines = [report.subject]
    lines += [f"  {name:10} {report.facts[name]}" for name in SHOWN_FACTS if name in report.facts]
    for area, verdict in report.verdicts.items():
        told = report.integrity if area == "INTEGRITY" else report.policy if area == "POLICY" else ()
        note = REPLAY if area == "REPLAY" and not report.unreadable else counted(told)
        lines.append(f"{area:10} {verdict.value:8} {note}".rstrip())
    if report.unreadable:
        lines.append(f"UNREADABLE {report.unreadable}")
    else:
        lines.append(f"ENTRY      {report.entry} ({report.contest})")
    found = worst_first(report.findings)
    lines += [line for finding in found[:MOST] for line in _lines(finding)]
    if len(found) > MOST:
        lines.append(f"... and {len(found) - MOST} more (--json lists them all)")
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """The report as JSON, ASCII only."""
    return json.dumps(report.to_plain(), indent=2)


def counted(findings: tuple[Finding, ...]) -> str:
    """How many findings of which severity, as words."""
    names = {Severity.block: "finding", Severity.review: "to review", Severity.note: "note"}
    parts: list[str] = []
    for severity, name in names.items():
        count = sum(finding.severity is severity for finding in findings)
        if count:
            plural = "s" if count > 1 and severity is not Severity.review else ""
            parts.append(f"{count} {name}{plural}")
    return ", ".join(parts)


def colour(verdict: Verdict) -> str:
    """The class of a verdict on a page."""
    return {"PASS": "pass", "REVIEW": "review", "FAIL": "fail"}.get(verdict.value, "none")


def _lines(finding: Finding) -> list[str]:
    about = ": ".join(part for part in (finding.where, finding.got) if part)
    lines = [f"{finding.severity.value:6}  {finding.code}  {finding.message}"]
    lines += [f"        {about}"] if about else []
    lines += [f"        expected {finding.expected}"] if finding.expected else []
    return lines + ([f"        fix: {finding.fix}"] if finding.fix else [])
