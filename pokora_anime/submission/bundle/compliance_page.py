"""compliance.html: what verification says of the runs, as a page that anybody can write again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pokora_anime.findings import Finding, Severity
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.verify.report_data import Exhibits
from pokora_anime.verify.report_page import as_page
from pokora_anime.verify.verdict import Report

SHOWN = ("prompt", "negative", "seed", "base", "speed", "video", "guard", "signed by")
# What depends on who looks: the key that a judge asks for, and the code that is installed there.
_LOCAL = ("SIG-KEY", "POL-CODE")


def page(told: Manifest, runs: Sequence[tuple[str, Report]]) -> bytes:
    """The page of a bundle from the reports on its runs, each with the run's folder in the bundle.

    It has no pictures: what a page of the entrant's shows could only be compared by drawing it again, and
    `pokora verify --html` draws them from the files themselves.
    """
    facts: dict[str, str] = {}
    for name, report in runs:
        command = name.split("/")[1]
        facts |= {f"{command}: {fact}": report.facts[fact] for fact in SHOWN if fact in report.facts}
    policy = [one for name, report in runs for one in _of_run(name, report.policy)]
    if told.draft:
        message = "a draft, which cannot be handed in"
        policy.append(Finding(code="SUB-DRAFT", severity=Severity.note, message=message, ineligible=True))
    written = Report(
        subject=told.title + (" (draft)" if told.draft else ""),
        facts=facts,
        integrity=tuple(one for name, report in runs for one in _of_run(name, report.integrity)),
        policy=tuple(policy),
        contest=told.contest,
    )
    return as_page(written, Exhibits()).encode()


def _of_run(name: str, found: Sequence[Finding]) -> list[Finding]:
    short = name.partition("/")[2]
    return [
        replace(one, where=": ".join(part for part in (short, one.where) if part))
        for one in found
        if one.code not in _LOCAL
    ]
