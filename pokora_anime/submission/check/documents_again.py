"""The documents of a bundle set again from its runs and words, and compared byte by byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pokora_anime.errors import PokoraError, RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.rules import closed_config, contest_limits
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.bundle.rewritten_files import same_code
from pokora_anime.submission.chosen_runs import Choice, Run
from pokora_anime.submission.documents import content, document_set, untrusted_pdf
from pokora_anime.submission.documents.checkpoint_list import used
from pokora_anime.submission.documents.document_set import Documents
from pokora_anime.submission.project import Member, Project
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.verify.report_data import Exhibits
from pokora_anime.verify.verdict import Report


def again(folder: Folder, told: Manifest, runs: Sequence[str]) -> Documents | Finding:
    """The documents as this install makes them of the bundle's runs and words, or why it cannot."""
    try:
        return make(folder, told, runs)
    except PokoraError as error:
        return _review("the documents could not be made again", file_names.ENTRY, error.line())


def check(folder: Folder, told: Manifest, made: Documents, limits: Limits) -> Iterator[Finding]:
    """BND-DOCUMENT: write-up and poster are, byte by byte, those `made` of the runs and words.

    Another byte is against the rules where code and libraries are the builder's; elsewhere another text is.
    """
    ours = same_code(told)
    certain = ours and told.documents["made_with"] == document_set.libraries()
    for name, data in ((file_names.WRITEUP, made.writeup), (file_names.POSTER, made.poster)):
        stored = _stored(folder, name, limits)
        if stored == data:
            continue
        if certain or (ours and _texts(stored) != _texts(data)):
            message = "a document that is not the one that pokora makes of these runs and words"
            yield finding("BND-DOCUMENT", message, name)
        else:
            message = "other bytes than this install makes, by other code or libraries: compare them by eye"
            yield _review(message, name)
    if certain and made.quality != told.documents["poster_jpeg_quality"]:
        yield finding("BND-DOCUMENT", "another JPEG quality than the poster has", file_names.MANIFEST)


def _stored(folder: Folder, name: str, limits: Limits) -> bytes:
    try:
        return folder.read(name, limits.file_bytes)
    except Unreadable:
        return b""


def _texts(data: bytes) -> tuple[str, ...]:
    try:
        return untrusted_pdf.read(data).texts
    except ValueError:
        return ()


def make(folder: Folder, told: Manifest, runs: Sequence[str]) -> Documents:
    """The documents of the bundle's runs and words. Raises PokoraError."""
    found = [_run(folder, name) for name in runs]
    video = [run for run in found if run.reading.command == "video"]
    stills = tuple(run for run in found if run.reading.command == "stills")
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
    return document_set.make(made, checkpoints, contest_limits.load(told.contest))


def _run(folder: Folder, name: str) -> Run:
    root = folder.root / name
    reading = read_run(root)
    config, found = closed_config.read(reading.command, reading.config)
    if config is None:
        raise RecordError("REC-RECORD", f"no config that renders: {found[0].line()}")
    nothing = Report(subject=name)
    return Run(folder=root, reading=reading, config=config, report=nothing, exhibits=Exhibits())


def _review(message: str, where: str, got: str = "") -> Finding:
    return replace(finding("BND-DOCUMENT", message, where, got), severity=Severity.review)
