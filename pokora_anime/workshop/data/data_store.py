"""Where data sets lie: datasets/ID/VERSION in the user's data folder, each version whole. Torch-free.

A version is a folder of PNG files with captions beside them, data.json, the data card and the report: it
can be copied, zipped or given to `dvc add` as it is.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from pokora_anime.errors import DataError
from pokora_anime.provenance.hashing import Table, strict_json
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.atomic_files import TEMPORARY_SUFFIX, write_atomic, writing
from pokora_anime.system.files.user_folder import data_folder
from pokora_anime.untrusted.png_pictures import BadPicture, Image, decode_png
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.workshop.data import data_card, data_report
from pokora_anime.workshop.data.data_set import ID, DataSet, Entry, parse

DATA, CARD, CARD_DATA, REPORT, CURRENT = (
    "data.json",
    "data-card.md",
    "data-card.json",
    "report.html",
    "current",
)
_MOST_LISTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A version of a data set and its folder."""

    data: DataSet
    folder: Path

    def picture(self, entry: Entry) -> Image:
        """Its pixels uint8 [height, width, 3]. Raises DataError DAT-DAMAGED."""
        path = self.folder / entry.file
        try:
            return decode_png(path.read_bytes(), LIMITS.picture_pixels)
        except (OSError, BadPicture) as error:
            raise damaged(path, str(error)) from error

    @property
    def card(self) -> Path:
        """The data card for readers."""
        return self.folder / CARD

    @property
    def report(self) -> Path:
        """The page with all pictures and what was found."""
        return self.folder / REPORT


def damaged(path: Path, why: str) -> DataError:
    """A file of a version that is not what was stored."""
    return DataError(
        "DAT-DAMAGED",
        f"{path}: {shown(why)}",
        expected="what `pokora data add` wrote",
        fix="add the pictures again",
    )


def root() -> Path:
    """The folder of all data sets."""
    return data_folder() / "datasets"


def ids() -> list[str]:
    """The data sets that are there, by name."""
    try:
        return sorted(path.name for path in root().iterdir() if ID.fullmatch(path.name))[:_MOST_LISTED]
    except OSError:
        return []


def versions(identifier: str) -> list[str]:
    """The versions of a data set, the current one last, the others by age."""
    folder = root() / identifier
    try:
        found = [path for path in folder.iterdir() if (path / DATA).is_file()]
        found.sort(key=lambda path: (path / DATA).stat().st_mtime_ns)
        names = [path.name for path in found]
        current = (folder / CURRENT).read_text(encoding="utf-8").strip()
    except OSError:
        return []
    return sorted(names, key=lambda name: name == current)


def find(name: str) -> Stored:
    """A data set as `mychar`, or one version as `mychar@0123` (the beginning is enough).

    Raises DataError DAT-UNKNOWN, DAT-DAMAGED.
    """
    identifier, _, version = name.partition("@")
    known = versions(identifier) if ID.fullmatch(identifier) else []
    chosen = [one for one in known if one.startswith(version)] if version else known[-1:]
    if len(chosen) != 1:
        close = nearest(identifier, ids())
        several = f"one of {', '.join(f'{identifier}@{one}' for one in known)}"
        raise DataError(
            "DAT-UNKNOWN",
            f"no data set {shown(name)}"
            if len(chosen) != 2
            else f"{shown(name)} is the beginning of several",
            expected=several if known else "one of `pokora data list`",
            fix=f"did you mean {close}?" if close and not known else _where_to_look(),
        )
    folder = root() / identifier / chosen[0]
    data = parse(strict_json(_read(folder / DATA), f"{folder / DATA}"), str(folder / DATA))
    if data.version != chosen[0] or data.id != identifier:
        raise damaged(folder / DATA, "it is not the version that its folder is named after")
    return Stored(data=data, folder=folder)


def _where_to_look() -> str:
    return "pokora data list" if ids() else "pokora data add FOLDER --id mychar (`pokora data`)"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def store(data: DataSet, pictures: dict[str, Image], notes: list[Table]) -> tuple[Stored, bool]:
    """Write a version whole and make it the current one; False where it was there already.

    `pictures` are by name; `notes` what the report tells. Raises MachineError SYS-*.
    """
    folder = root() / data.id / data.version
    stored = Stored(data=data, folder=folder)
    new = not (folder / DATA).is_file()
    need = sum(picture.nbytes for picture in pictures.values())
    with writing(folder.parent, need):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if new:
            _write_whole(folder, data, pictures, notes)
        write_atomic(folder.parent / CURRENT, f"{data.version}\n".encode())
    return stored, new


def _write_whole(folder: Path, data: DataSet, pictures: dict[str, Image], notes: list[Table]) -> None:
    part = folder.with_name(f".{folder.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # without its data.json it was never finished
    try:
        (part / "pictures").mkdir(parents=True)
        for entry in data.entries:
            Pictures.fromarray(np.ascontiguousarray(pictures[entry.name])).save(part / entry.file, "PNG")
            (part / entry.file).with_suffix(".txt").write_text(f"{entry.caption}\n", encoding="utf-8")
        card = data_card.table(data)
        (part / CARD).write_text(data_card.markdown(card), encoding="utf-8")
        (part / CARD_DATA).write_bytes(data_card.to_json(card))
        (part / REPORT).write_text(data_report.page(data, pictures, notes), encoding="utf-8")
        write_atomic(part / DATA, data_card.to_json(data.to_plain()))
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
