"""Converted networks on the disk: found under what they were made from, judged byte by byte. Torch-free.

A conversion is a folder of three files; `about.json` says what it was made from and what the other two
hash to. It is made under a temporary name and renamed when it is whole, so that a kill leaves none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pokora_anime.provenance.hashing import Json, file_hash, text_hash
from pokora_anime.system import process
from pokora_anime.system.files.atomic_files import sync_folder, write_atomic

ABOUT, GRAPH, WEIGHTS = "about.json", "model.xml", "model.bin"
_FILES = (GRAPH, WEIGHTS)
_NAME = re.compile(r"[0-9a-f]{32}")
_GROUP = re.compile(r"[0-9a-f]{16}")
_reports: list[Callable[[Path], None]] = []  # at most one


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A kept conversion: its graph, or why there is none (empty: none was ever made)."""

    graph: Path | None = None
    problem: str = ""


def name_of(made_from: Mapping[str, Json]) -> str:
    """The name of the conversion of those weights, shapes, settings and versions."""
    return text_hash(dict(made_from))[:32]


def find(group: Path, made_from: Mapping[str, Json]) -> Found:
    """The kept conversion, whose every byte is the one that was written."""
    folder = group / name_of(made_from)
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["made_from"] != dict(made_from):
            return Found(problem="made from something else")
        for name in _FILES:
            if file_hash(folder / name) != about["files"][name]:
                return Found(problem=f"{name} is damaged")
    except FileNotFoundError as error:
        return Found(problem=f"{Path(error.filename).name} is missing" if folder.is_dir() else "")
    except (OSError, ValueError, KeyError, TypeError):
        return Found(problem=f"{ABOUT} is damaged")
    return Found(graph=folder / GRAPH)


def sealed(folder: Path, made_from: Mapping[str, Json]) -> None:
    """Say what the files in `folder` were made from. Raises OSError."""
    about = {"made_from": dict(made_from), "files": {name: file_hash(folder / name) for name in _FILES}}
    write_atomic(folder / ABOUT, (json.dumps(about, indent=1) + "\n").encode())


def hand_over(report: Callable[[Path], None]) -> None:
    """From here on what is made is handed over: this process may not write where conversions are kept."""
    _reports[:] = [report]


def keep(made: Path, kept: Path) -> bool:
    """Keep a conversion, or hand it over; whether it is kept now. Raises OSError, ValueError."""
    if not _reports:
        adopt(made, kept)
        return True
    _reports[0](made)
    return False


def adopt(made: Path, kept: Path) -> None:
    """Move a conversion GROUP/NAME that a run made below the folder of kept ones, whole or not at all.

    One of that name is replaced. Raises OSError, ValueError for what is no conversion.
    """
    group, name = made.parent.name, made.name
    files = sorted(path.name for path in made.iterdir())
    plain = all(path.is_file() and not path.is_symlink() for path in made.iterdir())
    if not (
        _GROUP.fullmatch(group) and _NAME.fullmatch(name) and plain and files == sorted((ABOUT, *_FILES))
    ):
        raise ValueError(f"{made} is no converted network")
    about = cast("dict[str, dict[str, Json]]", json.loads((made / ABOUT).read_text(encoding="utf-8")))
    if name_of(about["made_from"]) != name:
        raise ValueError(f"{made} was made from something else")
    place = kept / group / name
    place.parent.mkdir(parents=True, exist_ok=True)
    clear(place.parent)
    waiting = place.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        try:
            made.rename(waiting)
        except OSError:  # another disk
            shutil.copytree(made, waiting)
        shutil.rmtree(place, ignore_errors=True)
        waiting.rename(place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def clear(group: Path) -> None:
    """Remove what killed processes left half copied."""
    for left in group.glob(".*.tmp"):
        owner = re.fullmatch(r"\..*\.(\d+)\.tmp", left.name)
        if owner is None or not process.runs(int(owner[1])):
            shutil.rmtree(left, ignore_errors=True)
