"""A user's own LoRAs and bases, registered with their licence and where they or their data came from.

Torch-free.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import yaml

from pokora_anime.catalogue import own_rows
from pokora_anime.catalogue.checkpoint import own_base
from pokora_anime.catalogue.licences import require_open
from pokora_anime.catalogue.lora.lora_header import LoraHeader, read_header
from pokora_anime.catalogue.own_loras import lora_versions
from pokora_anime.catalogue.own_rows import ID, folder_of, path, rows
from pokora_anime.catalogue.registry_row import Kind, Row, Status, parse
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.atomic_files import disk_error, temporary_path, write_atomic, writing
from pokora_anime.system.files.user_folder import data_folder, free_space

if TYPE_CHECKING:
    from pokora_anime.catalogue.lora import lora_check

_KEPT = (*own_rows.CARDS, own_rows.STYLE)
MIN_STATEMENT = 20  # characters; less says nothing about where data came from


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLora:
    """What `pokora models add` is told. `slot` is character, aesthetic, or empty for a style; `data_set` and
    `cards` are the version of a data set that it was trained on here, and its data card by file name.
    """

    id: str
    file: Path
    family: Family
    slot: str
    licence: str
    data_statement: str
    author: str = ""
    title: str = ""
    page: str = ""
    data_set: str = ""
    cards: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def rivals(new: NewLora, taken: Mapping[str, str], *, replace: bool = False) -> list[Row]:
    """The user's rows whose place a LoRA would take, if it may be registered at all.

    Raises ConfigError CFG-OWN, WeightsError WGT-BLOCKED; the file is not looked at.
    """
    _check_words(new.id, new.licence, taken)
    _check_statement(new.data_statement)
    _refuse_version_id(new.id)
    found = in_place_of(new)
    _refuse_rivals(found, new.slot, replace=replace)
    return found


def in_place_of(new: NewLora) -> list[Row]:
    """The user's rows, versions left out, that have the id or the slot of a LoRA."""
    current = (row for row in rows() if not row.version_of)
    return [row for row in current if row.id == new.id or (new.slot and _same_slot(row, new))]


def add(
    new: NewLora, taken: dict[str, str], *, replace: bool = False
) -> tuple[Row, LoraHeader, lora_check.Checked]:
    """Copy a LoRA into the data folder and register it; returns its row, what its header and its layers say.

    `taken` maps every name of the shipped registry to the id of its row. Raises ConfigError CFG-OWN for
    a word that will not do, WeightsError WGT-BLOCKED for a licence that may not be used, WGT-FIT for a file
    that is no LoRA for this base, MachineError SYS-*.
    """
    others = rivals(new, taken, replace=replace)
    header = read_header(new.file)
    header.check(new.id, new.family)
    from pokora_anime.catalogue.lora.lora_check import check  # torch: not for those who only list or compose

    checked = check(new.file, new.id, new.family)
    if checked.motion and new.slot:
        raise ConfigError(
            "CFG-OWN", f"--slot {new.slot} for a motion LoRA", expected="no slot", fix="leave --slot out"
        )
    if new.data_set:
        _keep_earlier(new.id)
    entry = _entry(new, checked.motion, *_copy(new))
    _register(entry, others)
    if new.data_set:
        _keep_version(entry)
    return parse(entry), header, checked


def _keep_earlier(identifier: str) -> None:
    """Make a version of what a training made before there were any."""
    if lora_versions.versions(identifier) or not path().is_file():
        return
    stored = yaml.safe_load(path().read_text(encoding="utf-8")) or ()
    mine = [one for one in stored if one["id"] == identifier and one.get("data_set")]
    if mine and (folder_of(parse(mine[0])) / f"{identifier}.safetensors").is_file():
        _keep_version(mine[0])


def _keep_version(entry: Mapping[str, Json]) -> None:
    """Leave a registered LoRA as its next version, unless the very file is one already."""
    row = parse(entry)
    known = lora_versions.versions(row.id)
    digests = set(row.sha256.values())
    if any(digests == set(one.sha256.values()) for one in known.values()):
        return
    identifier = lora_versions.version_id(row.id, max(known, default=0) + 1)
    role = identifier if row.role == row.id else f"own:{identifier}" if ":" in row.role else row.role
    (details,) = cast("dict[str, Json]", entry["files"]).values()
    named: dict[str, Json] = {
        "id": identifier,
        "role": role,
        "repo": f"own:{identifier}",
        "files": {f"{identifier}.safetensors": details},
        "version_of": row.id,
    }
    version = {**entry, **named}
    source, target = folder_of(row), folder_of(parse(version))
    with writing(target, row.size or 0):
        target.mkdir(parents=True, exist_ok=True)
        _same_file(source / f"{row.id}.safetensors", target / f"{identifier}.safetensors")
        for name in _KEPT:
            if (source / name).is_file():
                write_atomic(target / name, (source / name).read_bytes())
    _register(version, [])


def _same_file(source: Path, target: Path) -> None:
    """A second name of a file where the disk has such, else a copy."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def add_base(
    new: own_base.NewBase, taken: dict[str, str], *, replace: bool = False
) -> tuple[Row, own_base.Prediction]:
    """Convert a checkpoint of others into the data folder and register it; its row, and what it predicts.

    Raises what `add` and `own_base.make` raise.
    """
    _check_words(new.id, new.licence, taken)
    _refuse_version_id(new.id)
    others = [row for row in rows() if row.id == new.id]
    _refuse_rivals(others, "", replace=replace)
    entry, prediction = own_base.make(new)
    _register(entry, others)
    return parse(entry), prediction


def _refuse_version_id(identifier: str) -> None:
    owner = next((row.version_of for row in rows() if row.version_of and row.id == identifier), "")
    if owner:
        raise ConfigError(
            "CFG-OWN", f"--id {identifier} is a version of {owner}", fix=f"--id my-{identifier}"[:43]
        )


def _refuse_rivals(others: list[Row], slot: str, *, replace: bool) -> None:
    if others and not replace:
        what = "base" if others[0].kind is Kind.base else "LoRA"
        raise ConfigError(
            "CFG-OWN",
            f"{slot or others[0].id} is taken by your {what} {others[0].id} ({others[0].families[0].value})",
            fix=f"choose another --id{' or --slot' if slot else ''}, or --replace it",
        )


def _register(entry: Mapping[str, Json], others: list[Row]) -> None:
    """Write a row into the user's registry in the place of its rivals, whose files go."""
    kept = [row.id for row in rows() if row not in others]
    stored = yaml.safe_load(path().read_text(encoding="utf-8")) if path().is_file() else None
    entries = [one for one in stored or () if one["id"] in kept]
    with writing(path().parent):
        write_atomic(
            path(), yaml.safe_dump([*entries, dict(entry)], sort_keys=False, allow_unicode=True).encode()
        )
    new = folder_of(parse(entry))
    for row in others:
        if folder_of(row) != new:
            shutil.rmtree(folder_of(row), ignore_errors=True)


def _same_slot(row: Row, new: NewLora) -> bool:
    return row.role == new.slot and new.family in row.families


def _check_words(identifier: str, licence_id: str, taken: Mapping[str, str]) -> None:
    if not ID.fullmatch(identifier):
        raise ConfigError(
            "CFG-OWN", f"--id {identifier!r}", expected="small letters, digits and -, at most 40"
        )
    if identifier in taken:
        raise ConfigError(
            "CFG-OWN",
            f"--id {identifier} is what the shipped {taken[identifier]} answers to",
            fix=f"--id my-{identifier}",
        )
    require_open(licence_id, "CFG-OWN")


def _check_statement(statement: str) -> None:
    if len(" ".join(statement.split())) < MIN_STATEMENT:
        raise ConfigError(
            "CFG-OWN",
            f"--data {statement!r}",
            expected="a sentence that says what it was trained on and why that data is free",
            fix="for example --data '40 drawings of my own, released as CC0'",
        )


def _copy(new: NewLora) -> tuple[str, int]:
    """Copies the file into the data folder; its sha256 and size."""
    folder = data_folder() / "loras" / new.id
    target = folder / f"{new.id}.safetensors"
    size = new.file.stat().st_size
    if free_space(folder) < size:
        raise disk_error(folder, size)
    digest = hashlib.sha256()
    with writing(folder, size):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(target)
        try:
            with new.file.open("rb") as source, temporary.open("wb") as copy:
                while block := source.read(1 << 20):
                    digest.update(block)
                    copy.write(block)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        for name in _KEPT:
            (folder / name).unlink(missing_ok=True)
            if name in new.cards:
                write_atomic(folder / name, new.cards[name])
    return digest.hexdigest(), size


def _entry(new: NewLora, motion: bool, sha256: str, size: int) -> dict[str, Json]:
    known: dict[str, Json] = {"data_set": new.data_set} if new.data_set else {}
    return {
        "id": new.id,
        "kind": (Kind.motion_lora if motion else Kind.style_lora).value,
        "role": f"own:{new.id}" if motion else new.slot or new.id,
        "families": [new.family.value],
        "repo": f"own:{new.id}",
        "files": {f"{new.id}.safetensors": {"size": size, "sha256": sha256}},
        "licence": new.licence,
        "citation": [],
        "status": Status.review.value,
        "reason": own_rows.LORA_REASON,
        "data_statement": " ".join(new.data_statement.split()),
        "author": new.author,
        "title": new.title,
        "page": new.page,
        **known,
    }
