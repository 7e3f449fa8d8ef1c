"""style.json: what a trained LoRA is, by whom, from what, and how good. Torch-free."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pokora_anime.catalogue import own_rows
from pokora_anime.provenance.hashing import Json, Table, file_hash
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.workshop.data.data_set import DataSet
from pokora_anime.workshop.training.lora_settings import LoraSettings

FILE = own_rows.STYLE
LIBRARIES = ("torch", "diffusers", "peft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who made the LoRA, what it is called, and under which licence it is passed on."""

    name: str
    title: str
    licence: str


def record(
    settings: LoraSettings, data: DataSet, author: Author, file: Path, scores: Table, seconds: float
) -> Table:
    """Everything that style.json holds."""
    made_with: dict[str, Json] = {name: version(name) for name in ("pokora_anime", *LIBRARIES)}
    return {
        "id": settings.id,
        "title": author.title or settings.id,
        "author": author.name,
        "licence": author.licence,
        "base": settings.base.value,
        "role": settings.role.value,
        "trigger": settings.trigger,
        "file": {"name": file.name, "sha256": file_hash(file), "bytes": file.stat().st_size},
        "data": {
            "id": data.id,
            "version": data.version,
            "pictures": len(data.entries),
            **({"clips": len(data.by_clip())} if data.clips else {}),
            "licences": [*data.licences],
            "sources": [*data.sources],
            "statement": data.statement,
        },
        "training": {**settings.to_plain(), "seconds": round(seconds, 1)},
        "scores": scores,
        "made_with": made_with,
    }


def write(table: Table, folder: Path) -> Path:
    """Writes it; its path. Raises MachineError SYS-*."""
    path = folder / FILE
    data = json.dumps(table, indent=1, ensure_ascii=False).encode() + b"\n"
    with writing(folder, len(data)):
        write_atomic(path, data)
    return path
