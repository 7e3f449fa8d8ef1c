"""The ledger: every line as written, none dropped, moved or added, and the record's own story."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from pokora_anime.compliance.findings import Finding
from pokora_anime.compliance.verify import strict_json
from pokora_anime.compliance.verify.container import Unreadable, finding
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import Limits
from pokora_anime.compliance.verify.names import brief, shown
from pokora_anime.compliance.verify.record import Record, Table
from pokora_anime.provenance import layout
from pokora_anime.provenance.hashing import canonical_json


@dataclass(frozen=True, slots=True)
class _BadLine(Exception):
    number: int
    reason: str


def check(folder: Folder, record: Record, limits: Limits) -> list[Finding]:
    """INT-MISSING, INT-LEDGER, INT-HEAD, INT-ORDER, INT-LEDGER-NODE and INT-LEDGER-FILE."""
    if layout.LEDGER not in folder.sizes:
        return [finding("INT-MISSING", "a sealed file is missing", layout.LEDGER)]
    try:
        data = folder.read(layout.LEDGER, limits.json_bytes)
        entries, heads = _entries(data, limits)
    except Unreadable as error:
        return [finding(error.code, "a file cannot be read", layout.LEDGER, error.got)]
    except _BadLine as bad:
        where = f"{layout.LEDGER} line {bad.number}"
        return [finding("INT-LEDGER", "the ledger's chain is broken", where, bad.reason)]
    return [*_ends(record, entries, heads), *_nodes(record, entries), *_files(record, entries)]


def _entries(data: bytes, limits: Limits) -> tuple[list[Table], list[str]]:
    """The entries without their links, and the hash of each line. Raises _BadLine."""
    lines = data.split(b"\n")
    if lines.pop():
        raise _BadLine(len(lines) + 1, "it does not end")
    entries: list[Table] = []
    heads = [""]
    for number, line in enumerate(lines, start=1):
        try:
            entry = strict_json.parse(line, limits)
        except strict_json.BadJson as error:
            raise _BadLine(number, str(error)) from error
        if not isinstance(entry, dict) or canonical_json(entry).encode() != line:
            raise _BadLine(number, "not written as the ledger writes")
        if entry.pop("previous", None) != heads[-1]:
            raise _BadLine(number, "it does not follow the line before it")
        entries.append(entry)
        heads.append(hashlib.sha256(line).hexdigest())
    return entries, heads[1:]


def _ends(record: Record, entries: list[Table], heads: list[str]) -> Iterable[Finding]:
    """It begins with this run, and ends where the record says."""
    stated = cast(Table, record.content["ledger"])
    got: Table = {"lines": len(heads), "head": heads[-1] if heads else ""}
    if stated != got:
        yield finding(
            "INT-HEAD",
            "the ledger is not the one that the record ends with",
            layout.LEDGER,
            f"{got['lines']} lines, {brief(got['head'])}",
            expected=f"{stated['lines']} lines, {brief(stated['head'])}",
        )
    first = {"kind": "run", "format": layout.FORMAT, "key": record.content["key"]}
    if not entries or entries[0] != first:
        yield finding("INT-LEDGER", "the ledger does not begin with this run", f"{layout.LEDGER} line 1")
    for number, entry in enumerate(entries[1:], start=2):
        if entry.get("kind") not in ("file", "node"):
            where = f"{layout.LEDGER} line {number}"
            yield finding("INT-LEDGER", "a line of no known kind", where, shown(entry.get("kind"), 40))


def _nodes(record: Record, entries: list[Table]) -> Iterable[Finding]:
    last: dict[object, tuple[int, Table]] = {}
    for number, entry in enumerate(entries):
        if entry.get("kind") == "node":
            told = {name: value for name, value in entry.items() if name != "kind"}
            last[entry.get("id") if isinstance(entry.get("id"), str) else None] = (number, told)
    order: list[int] = []
    for step in record.steps:
        number, told = last.get(step.id, (-1, {}))
        order.append(number)
        if told != step.raw:
            got = "no line of it" if number < 0 else f"line {number + 1} tells another"
            yield finding("INT-LEDGER-NODE", "a node is not as the ledger tells it", step.name, got)
    if order != sorted(order):
        yield finding("INT-ORDER", "the record's nodes are not in the ledger's order", layout.RECORD)


def _files(record: Record, entries: list[Table]) -> Iterable[Finding]:
    last = {str(entry.get("name")): entry.get("sha256") for entry in entries if entry.get("kind") == "file"}
    for name, digest in record.files.items():
        if not name.startswith(f"{layout.STAGES}/") and last.get(name) != digest:
            yield finding("INT-LEDGER-FILE", "a file is not as the ledger tells it", name)
