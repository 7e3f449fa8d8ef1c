"""INTEGRITY: whether everything in a run's folder is what its record says, and the record what was signed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.schema.run_identity import plain_key
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import brief, shown
from pokora_anime.verify.record import claimed_ledger, signature, stored_contents
from pokora_anime.verify.record.claimed_record import Record
from pokora_anime.verify.record.stored_contents import Arrays
from pokora_anime.verify.video import delivery


def check(folder: Folder, record: Record, arrays: Arrays, key: str, limits: Limits) -> list[Finding]:
    """Every finding of INTEGRITY. `key` is the fingerprint that must have signed, "" for any.

    The video is decoded while everything else is hashed.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        video = pool.submit(delivery.check_video, folder, record, limits)
        found = [
            *folder.findings,
            *_files(folder, record),
            *_record(folder, record, limits),
            *_nodes(record),
            *_weights(record),
            *claimed_ledger.check(folder, record, limits),
            *stored_contents.check(folder, record, arrays, limits),
            *delivery.check_frames(folder, record, limits),
            *signature.check(folder, key, limits),
        ]
        return [*found, *video.result()]


def _files(folder: Folder, record: Record) -> Iterable[Finding]:
    for name, digest in record.files.items():
        if not run_layout.listed(name):
            yield finding("INT-STRAY", "the record lists a file that it cannot seal", name)
        elif name not in folder.sizes:
            yield finding("INT-MISSING", "a sealed file is missing", name)
        else:
            yield from _hash(folder, name, digest)
    for name in folder.sizes:
        if run_layout.listed(name) and name not in record.files:
            yield finding(
                "INT-EXTRA",
                "a file that the record does not know",
                name,
                fix="take it out of the folder; only logs/ and reports/ may hold other files",
            )


def _hash(folder: Folder, name: str, digest: str) -> Iterable[Finding]:
    try:
        got = folder.sha256(name)
    except Unreadable as error:
        yield finding(error.code, "a file cannot be read", name, error.got)
        return
    if got != digest:
        yield finding(
            "INT-HASH",
            "a file was changed",
            name,
            f"sha256 {got[:12]}",
            expected=f"sha256 {brief(digest)}",
        )


def _record(folder: Folder, record: Record, limits: Limits) -> Iterable[Finding]:
    content, config = record.content, record.config
    if record.data != record.canonical:
        yield finding("INT-FORM", "the record is not written as pokora writes it", run_layout.RECORD)
    if content["status"] != "finished":
        yield finding("INT-FORM", "the run is not finished", run_layout.RECORD, content["status"])
    if content["key"] != plain_key(record.command, config):
        yield finding("INT-KEY", "the run's key is not that of its command and config", run_layout.RECORD)
    if run_layout.CONFIG not in record.files:
        yield finding("INT-MISSING", "a sealed file is missing", run_layout.CONFIG)
    elif run_layout.CONFIG in folder.sizes and not _same_config(folder, record, limits):
        yield finding("INT-CONFIG", "the config's file is not the config of the record", run_layout.CONFIG)


def _same_config(folder: Folder, record: Record, limits: Limits) -> bool:
    import yaml

    # Written again and compared, because reading a stranger's YAML is a risk of its own.
    text = yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True, width=100)
    try:
        return folder.read(run_layout.CONFIG, limits.json_bytes) == text.encode()
    except Unreadable:
        return False


def _nodes(record: Record) -> Iterable[Finding]:
    outputs: dict[str, str] = {}
    for step in record.steps:
        if step.true_id != step.id:
            yield finding("INT-NODE", "a node is not what its id says", step.name, step.true_id[:12])
        if step.id in outputs:
            yield finding("INT-DUPLICATE", "a node stands twice in the record", step.name)
        absent = [parent for parent in step.parents if parent not in outputs]
        if absent:
            message = "a parent does not stand before its node in the record"
            yield finding("INT-PARENT", message, step.name, f"parent {brief(absent[0])}")
        if not absent and list(step.inputs) != [outputs[parent] for parent in step.parents]:
            yield finding("INT-INPUT", "a node worked on other content than its parents made", step.name)
        outputs[step.id] = step.output
    results = record.results
    if not results or len(set(results)) < len(results) or not set(results) <= set(outputs):
        yield finding("INT-RESULT", "the results are not nodes of the record", run_layout.RECORD)


def _weights(record: Record) -> Iterable[Finding]:
    for digest, entry in record.weights.items():
        if text_hash(entry["files"]) != digest:
            yield finding(
                "INT-WEIGHTS", "weights are not what their digest says", f"weights {shown(entry['row'])}"
            )
    used = {digest for step in record.steps for digest in step.weights.values()}
    if used != set(record.weights):
        odd = sorted(used ^ set(record.weights))[0]
        yield finding("INT-WEIGHTS", "the record's weights are not those that its nodes used", brief(odd))
