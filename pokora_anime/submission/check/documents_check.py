"""The two PDFs of a bundle as files: form, length, and what they must say. `remade` sets them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pokora_anime.errors import ConfigError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Json
from pokora_anime.rules import contest_limits
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.documents import document_set, typst_pdf, untrusted_pdf
from pokora_anime.submission.documents.document_set import Documents
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder

HEAD, TAIL = b"%PDF-1.7\n%", b"%%EOF"
MOST = 16_000_000  # bytes of a document that is read


def check(
    folder: Folder, told: Manifest, rows: Sequence[dict[str, Json]], again: Documents | None
) -> Iterator[Finding]:
    """BND-PDF and SUB-*: PDFs as Typst writes them, of so many pages, that say what a document must say.

    `again`: the documents that this install makes of the bundle's runs, None where it could not.
    """
    try:
        most = contest_limits.load(told.contest).writeup_pages
    except ConfigError:
        most = 4
    named = document_set.must_name(told.title, told.members, rows)
    ours = {again.writeup, again.poster} if again else set[bytes]()
    for name, pages in ((file_names.WRITEUP, most), (file_names.POSTER, 1)):
        if name not in folder.sizes:
            continue
        try:
            data = folder.read(name, MOST)
        except Unreadable as error:
            yield finding("BND-PDF", "a document that cannot be read", name, error.got)
            continue
        if reason := misfit(data):
            yield finding("BND-PDF", "no document as pokora sets it", name, reason)
            continue
        read = typst_pdf.read if data in ours else untrusted_pdf.read
        for one in document_set.check(name, data, pages, named, read=read):
            # A draft may be too long, or lack a font.
            lesser = told.draft and one.code != "SUB-PDF"
            yield replace(one, severity=Severity.review) if lesser else one


def misfit(data: bytes) -> str:
    """Why bytes are no PDF that Typst has written in one go; "" where they may be one."""
    if not data.startswith(HEAD) or not data.rstrip(b"\n").endswith(TAIL):
        return "it does not begin and end as one"
    if data.count(TAIL) != 1 or data.count(b"startxref") != 1:
        return "it was changed after it was written"
    if b"/Typst" not in data and b"(Typst" not in data:
        return "it was set by something else"
    return ""
