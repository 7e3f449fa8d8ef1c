"""The judge's side: a bundle against its manifest, its runs against their records and the rules."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Json
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import file_list as closed_list
from pokora_anime.submission.bundle import manifest
from pokora_anime.submission.bundle.file_list import MOST_RUNS
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.check import contents_check as contents
from pokora_anime.submission.check import rules_check as rules
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS, Limits
from pokora_anime.untrusted.run_source import open_source
from pokora_anime.untrusted.untrusted_names import problem, shown
from pokora_anime.verify.examine_run import examine_folder, few
from pokora_anime.verify.report_data import Exhibits
from pokora_anime.verify.verdict import Report

Examined = tuple[Report, Exhibits]


def examine_and_show(
    path: Path, *, key: str = "", contest: str = "", limits: Limits = LIMITS, pictures: bool = True
) -> Examined:
    """Verifies a bundle, or a run where there is none; folder or zip. Never raises for what is wrong with it.

    `key` is the fingerprint that must have signed bundle and runs. Raises ConfigError CFG-CONTEST.
    """
    started = time.monotonic()
    found: list[Finding] = []
    try:
        with open_source(path, limits) as folder:
            found += folder.findings
            if file_names.MANIFEST not in folder.sizes:
                report, show = examine_folder(
                    folder, shown(path), key=key, contest=contest, limits=limits, pictures=pictures
                )
            else:
                report, show = _bundle(path, folder, key, contest, limits, pictures)
            return replace(report, seconds=time.monotonic() - started), show
    except Unreadable as error:
        return Report(subject=shown(path), integrity=tuple(found), unreadable=error.line()), Exhibits()


def listed_runs(folder: Folder, limits: Limits) -> list[str]:
    """The folders of a bundle's runs, each once. Raises Unreadable BND-MANIFEST."""
    told = dict.fromkeys(read_manifest(folder, limits).runs)
    return [name for name in told if name.startswith(f"{file_names.RUNS}/") and not problem(name)][:MOST_RUNS]


def read_manifest(folder: Folder, limits: Limits) -> Manifest:
    """What the bundle says that it is. Raises Unreadable BND-MANIFEST."""
    try:
        return manifest.parse(folder.read(file_names.MANIFEST, limits.json_bytes))
    except (RecordError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        got = error.got if isinstance(error, RecordError) else "nested too deeply"
        raise Unreadable("BND-MANIFEST", shown(got), expected="a bundle as pokora writes it") from error


def _bundle(path: Path, folder: Folder, key: str, contest: str, limits: Limits, pictures: bool) -> Examined:
    # Only a bundle needs them, and `pokora verify` of a run starts sooner without.
    from pokora_anime.submission.bundle import rewritten_files
    from pokora_anime.submission.check import source_check

    told = read_manifest(folder, limits)
    judged_by = contest or told.contest
    listed = listed_runs(folder, limits)
    by_run = closed_list.records(folder, listed, limits)
    weights, odd_weights = rewritten_files.read_weights(folder, by_run, limits)
    integrity = [
        *folder.findings,
        *contents.files(folder, told),
        *contents.signature(folder, told, key, limits),
        *closed_list.check(folder, told, by_run),
        *source_check.check(folder, told, limits),
        *contents.signed_copies(folder, closed_list.of(told, by_run), limits),
        *contents.container(path, folder),
        *odd_weights,
    ]
    policy = [*rules.check(folder, told, judged_by)]
    facts = {"title": shown(told.title, 120), "contest": shown(told.contest, 60)}
    show = Exhibits()
    runs: list[tuple[str, Report]] = []
    for name in listed:
        report, exhibits = _run(folder, name, key, judged_by, limits, pictures and not show.graph)
        show = exhibits if exhibits.graph else show
        runs.append((name, report))
        if report.unreadable:
            integrity.append(finding("BND-RUN", "a run that cannot be read", name, report.unreadable))
        integrity += [_inside(name, one) for one in report.integrity]
        policy += [_inside(name, one) for one in report.policy]
        policy += rules.code(by_run[name], name, told)
    as_packed = runs
    if judged_by != told.contest:  # the page inside was written for the bundle's own contest
        as_packed = [(name, _run(folder, name, key, told.contest, limits, False)[0]) for name in listed]
    integrity += rewritten_files.check(folder, told, weights, as_packed, limits)
    integrity += _documents(folder, told, weights.rows, listed, limits, sound=not _blocked(integrity, runs))
    for _, report in runs:
        facts |= {name: text for name, text in report.facts.items() if name not in facts}
    facts |= {
        "members": shown(", ".join(f"{one['name']} ({one['id']})" for one in told.members), 400),
        "source": f"commit {shown(told.source['commit'], 60)}",
        "runs": ", ".join(map(shown, told.runs)),
    }
    return Report(
        subject=shown(path),
        facts=facts,
        integrity=few(integrity, limits),
        policy=few(policy, limits),
        contest=judged_by,
    ), show


def _documents(
    folder: Folder,
    told: Manifest,
    rows: Sequence[dict[str, Json]],
    runs: Sequence[str],
    limits: Limits,
    *,
    sound: bool,
) -> list[Finding]:
    """What is found in write-up and poster; of a `sound` bundle they are set again and compared."""
    from pokora_anime.submission.check import documents_again, documents_check

    if not sound:
        return [*documents_check.check(folder, told, rows, None)]
    again = documents_again.again(folder, told, runs)
    if isinstance(again, Finding):
        return [again, *documents_check.check(folder, told, rows, None)]
    return [
        *documents_again.check(folder, told, again, limits),
        *documents_check.check(folder, told, rows, again),
    ]


def _blocked(integrity: Sequence[Finding], runs: Sequence[tuple[str, Report]]) -> bool:
    """Whether something was found in bundle or runs that bars making anything of them."""
    return any(one.severity is Severity.block for one in integrity) or any(
        report.unreadable or any(one.severity is Severity.block for one in report.integrity)
        for _, report in runs
    )


def _run(folder: Folder, name: str, key: str, contest: str, limits: Limits, pictures: bool) -> Examined:
    root = folder.root / name
    if not root.is_dir():
        return Report(subject=name, unreadable="the folder is not there"), Exhibits()
    try:
        inside = Folder(root, limits)
        return examine_folder(inside, name, key=key, contest=contest, limits=limits, pictures=pictures)
    except Unreadable as error:
        return Report(subject=name, unreadable=error.line()), Exhibits()
    except ConfigError:  # a contest that this install does not know
        inside = Folder(root, limits)
        return examine_folder(inside, name, key=key, contest="", limits=limits, pictures=pictures)


def _inside(run: str, one: Finding) -> Finding:
    short = run.removeprefix(f"{file_names.RUNS}/").partition("/")[0]
    return replace(one, where=f"{short}: {one.where}" if one.where else short)
