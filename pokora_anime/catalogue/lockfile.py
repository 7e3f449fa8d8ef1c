"""models.lock: what was fetched for each row, from where, and compared with what. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from pokora_anime.catalogue.registry_row import Row
from pokora_anime.errors import WeightsError
from pokora_anime.provenance.hashing import Json
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.files.user_folder import data_folder

VERSION = 1
_Tables = dict[str, dict[str, Json]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """A fetched file; `hub` names the publisher's own hash that it was compared with, if there was one."""

    size: int
    sha256: str
    hub: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A pickle made into safetensors: both hashes."""

    source: str
    source_sha256: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What was fetched for a row. `files` is by path in the repository, `conversions` by loaded name."""

    repo: str
    revision: str
    files: dict[str, LockedFile]
    conversions: dict[str, Conversion] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """Files that were fetched for what a row named before."""

    repo: str
    revision: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The whole file. `accepted` is by row id the licence that a person decided to accept."""

    rows: dict[str, Entry] = field(default_factory=dict)
    former: tuple[Former, ...] = ()
    accepted: dict[str, str] = field(default_factory=dict)


def path() -> Path:
    """The lock file of this user."""
    return data_folder() / "models.lock"


def read() -> Lock:
    """The lock; empty where there is none. WeightsError WGT-DAMAGED for a file that is no lock."""
    file = path()
    try:
        stat = file.stat()
        return _read(file, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return Lock()


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int, _size: int) -> Lock:
    try:
        return _parse(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            "WGT-DAMAGED",
            f"{file} is no lock file",
            fix="delete it, then `pokora models fetch` writes it anew",
        ) from error


def _parse(stored: Mapping[str, Json]) -> Lock:
    if stored["version"] != VERSION:
        raise ValueError(stored["version"])
    return Lock(
        rows={name: _entry(entry) for name, entry in cast(_Tables, stored["rows"]).items()},
        former=tuple(
            cast(Callable[..., Former], Former)(**{**one, "files": tuple(cast(list[str], one["files"]))})
            for one in cast(list[dict[str, Json]], stored["former"])
        ),
        accepted={
            str(name): str(licence) for name, licence in cast(dict[str, Json], stored["accepted"]).items()
        },
    )


def _entry(stored: Mapping[str, Json]) -> Entry:
    return Entry(
        repo=str(stored["repo"]),
        revision=str(stored["revision"]),
        files={
            name: cast(Callable[..., LockedFile], LockedFile)(**file)
            for name, file in cast(_Tables, stored["files"]).items()
        },
        conversions={
            name: cast(Callable[..., Conversion], Conversion)(**one)
            for name, one in cast(_Tables, stored["conversions"]).items()
        },
    )


def write(lock: Lock) -> None:
    """Replace the file in one step. MachineError SYS-DISK, SYS-WRITE."""
    file = path()
    data = json.dumps({"version": VERSION, **asdict(lock)}, indent=1, sort_keys=True) + "\n"
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, data.encode())


def entry(row: Row) -> Entry | None:
    """What was fetched for a row as it is now registered, or None."""
    found = read().rows.get(row.id)
    return found if found is not None and names(row, found.repo, found.revision) else None


def names(row: Row, repo: str, revision: str) -> bool:
    """Whether the row means that commit of that repository; without a commit of its own it takes any."""
    places = [(row.repo, row.revision or revision), *((one.repo, one.revision) for one in row.mirrors)]
    return (repo, revision) in places


def record(row_id: str, new: Entry) -> None:
    """Note what was fetched for a row; what it had before becomes `former`, so that gc knows it is ours."""
    lock = read()
    old = lock.rows.get(row_id)
    former = lock.former
    if old is not None and (old.repo, old.revision) != (new.repo, new.revision):
        former += (Former(repo=old.repo, revision=old.revision, files=tuple(old.files)),)
    elif old is not None:
        new = replace(new, files={**old.files, **new.files})
    write(replace(lock, rows={**lock.rows, row_id: new}, former=former))


def accept(row_id: str, licence: str) -> None:
    """Note that a person accepted a row's licence as it stands."""
    lock = read()
    write(replace(lock, accepted={**lock.accepted, row_id: licence}))
