"""The ledger: every line as written, none dropped, moved or added, and the record's own story."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, canonical_json
from pokora_anime.provenance.operations import OPERATIONS, of
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import brief, is_digest, shown
from pokora_anime.verify.record import surroundings
from pokora_anime.verify.record.claimed_record import Record, Step, Table, step_of

MOST_TRIES = 12  # lines of each node and file: a run may be continued, and a segment be made again
_STAGE = re.compile(r"stages/[a-z_]+-[0-9a-f]{12}\.safetensors")


@dataclass(frozen=True, slots=True)
class _BadLine(Exception):
    number: int
    reason: str


def check(folder: Folder, record: Record, limits: Limits) -> list[Finding]:
    """INT-MISSING, INT-LEDGER, INT-HEAD, INT-ORDER, INT-LEDGER-NODE and INT-LEDGER-FILE."""
    if run_layout.LEDGER not in folder.sizes:
        return [finding("INT-MISSING", "a sealed file is missing", run_layout.LEDGER)]
    try:
        data = folder.read(run_layout.LEDGER, limits.json_bytes)
        entries, heads = _entries(data, limits)
    except Unreadable as error:
        return [finding(error.code, "a file cannot be read", run_layout.LEDGER, error.got)]
    except _BadLine as bad:
        where = f"{run_layout.LEDGER} line {bad.number}"
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
            run_layout.LEDGER,
            f"{got['lines']} lines, {brief(got['head'])}",
            expected=f"{stated['lines']} lines, {brief(stated['head'])}",
        )
    first = {"kind": "run", "format": run_layout.FORMAT, "key": record.content["key"]}
    if not entries or entries[0] != first:
        yield finding("INT-LEDGER", "the ledger does not begin with this run", f"{run_layout.LEDGER} line 1")
    most = MOST_TRIES * (len(record.steps) + len(record.files))
    if len(entries) > most:
        message = "more lines than a run writes, however often it was continued"
        yield finding("INT-LEDGER", message, run_layout.LEDGER, len(entries), expected=f"at most {most}")
    for number, entry in enumerate(entries[1:], start=2):
        if problem := _line_problem(entry, record):
            where = f"{run_layout.LEDGER} line {number}"
            yield finding("INT-LEDGER", "a line that no run writes", where, problem)


def _line_problem(entry: Table, record: Record) -> str:
    """What of a line is not as a run writes it: a file's name and hash, or a node and nothing else."""
    told = {name: value for name, value in entry.items() if name != "kind"}
    kind = entry.get("kind")
    if kind == "file":
        name = told.get("name")
        known = isinstance(name, str) and (name in record.files or _STAGE.fullmatch(name) is not None)
        fits = set(told) == {"name", "sha256"} and is_digest(told["sha256"])
        return "" if known and fits else f"a file that the run does not have: {shown(name, 60)}"
    if kind == "node":
        step = step_of(told)
        if step is None or step.true_id != step.id:
            return "a node that is not what its id says"
        return "" if step.id in record.by_id else _superseded_problem(step, record)
    return f"of the kind {shown(kind, 40)}"


def _superseded_problem(step: Step, record: Record) -> str:
    """The same of a node that was made again: it has the words of the record's own, and other numbers."""
    alike = [other for other in record.steps if other.op == step.op]
    if step.op not in OPERATIONS or not (alike or of(step.op).superseded):
        return f"a node of the operation {shown(step.op, 40)}"
    hashes = [step.code, step.output, *step.parents, *step.inputs, *step.weights.values()]
    if problem := surroundings.node_problem(step.environment):
        return f"a node that tells of where it ran: {problem}"
    if not all(is_digest(value) for value in hashes) or len(step.parents) > len(record.steps):
        return "a node whose parents, weights or code are no hashes"
    words = {word for other in record.steps for word in _texts(other.raw)} | set(_texts(record.config))
    unknown = [word for word in _texts(step.params) if word not in words and not is_digest(word)]
    return f"a node with words that the run does not have: {shown(unknown[0], 60)}" if unknown else ""


def _texts(value: Json) -> Iterable[str]:
    """Every text in a value, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


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
        yield finding("INT-ORDER", "the record's nodes are not in the ledger's order", run_layout.RECORD)


def _files(record: Record, entries: list[Table]) -> Iterable[Finding]:
    last = {str(entry.get("name")): entry.get("sha256") for entry in entries if entry.get("kind") == "file"}
    for name, digest in record.files.items():
        if not name.startswith(f"{run_layout.STAGES}/") and last.get(name) != digest:
            yield finding("INT-LEDGER-FILE", "a file is not as the ledger tells it", name)
