"""The rules at the end: what stands between a submission and the contest, as findings with codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pokora_anime.catalogue.licences import Terms
from pokora_anime.findings import Finding, Severity, blocking, worst_first
from pokora_anime.schema.settings import ContestConfig
from pokora_anime.submission.bundle.source_tree import Source, changed_words
from pokora_anime.submission.chosen_runs import Choice, Run
from pokora_anime.submission.documents.checkpoint_list import Checkpoint
from pokora_anime.submission.project import Project

FILL = "edit submission/project.yaml, or `pokora submission init`"


def examine(
    project: Project,
    choice: Choice,
    checkpoints: Sequence[Checkpoint],
    source: Source | None,
    limits: ContestConfig,
) -> list[Finding]:
    """All findings that need no documents: the team's words, the runs, the weights, the source."""
    return [
        *_words(project),
        *_delivered(choice, limits),
        *_characters(choice),
        *_contests(choice, limits),
        *(found for run in choice.runs for found in _of_run(run)),
        *_licences(checkpoints),
        *_source(choice, source),
    ]


def barring(findings: Iterable[Finding]) -> list[Finding]:
    """Those that keep a bundle from being written."""
    return [one for one in findings if one.severity is Severity.block or one.ineligible]


def lines(findings: Iterable[Finding]) -> list[str]:
    """All findings in words, those that bar the entry first and marked as such, whatever their severity."""
    listed = list(findings)
    bars = barring(listed)
    others = worst_first(one for one in listed if one not in bars)
    told = [("bars", one) for one in bars] + [(one.severity.value, one) for one in others]
    return [f"{mark:6}  {one.line()}" for mark, one in told]


def _words(project: Project) -> Iterator[Finding]:
    told = {
        "SUB-TITLE": ("title", project.title),
        "SUB-STATEMENT": ("artistic_statement", project.artistic_statement),
    }
    for code, (name, text) in told.items():
        if not text:
            yield blocking(code, "the project lacks it", name, "empty", "the team's own words", FILL)
    if not project.members:
        yield blocking("SUB-MEMBER", "the project names nobody", "members", "empty", "names and IDs", FILL)
    for number, member in enumerate(project.members, start=1):
        for name, text in (("name", member.name), ("id", member.id)):
            if not text:
                where = f"members, number {number}"
                yield blocking("SUB-MEMBER", f"a member without {name}", where, "empty", f"{name}: ...", FILL)
    if not project.technical_notes:
        yield _note(
            "SUB-NOTES", "only the generated technical description is in the write-up", "technical_notes"
        )


def _delivered(choice: Choice, limits: ContestConfig) -> Iterator[Finding]:
    if choice.video is None:
        yield blocking(
            "SUB-VIDEO", "there is no finished video", "video", "none", "one run", "`pokora video`"
        )
    count = len(choice.pictures)
    if not limits.min_stills <= count <= limits.max_stills:
        wanted = f"{limits.min_stills} to {limits.max_stills}"
        fix = f"`pokora stills count={limits.max_stills}`, or name runs under stills: in the project"
        yield blocking("SUB-STILLS", "the number of stills", "stills", str(count), wanted, fix)


def _characters(choice: Choice) -> Iterator[Finding]:
    if said := choice.apart:
        yield _note("SUB-CHARACTER", said.rstrip("."), "stills")


def _contests(choice: Choice, limits: ContestConfig) -> Iterator[Finding]:
    made_for = {run.name: run.config.contest.name for run in choice.runs}
    for name, contest in made_for.items():
        if contest != limits.name:
            yield blocking(
                "SUB-CONTEST",
                "a run that was made for another contest",
                name,
                contest,
                limits.name,
                f"render with contest={limits.name}, or set contest: {contest} in the project",
            )


def _of_run(run: Run) -> Iterator[Finding]:
    """What verification says of a run, with the run's name."""
    if run.report.unreadable:
        yield blocking(
            "SUB-RUN", "a run that cannot be verified", run.name, run.report.unreadable, "a sound run", ""
        )
    for found in run.report.findings:
        if found.code != "POL-CODE":
            yield replace(found, where=": ".join(part for part in (run.name, found.where) if part))


def _licences(checkpoints: Sequence[Checkpoint]) -> Iterator[Finding]:
    for checkpoint in checkpoints:
        row = checkpoint.row
        if row.terms.terms is Terms.non_commercial:
            yield blocking(
                "SUB-LICENCE",
                "weights under a non-commercial licence",
                row.id,
                row.terms.name,
                "an open one",
                "",
            )
        if row.own and not row.data_statement:
            fix = "`pokora models add --help`"
            yield blocking(
                "SUB-DATA", "own weights without a statement", row.id, "none", "free training data", fix
            )


def _source(choice: Choice, source: Source | None) -> Iterator[Finding]:
    if source is None:
        yield blocking(
            "SUB-SOURCE",
            "the source is not there",
            "source",
            "no git checkout",
            "a commit",
            "start in a checkout",
        )
        return
    if source.changed:
        yield blocking(
            "SUB-DIRTY",
            "files that are not committed",
            "source",
            changed_words(source),
            "a clean working tree",
            "git add, git commit; then render again if the package changed",
        )
    for run in choice.runs:
        code = run.reading.record["code"]
        rendered = code.get("sha256") if isinstance(code, dict) else None
        if rendered != source.package_sha256:
            yield blocking(
                "SUB-CODE",
                "rendered by other source than the bundle would carry",
                run.name,
                f"pokora_anime {str(rendered)[:12]}",
                f"pokora_anime {source.package_sha256[:12]}",
                "render again with this source (fresh=true), or check out the commit that rendered it",
            )


def _note(code: str, message: str, where: str) -> Finding:
    return Finding(code=code, severity=Severity.note, message=message, where=where)
