"""POLICY of a bundle: whether it is an entry, and whether its source rendered it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pokora_anime.errors import ConfigError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.rules import contest_limits
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.untrusted.container import finding
from pokora_anime.untrusted.folder_listing import Folder


def check(folder: Folder, told: Manifest, contest: str) -> Iterator[Finding]:
    if told.draft:
        yield Finding(
            code="SUB-DRAFT",
            severity=Severity.note,
            message="a draft, which cannot be handed in",
            where=file_names.MANIFEST,
            ineligible=True,
        )
    try:
        limits = contest_limits.load(contest)
    except ConfigError as error:
        yield finding(
            "SUB-CONTEST", "a contest whose limits are not known here", file_names.MANIFEST, error.got
        )
        return
    if not told.draft and told.contest != contest:
        yield finding(
            "SUB-CONTEST", "made for another contest", file_names.MANIFEST, told.contest, expected=contest
        )
    stills = sum(name.endswith(".png") for name in told.entry)
    absent = Severity.note if told.draft else Severity.block
    if file_names.VIDEO not in told.entry:
        yield replace(finding("SUB-VIDEO", "there is no video", file_names.ENTRY), severity=absent)
    if not limits.min_stills <= stills <= limits.max_stills:
        wanted = f"{limits.min_stills} to {limits.max_stills}"
        yield replace(
            finding("SUB-STILLS", "the number of stills", file_names.ENTRY, stills, expected=wanted),
            severity=absent,
        )
    most = limits.poster_megabytes * 1_000_000
    if folder.sizes.get(file_names.POSTER, 0) > most:
        yield finding(
            "SUB-POSTER", "the poster is too large", file_names.POSTER, folder.sizes[file_names.POSTER]
        )


def code(record: Mapping[str, Json], run: str, told: Manifest) -> Iterator[Finding]:
    """The run was rendered by the source in the bundle."""
    code = record.get("code")
    if not (isinstance(code, dict) and code.get("sha256") == told.source.get("package_sha256")):
        message = "rendered by other source than the bundle carries"
        found = finding("SUB-CODE", message, f"{run}/{run_layout.RECORD}")
        yield replace(found, severity=Severity.review) if told.draft else found
