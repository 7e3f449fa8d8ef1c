"""The closed list of a bundle's files: manifest and records say every name, and nothing else is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from pokora_anime.catalogue import own_rows
from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, strict_json
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import source_tree
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import problem

Records = Mapping[str, dict[str, Json]]
MOST_RUNS = 6
COMMANDS = ("video", "stills")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """`needed` files must be there, `allowed` ones may; `entry` gives each delivered file's origin."""

    needed: frozenset[str]
    allowed: frozenset[str]
    entry: Mapping[str, str]


def records(folder: Folder, runs: list[str], limits: Limits) -> Records:
    """The runs' records as they lie there; an empty one where it cannot be read."""
    return {run: _record(folder, f"{run}/{run_layout.RECORD}", limits) for run in runs}


def of(told: Manifest, by_run: Records) -> Listed:
    """Every name that the builder gives to a file of this bundle, but the source's, which `source` knows."""
    needed = set(file_names.FIXED)
    allowed: set[str] = set()
    entry: dict[str, str] = {}
    for run in dict.fromkeys(told.runs):
        record = by_run.get(run, {})
        files = record.get("files")
        sealed = [name for name in files if run_layout.listed(name)] if isinstance(files, dict) else []
        own = [run_layout.RECORD, run_layout.LEDGER, run_layout.STATEMENT, *sealed]
        needed |= {f"{run}/{name}" for name in own}
        for row in _own_rows(record):
            allowed |= {*file_names.data_cards(row), file_names.own_lora(row), file_names.lora_file(row)}
        made = delivered(record)
        allowed |= {f"{run}/{file_names.SCORECARD}"} if run_layout.VIDEO in made else set()
        for name in made:
            stills = sum(one != file_names.VIDEO for one in entry)
            entry[file_names.VIDEO if name == run_layout.VIDEO else file_names.still(stills)] = (
                f"{run}/{name}"
            )
    needed |= set(entry)
    allowed |= {file_names.signed_copy(name) for name in entry}
    return Listed(needed=frozenset(needed), allowed=frozenset(allowed), entry=entry)


def _own_rows(record: Mapping[str, Json]) -> Iterator[str]:
    """The weights that a record names by an id that a user may give."""
    entries = record.get("weights")
    for entry in entries.values() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and own_rows.ID.fullmatch(str(entry.get("row"))):
            yield str(entry["row"])


def delivered(record: Mapping[str, Json]) -> list[str]:
    """The files that a run was made for, by its record: its video, or its stills in their order."""
    summary = record.get("summary")
    told = summary if isinstance(summary, dict) else {}
    if told.get("command") == "video":
        return [run_layout.VIDEO]
    stills = told.get("stills")
    count = len(stills) if isinstance(stills, list) else 0
    own = [run_layout.still_name(index) for index in range(count)]
    return own if stills == own else []


def check(folder: Folder, told: Manifest, by_run: Records) -> Iterator[Finding]:
    """BND-STRAY, BND-MISSING, BND-RUN, BND-ENTRY: the files are those of the list, each the run's own."""
    listed = of(told, by_run)
    yield from _runs(told, by_run)
    for name in folder.sizes:
        inside = name.removeprefix(f"{file_names.SOURCE}/")
        known = source_tree.belongs(inside) if inside != name else name in listed.needed | listed.allowed
        if not known:
            message = "a file that no bundle has: its name is not one that pokora gives"
            yield finding("BND-STRAY", message, name, fix="take it out of the bundle")
    for name in sorted(listed.needed - set(folder.sizes)):
        yield finding("BND-MISSING", "a file of the bundle is missing", name)
    copies = {name for name in folder.sizes if file_names.credential(name)}
    if copies and (lacking := sorted({file_names.signed_copy(name) for name in listed.entry} - copies)):
        yield finding("BND-MISSING", "a signed copy is missing where others are there", lacking[0])
    yield from _entry(folder, told, listed)


def _runs(told: Manifest, by_run: Records) -> Iterator[Finding]:
    """Each run once, below its command's folder, the one video first."""
    if len(told.runs) > MOST_RUNS:
        yield finding("BND-RUN", "too many runs", file_names.MANIFEST, len(told.runs), expected=MOST_RUNS)
    commands: list[object] = []
    for number, run in enumerate(told.runs):
        summary = by_run.get(run, {}).get("summary")
        command = summary.get("command") if isinstance(summary, dict) else None
        commands.append(command)
        parts = run.split("/")
        if problem(run) or len(parts) != 3 or parts[0] != file_names.RUNS or parts[1:2] != [command]:
            message = "a run that is not there, or that lies elsewhere than below its command's folder"
            yield finding(
                "BND-RUN",
                message,
                run,
                expected=f"{file_names.RUNS}/video/NAME or {file_names.RUNS}/stills/NAME",
            )
        if run in told.runs[:number]:
            yield finding("BND-RUN", "a run that is listed twice", run)
    order = [COMMANDS.index(str(one)) for one in commands if one in COMMANDS]
    if commands.count("video") > 1 or order != sorted(order):
        yield finding(
            "BND-RUN", "the runs are not one video and then the stills", file_names.MANIFEST, commands
        )


def _entry(folder: Folder, told: Manifest, listed: Listed) -> Iterator[Finding]:
    """The entry is what the runs' records say was delivered, whatever the manifest says, byte by byte."""
    if told.entry != dict(listed.entry):
        odd = sorted({*told.entry.items()} ^ {*listed.entry.items()})
        yield finding(
            "BND-ENTRY", "the manifest's entry is not what the runs delivered", file_names.MANIFEST, odd[0]
        )
    for name, origin in listed.entry.items():
        if name in folder.sizes and origin in folder.sizes and _bytes(folder, name) != _bytes(folder, origin):
            yield finding("BND-ENTRY", "a delivered file is not that of its run", name, expected=origin)


def _bytes(folder: Folder, name: str) -> tuple[int, str]:
    try:
        return folder.sizes[name], folder.sha256(name)
    except Unreadable:
        return -1, name  # like no other file


def _record(folder: Folder, name: str, limits: Limits) -> dict[str, Json]:
    try:
        value = strict_json(folder.read(name, limits.json_bytes), name)
    except (RecordError, KeyError, RecursionError):
        return {}
    return cast(dict[str, Json], value) if isinstance(value, dict) else {}
