"""The judge's side: a bundle against its manifest, its runs against their records and the rules."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pokora_anime.bundle import archive, credentials, manifest, names, seal
from pokora_anime.bundle.manifest import Manifest
from pokora_anime.bundle.source import PACKAGE, package_hash
from pokora_anime.compliance.findings import Finding, Severity
from pokora_anime.compliance.rules import limits as contests
from pokora_anime.compliance.verify.container import Unreadable, finding
from pokora_anime.compliance.verify.examine import examine_folder
from pokora_anime.compliance.verify.exhibits import Exhibits
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import LIMITS, Limits
from pokora_anime.compliance.verify.names import problem, shown
from pokora_anime.compliance.verify.source import open_source
from pokora_anime.compliance.verify.verdict import Report
from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.provenance import layout, statement
from pokora_anime.provenance.hashing import file_hash

MOST_RUNS = 6
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
            if names.MANIFEST not in folder.sizes:
                report, show = examine_folder(
                    folder, shown(path), key=key, contest=contest, limits=limits, pictures=pictures
                )
            else:
                report, show = _bundle(path, folder, key, contest, limits, pictures)
            return replace(report, seconds=time.monotonic() - started), show
    except Unreadable as error:
        return Report(subject=shown(path), integrity=tuple(found), unreadable=error.line()), Exhibits()


def listed_runs(folder: Folder, limits: Limits) -> list[str]:
    """The folders of a bundle's runs. Raises Unreadable BND-MANIFEST."""
    return [name for name in _manifest(folder, limits).runs if not problem(name)][:MOST_RUNS]


def _manifest(folder: Folder, limits: Limits) -> Manifest:
    try:
        return manifest.parse(folder.read(names.MANIFEST, limits.json_bytes))
    except (RecordError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        got = error.got if isinstance(error, RecordError) else "nested too deeply"
        raise Unreadable("BND-MANIFEST", shown(got), expected="a bundle as pokora writes it") from error


def _bundle(path: Path, folder: Folder, key: str, contest: str, limits: Limits, pictures: bool) -> Examined:
    told = _manifest(folder, limits)
    integrity = [
        *folder.findings,
        *_files(folder, told),
        *_signature(folder, told, key, limits),
        *_entry(folder, told),
        *_credentials(folder),
        *_container(path, folder),
    ]
    judged_by = contest or told.contest
    policy = [*_policy(folder, told, judged_by)]
    facts = {"title": shown(told.title, 120), "contest": shown(told.contest, 60)}
    show = Exhibits()
    runs: list[Report] = []
    for name in listed_runs(folder, limits):
        report, exhibits = _run(folder, name, key, judged_by, limits, pictures and not show.graph)
        show = exhibits if exhibits.graph else show
        runs.append(report)
        if report.unreadable:
            integrity.append(finding("BND-RUN", "a run that cannot be read", name, report.unreadable))
        integrity += [_inside(name, one) for one in report.integrity]
        policy += [_inside(name, one) for one in report.policy]
    for report in runs:
        facts |= {name: text for name, text in report.facts.items() if name not in facts}
    commit = shown(told.source.get("commit"), 60)
    facts |= {
        "members": shown(_members(told), 400),
        "source": f"commit {commit}",
        "runs": ", ".join(map(shown, told.runs)),
    }
    return Report(
        subject=shown(path), facts=facts, integrity=tuple(integrity), policy=tuple(policy), contest=judged_by
    ), show


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
    short = run.removeprefix(f"{names.RUNS}/").partition("/")[0]
    return replace(one, where=f"{short}: {one.where}" if one.where else short)


def _files(folder: Folder, told: Manifest) -> Iterator[Finding]:
    sums = {names.MANIFEST: "", **told.files}
    for name, digest in told.files.items():
        if problem(name) or not names.sealed(name):
            yield finding("BND-STRAY", "the manifest lists a file that it cannot seal", name)
        elif name not in folder.sizes:
            yield finding("BND-MISSING", "a file of the bundle is missing", name)
        elif _sha256(folder, name) != digest:
            yield finding("BND-HASH", "a file was changed", name, expected=f"sha256 {digest[:12]}")
    for name in folder.sizes:
        if names.sealed(name) and name not in told.files:
            fix = "take it out of the bundle"
            yield finding("BND-EXTRA", "a file that the manifest does not know", name, fix=fix)
    if names.SUMS not in folder.sizes:
        yield finding("BND-MISSING", "a file of the bundle is missing", names.SUMS)
        return
    sums[names.MANIFEST] = _sha256(folder, names.MANIFEST)
    wanted = hashlib.sha256(manifest.sums(sums)).hexdigest()
    if _sha256(folder, names.SUMS) != wanted:
        yield finding("BND-HASH", "the checksums are not those of the manifest", names.SUMS)


def _signature(folder: Folder, told: Manifest, key: str, limits: Limits) -> Iterator[Finding]:
    if names.STATEMENT not in folder.sizes:
        yield finding("SIG-MISSING", "the bundle is not signed", names.STATEMENT)
        return
    try:
        envelope = statement.open_envelope(folder.read(names.STATEMENT, limits.json_bytes))
    except (RecordError, RecursionError) as error:
        yield finding("SIG-BAD", "the signature does not hold", names.STATEMENT, error)
        return
    if key and envelope.fingerprint != key:
        yield finding("SIG-KEY", "another key signed", names.STATEMENT, envelope.fingerprint, expected=key)
    digests = {name: _sha256(folder, name) for name in folder.sizes if seal.signed(name)}
    if seal.build(digests, told.draft) != envelope.payload:
        message = "the statement is not about this bundle, or a signed copy was changed"
        yield finding("SIG-CONTENT", message, names.STATEMENT)


def _entry(folder: Folder, told: Manifest) -> Iterator[Finding]:
    """Each delivered file is the run's own, and every file that a run delivered is there."""
    for name, origin in told.entry.items():
        same = told.files.get(name) == told.files.get(origin) is not None
        in_run = any(origin.startswith(f"{run}/") for run in told.runs)
        if not same or not in_run or not name.startswith(f"{names.ENTRY}/"):
            yield finding("BND-ENTRY", "a delivered file is not that of a run", name, origin)
    pictures = [
        name for name in told.files if name.startswith(f"{names.ENTRY}/") and name[-4:] in (".mp4", ".png")
    ]
    for name in sorted(set(pictures) - set(told.entry)):
        yield finding("BND-ENTRY", "a picture that comes from no run", name)
    if len(told.runs) > MOST_RUNS:
        yield finding("BND-RUN", "too many runs", names.MANIFEST, len(told.runs), expected=MOST_RUNS)
    for run in told.runs:
        if problem(run) or not run.startswith(f"{names.RUNS}/") or f"{run}/{layout.RECORD}" not in told.files:
            yield finding("BND-RUN", "a run that is not there", run)


def _credentials(folder: Folder) -> Iterator[Finding]:
    copies = [name for name in folder.sizes if names.credential(name)]
    if not copies:
        return
    if not credentials.available():
        yield _note(
            "BND-C2PA", "Content Credentials were not read: the extra [c2pa] is not installed", copies[0]
        )
        return
    for name in copies:
        try:
            state, failed = credentials.read(folder.root / name)
        except ValueError as error:
            yield finding("BND-C2PA", "a signed copy without Content Credentials", name, error)
            continue
        # Nobody vouches for a certificate that the entrant made; the bundle's signature binds the copy.
        if odd := [code for code in failed if code != "signingCredential.untrusted"]:
            yield finding("BND-C2PA", "Content Credentials that do not hold", name, ", ".join(odd) or state)


def _container(path: Path, folder: Folder) -> Iterator[Finding]:
    """The zip's own bytes, which depend on its files alone."""
    if path.is_dir():
        return
    try:
        wanted = archive.packed_hash(archive.top_of(path), folder.root, folder.sizes)
        same = file_hash(path) == wanted
    except (OSError, ValueError, zipfile.BadZipFile):
        same = False
    if not same:
        yield finding(
            "BND-ZIP",
            "the zip itself is not written as pokora writes it",
            path.name,
            fix="if it was packed anew, unpack it and verify the folder",
        )


def _policy(folder: Folder, told: Manifest, contest: str) -> Iterator[Finding]:
    if told.draft:
        yield Finding(
            code="SUB-DRAFT",
            severity=Severity.note,
            message="a draft, which cannot be handed in",
            where=names.MANIFEST,
            ineligible=True,
        )
    try:
        limits = contests.load(contest)
    except ConfigError as error:
        yield finding("SUB-CONTEST", "a contest whose limits are not known here", names.MANIFEST, error.got)
        return
    if not told.draft and told.contest != contest:
        yield finding(
            "SUB-CONTEST", "made for another contest", names.MANIFEST, told.contest, expected=contest
        )
    stills = sum(name.endswith(".png") for name in told.entry)
    absent = Severity.note if told.draft else Severity.block
    if names.VIDEO not in told.entry:
        yield replace(finding("SUB-VIDEO", "there is no video", names.ENTRY), severity=absent)
    if not limits.min_stills <= stills <= limits.max_stills:
        wanted = f"{limits.min_stills} to {limits.max_stills}"
        yield replace(
            finding("SUB-STILLS", "the number of stills", names.ENTRY, stills, expected=wanted),
            severity=absent,
        )
    most = limits.poster_megabytes * 1_000_000
    if folder.sizes.get(names.POSTER, 0) > most:
        yield finding("SUB-POSTER", "the poster is too large", names.POSTER, folder.sizes[names.POSTER])
    yield from _source(folder, told)


def _source(folder: Folder, told: Manifest) -> Iterator[Finding]:
    """The source in the bundle is the one that the manifest names."""
    if told.source.get("package_sha256") != source_hash(folder):
        yield finding("BND-SOURCE", "the source is not the one that the manifest names", names.SOURCE)
    if told.source.get("changed"):
        yield _review("BND-SOURCE", "the source has changes that no commit holds", names.SOURCE)


def source_hash(folder: Folder) -> str:
    """The package's hash over the bundle's source."""
    prefix = f"{names.SOURCE}/"
    listed = [name for name in folder.sizes if name.startswith(prefix + PACKAGE)]
    return package_hash(
        {
            name.removeprefix(prefix): (folder.root / name).read_bytes()
            for name in listed
            if name.endswith(".py")
        }
    )


def _members(told: Manifest) -> str:
    members = told.content["members"]
    listed = members if isinstance(members, list) else []
    return ", ".join(f"{one.get('name')} ({one.get('id')})" for one in listed if isinstance(one, dict))


def _sha256(folder: Folder, name: str) -> str:
    try:
        return folder.sha256(name)
    except Unreadable:
        return ""


def _note(code: str, message: str, where: str) -> Finding:
    return Finding(code=code, severity=Severity.note, message=message, where=where)


def _review(code: str, message: str, where: str) -> Finding:
    return Finding(code=code, severity=Severity.review, message=message, where=where)
