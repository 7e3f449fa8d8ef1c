"""Files that the builder writes from others: written again and compared, byte by byte.

Where the code installed here is the bundle's and every row of weights is one that it pins, another byte is
against the rules. Otherwise the writer may differ, and a person looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pokora_anime.catalogue import registry
from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.code_hash import package_hash
from pokora_anime.provenance.hashing import Json, Table, strict_json
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import compliance_page, judge_readme, ro_crate
from pokora_anime.submission.bundle.file_list import Records
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.documents import score_rows
from pokora_anime.submission.documents.checkpoint_list import ROLES, Checkpoint, bibtex
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.verify.verdict import Report

_ROW: Mapping[str, type] = {
    "id": str, "role": str, "name": str, "link": str, "revision": str, "licence": dict, "status": str,
    "data_statement": str, "citation": list, "files": dict,
}  # fmt: skip
_LICENCE = ("id", "name", "link")
_REVISION = re.compile(r"[A-Za-z0-9._-]{0,64}")
MOST_TEXT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """weights.json as told; `pinned` says whether this install's registry fixes every word of it."""

    rows: tuple[Table, ...]
    checkpoints: tuple[Checkpoint, ...]
    pinned: bool


def to_json(value: Json) -> bytes:
    """As the bundle's JSON files are written."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def same_code(told: Manifest) -> bool:
    """Whether the package installed here is the one that the manifest names, by the hash of its sources."""
    return told.source["package_sha256"] == package_hash()


def read_weights(folder: Folder, by_run: Records, limits: Limits) -> tuple[Weights, list[Finding]]:
    """weights.json, and BND-WEIGHTS where it is not what the records and the registry say."""
    nothing = Weights(rows=(), checkpoints=(), pinned=False)
    try:
        data = folder.read(file_names.WEIGHTS, limits.json_bytes)
        rows = cast(list[Table], strict_json(data, file_names.WEIGHTS))
        if to_json(cast(Json, rows)) != data or any(map(_misfit, rows)):
            raise TypeError
        told = {str(row["id"]): row["files"] for row in rows}
    except (RecordError, KeyError, TypeError, AttributeError):
        return nothing, [finding("BND-WEIGHTS", "not written as pokora writes it", file_names.WEIGHTS)]
    if told != used_files(by_run) or len(told) != len(rows):
        message = "not the weights that the runs' records name"
        return nothing, [finding("BND-WEIGHTS", message, file_names.WEIGHTS)]
    return _compared(rows)


def used_files(by_run: Records) -> dict[str, Table]:
    """By row, the files of weights that the runs' records name."""
    used: dict[str, Table] = {}
    for record in by_run.values():
        entries = record.get("weights")
        for entry in entries.values() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("files"), dict):
                used.setdefault(str(entry.get("row")), {}).update(cast(Table, entry["files"]))
    return used


def _compared(rows: Sequence[Table]) -> tuple[Weights, list[Finding]]:
    """Rows of the right form against this install's registry."""
    known = {row.id: row for row in registry.rows()}
    found: list[Finding] = []
    pinned = True
    checkpoints: list[Checkpoint] = []
    for row in rows:
        ours = known.get(str(row["id"]))
        if ours is None or ours.own:
            pinned = False
            message = "weights that this install's registry does not know: read what is said of them"
            found.append(_review("BND-WEIGHTS", message, file_names.WEIGHTS, str(row["id"])))
            continue
        one = Checkpoint(row=ours, files=cast(dict[str, str], row["files"]))
        checkpoints.append(one)
        fixed = bool(ours.revision) or ours.packaged
        pinned = pinned and fixed
        wanted = {**one.to_plain(), "revision": one.revision if fixed else row["revision"]}
        if row != wanted or list(row) != list(wanted):
            odd = next((name for name in wanted if row[name] != wanted[name]), "the order")
            where = f"{row['id']}: {odd}"
            found.append(finding("BND-WEIGHTS", "not what the registry says", file_names.WEIGHTS, where))
    roles = list(ROLES.values())
    order = [(roles.index(str(row["role"])), str(row["id"])) for row in rows if row["role"] in roles]
    if order != sorted(order) or len(order) != len(rows):
        found.append(finding("BND-WEIGHTS", "rows in another order, or of no role", file_names.WEIGHTS))
    return Weights(rows=tuple(rows), checkpoints=tuple(checkpoints), pinned=pinned), found


def check(
    folder: Folder, told: Manifest, weights: Weights, runs: Sequence[tuple[str, Report]], limits: Limits
) -> Iterator[Finding]:
    """BND-WRITTEN: README, metadata, citations and report are what this install writes of this bundle."""
    ours = same_code(told)
    sizes = {
        name: size
        for name, size in folder.sizes.items()
        if file_names.sealed(name) and name != file_names.CRATE
    }
    again = {
        file_names.README: (judge_readme.readme(told), ours),
        file_names.CRATE: (ro_crate.metadata(told, weights.rows, sizes), ours),
        file_names.REPORT: (compliance_page.page(told, runs), ours and weights.pinned),
    }
    if len(weights.checkpoints) == len(weights.rows):
        again[file_names.CITATIONS] = (bibtex(weights.checkpoints).encode(), ours and weights.pinned)
    else:
        message = "not written again: weights that this install's registry does not know"
        yield _review("BND-WRITTEN", message, file_names.CITATIONS)
    for name, (wanted, certain) in again.items():
        if name in folder.sizes and _read(folder, name, limits) != wanted:
            found = finding("BND-WRITTEN", "not what pokora writes of these files and words", name)
            yield found if certain else replace(found, severity=Severity.review)
    for run, _ in runs:
        name = f"{run}/{file_names.SCORECARD}"
        if name in folder.sizes and (reason := score_rows.misfit(_read(folder, name, limits))):
            yield finding("BND-SCORE", "no scorecard as `pokora score` writes it", name, reason)


def _misfit(row: Json) -> bool:
    """Whether a row of weights.json has other fields or types than every row."""
    if not isinstance(row, dict) or {name: type(value) for name, value in row.items()} != _ROW:
        return True
    licence = cast(Table, row["licence"])
    texts = [*licence.values(), *cast(list[Json], row["citation"]), *cast(Table, row["files"]).values()]
    texts += [value for value in row.values() if isinstance(value, str)]
    plain = all(isinstance(text, str) and len(text) <= MOST_TEXT for text in texts)
    return not plain or set(licence) != set(_LICENCE) or not _REVISION.fullmatch(str(row["revision"]))


def _read(folder: Folder, name: str, limits: Limits) -> bytes:
    try:
        return folder.read(name, limits.json_bytes)
    except Unreadable:
        return b""


def _review(code: str, message: str, where: str, got: str = "") -> Finding:
    return replace(finding(code, message, where, got), severity=Severity.review)
