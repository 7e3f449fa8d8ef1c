"""INTEGRITY of a bundle: the hashes of its files, its signature, the signed copies and the zip itself."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import file_hash
from pokora_anime.signing import statement
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import credentials, manifest, seal, zip_writer
from pokora_anime.submission.bundle.file_list import Listed
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import problem


def files(folder: Folder, told: Manifest) -> Iterator[Finding]:
    sums = {file_names.MANIFEST: "", **told.files}
    for name, digest in told.files.items():
        if problem(name) or not file_names.sealed(name):
            yield finding("BND-STRAY", "the manifest lists a file that it cannot seal", name)
        elif name not in folder.sizes:
            yield finding("BND-MISSING", "a file of the bundle is missing", name)
        elif folder.readable_sha256(name) != digest:
            yield finding("BND-HASH", "a file was changed", name, expected=f"sha256 {digest[:12]}")
    for name in folder.sizes:
        if file_names.sealed(name) and name not in told.files:
            fix = "take it out of the bundle"
            yield finding("BND-EXTRA", "a file that the manifest does not know", name, fix=fix)
    if file_names.SUMS not in folder.sizes:
        yield finding("BND-MISSING", "a file of the bundle is missing", file_names.SUMS)
        return
    sums[file_names.MANIFEST] = folder.readable_sha256(file_names.MANIFEST)
    wanted = hashlib.sha256(manifest.sums(sums)).hexdigest()
    if folder.readable_sha256(file_names.SUMS) != wanted:
        yield finding("BND-HASH", "the checksums are not those of the manifest", file_names.SUMS)


def signature(folder: Folder, told: Manifest, key: str, limits: Limits) -> Iterator[Finding]:
    if file_names.STATEMENT not in folder.sizes:
        yield finding("SIG-MISSING", "the bundle is not signed", file_names.STATEMENT)
        return
    try:
        envelope = statement.open_envelope(folder.read(file_names.STATEMENT, limits.json_bytes))
    except (RecordError, RecursionError) as error:
        yield finding("SIG-BAD", "the signature does not hold", file_names.STATEMENT, error)
        return
    if key and envelope.fingerprint != key:
        yield finding(
            "SIG-KEY", "another key signed", file_names.STATEMENT, envelope.fingerprint, expected=key
        )
    digests = {name: folder.readable_sha256(name) for name in folder.sizes if seal.signed(name)}
    if seal.build(digests, told.draft) != envelope.payload:
        message = "the statement is not about this bundle, or a signed copy was changed"
        yield finding("SIG-CONTENT", message, file_names.STATEMENT)


def signed_copies(folder: Folder, told: Listed, limits: Limits) -> Iterator[Finding]:
    """BND-COPY: each copy is the entry's own file, byte by byte. BND-C2PA: its credentials hold.

    BND-UNREAD where the extra that validates them is missing: a person has to look.
    """
    copies = {file_names.signed_copy(name): name for name in told.entry}
    for copy, plain in copies.items():
        if copy not in folder.sizes or plain not in folder.sizes:
            continue
        try:
            data = [folder.read(name, limits.file_bytes) for name in (copy, plain)]
        except Unreadable:
            continue  # told by the hashes
        if reason := credentials.misfit(data[0], PurePosixPath(copy).suffix, data[1]):
            yield finding("BND-COPY", "a signed copy that is not the entry's file", copy, reason)
        elif credentials.available():
            yield from _state(folder, copy)
        else:
            message = "its credentials were not validated, as the extra [c2pa] is missing; its pictures were"
            fix = "pip install 'pokora_anime[c2pa]'"
            yield replace(finding("BND-UNREAD", message, copy, fix=fix), severity=Severity.review)


def _state(folder: Folder, copy: str) -> Iterator[Finding]:
    try:
        state, failed = credentials.read(folder.root / copy)
    except ValueError as error:
        yield finding("BND-C2PA", "a signed copy without Content Credentials", copy, error)
        return
    # Nobody vouches for a certificate that the entrant made; the bundle's signature binds the copy.
    odd = [code for code in failed if code != "signingCredential.untrusted"]
    if odd or state not in ("Valid", "Trusted"):
        yield finding("BND-C2PA", "Content Credentials that do not hold", copy, ", ".join(odd) or state)


def container(path: Path, folder: Folder) -> Iterator[Finding]:
    """The zip's own bytes, which depend on its files alone."""
    if path.is_dir():
        return
    try:
        wanted = zip_writer.packed_hash(zip_writer.top_of(path), folder.root, folder.sizes)
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
