"""What a bundle shows beside its runs, for `replay` and `reproduce`: verified, its documents set again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pokora_anime.bundle import content, documents, names, pdf
from pokora_anime.bundle.checkpoints import used
from pokora_anime.bundle.chosen import Choice, Run
from pokora_anime.bundle.documents import Documents
from pokora_anime.bundle.examine import examine_and_show, listed_runs, read_manifest
from pokora_anime.bundle.manifest import Manifest
from pokora_anime.bundle.project import Member, Project
from pokora_anime.bundle.written import same_code
from pokora_anime.compliance.findings import Finding, Severity
from pokora_anime.compliance.rules import closed
from pokora_anime.compliance.rules import limits as contests
from pokora_anime.compliance.verify.container import finding
from pokora_anime.compliance.verify.exhibits import Exhibits
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import LIMITS, Limits
from pokora_anime.compliance.verify.names import shown
from pokora_anime.compliance.verify.source import open_source
from pokora_anime.compliance.verify.verdict import Report, Verdict
from pokora_anime.errors import PokoraError, RecordError
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.reading import read_run

Tell = Callable[[str], None]
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


def examine(
    path: Path, *, key: str = "", tell: Tell = lambda _: None, limits: Limits = LIMITS
) -> Shown | None:
    """What a bundle shows; None where `path` is none, or cannot be read. Never raises for what is wrong."""
    report, _ = examine_and_show(path, key=key, limits=limits, pictures=False)
    if report.unreadable:
        return None
    with open_source(path, limits) as folder:
        if names.MANIFEST not in folder.sizes:
            return None
        found = judged(report)
        if not any(one.severity is Severity.block for one in found):
            tell("setting the documents again")
            found += check(folder, read_manifest(folder, limits), limits)
    return Shown(subject=shown(path), findings=tuple(found))


def judged(report: Report) -> list[Finding]:
    """Of a bundle's report, what counts for what it shows: all of INTEGRITY, of POLICY its own files."""
    told = [*report.integrity, *(one for one in report.policy if one.code.startswith(_OURS))]
    return [one for one in told if one.severity is not Severity.note]


def check(folder: Folder, told: Manifest, limits: Limits) -> list[Finding]:
    """BND-DOCUMENT: write-up and poster are, byte by byte, what this install makes of the runs and words.

    Another byte is against the rules where code and libraries are the builder's; elsewhere another text is.
    """
    try:
        again = make(folder, told, limits)
    except PokoraError as error:
        message = "the documents could not be made again"
        return [_review(message, names.ENTRY, error.line())]
    ours = same_code(told)
    certain = ours and told.documents["made_with"] == documents.libraries()
    found: list[Finding] = []
    for name, data in ((names.WRITEUP, again.writeup), (names.POSTER, again.poster)):
        stored = folder.read(name, limits.file_bytes)
        if stored == data:
            continue
        if certain or (ours and _texts(stored) != _texts(data)):
            message = "a document that is not the one that pokora makes of these runs and words"
            found.append(finding("BND-DOCUMENT", message, name))
        else:
            message = "other bytes than this install makes, by other code or libraries: compare them by eye"
            found.append(_review(message, name))
    if certain and again.quality != told.documents["poster_jpeg_quality"]:
        found.append(finding("BND-DOCUMENT", "another JPEG quality than the poster has", names.MANIFEST))
    return found


def _texts(data: bytes) -> tuple[str, ...]:
    try:
        return pdf.read(data).texts
    except ValueError:
        return ()


def make(folder: Folder, told: Manifest, limits: Limits) -> Documents:
    """The documents of the bundle's runs and words. Raises PokoraError."""
    runs = [_run(folder, name) for name in listed_runs(folder, limits)]
    video = [run for run in runs if run.reading.command == "video"]
    stills = tuple(run for run in runs if run.reading.command == "stills")
    choice = Choice(video=video[0] if video else None, stills=stills)
    checkpoints = used(run.reading for run in choice.runs)
    project = Project(
        title=told.title,
        members=tuple(Member(name=one["name"], id=one["id"]) for one in told.members),
        contest=told.contest,
        tagline=told.words["tagline"],
        artistic_statement=told.words["artistic_statement"],
        technical_notes=told.words["technical_notes"],
    )
    commit = str(told.source["commit"])
    made = content.collect(project, choice, checkpoints, commit=commit, draft=told.draft)
    return documents.make(made, checkpoints, contests.load(told.contest))


def _run(folder: Folder, name: str) -> Run:
    root = folder.root / name
    reading = read_run(root)
    config, found = closed.read(reading.command, reading.config)
    if config is None:
        raise RecordError("REC-RECORD", f"no config that renders: {found[0].line()}")
    nothing = Report(subject=name)
    return Run(folder=root, reading=reading, config=config, report=nothing, exhibits=Exhibits())


def _review(message: str, where: str, got: str = "") -> Finding:
    return replace(finding("BND-DOCUMENT", message, where, got), severity=Severity.review)
