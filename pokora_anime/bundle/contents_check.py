"""INTEGRITY of a bundle: its files, its signature, its entry, the signed copies and the zip itself."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from pokora_anime.bundle import archive, credentials, manifest, names, seal
from pokora_anime.bundle.manifest import Manifest
from pokora_anime.compliance.findings import Finding, Severity
from pokora_anime.compliance.verify.container import Unreadable, finding
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import LIMITS, Limits
from pokora_anime.compliance.verify.names import problem
from pokora_anime.errors import RecordError
from pokora_anime.provenance import layout, statement
from pokora_anime.provenance.hashing import Json, file_hash, strict_json

MOST_RUNS = 6


def files(folder: Folder, told: Manifest) -> Iterator[Finding]:
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


def signature(folder: Folder, told: Manifest, key: str, limits: Limits) -> Iterator[Finding]:
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


def entry(folder: Folder, told: Manifest) -> Iterator[Finding]:
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


def signed_copies(folder: Folder) -> Iterator[Finding]:
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


def container(path: Path, folder: Folder) -> Iterator[Finding]:
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


def weights(folder: Folder, runs: list[str], limits: Limits) -> Iterator[Finding]:
    """weights.json lists the weights of the runs' records and no others."""
    used: dict[str, dict[str, Json]] = {}
    for run in runs:
        entries = record_of(folder, run).get("weights")
        for entry in entries.values() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("files"), dict):
                used.setdefault(str(entry.get("row")), {}).update(cast(dict[str, Json], entry["files"]))
    try:
        listed = strict_json(folder.read(names.WEIGHTS, limits.json_bytes), names.WEIGHTS)
        told = {str(row["id"]): row["files"] for row in cast(list[dict[str, Json]], listed)}
    except (RecordError, KeyError, TypeError):
        told = None
    if told != used:
        yield finding("BND-WEIGHTS", "not the weights that the runs' records name", names.WEIGHTS)


def record_of(folder: Folder, run: str) -> dict[str, Json]:
    """A run's record as it lies there; empty where it cannot be read."""
    name = f"{run}/{layout.RECORD}"
    try:
        value = strict_json(folder.read(name, LIMITS.json_bytes), name)
    except (RecordError, KeyError):
        return {}
    return value if isinstance(value, dict) else {}


def _sha256(folder: Folder, name: str) -> str:
    try:
        return folder.sha256(name)
    except Unreadable:
        return ""


def _note(code: str, message: str, where: str) -> Finding:
    return Finding(code=code, severity=Severity.note, message=message, where=where)
