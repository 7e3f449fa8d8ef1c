"""Rows of the nano bench on disk: written as they finish, read back when the bench goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pokora_anime.schema.config_groups import conf_dir

ROOT = Path(__file__).resolve().parent.parent.parent
# What a row depends on beside the weights.
SOURCES = (
    "benchmarks/nano/constancy.py",
    "benchmarks/nano/nano_flow.py",
    "benchmarks/nano/nano_metrics.py",
    "benchmarks/nano/nano_prompts.py",
    "benchmarks/nano/nano_sections.py",
    "benchmarks/nano/nano_studio.py",
    "pokora_anime/choreography/*.py",
    "pokora_anime/nano/nano_extractors.py",
    "pokora_anime/nano/probe.py",
    "pokora_anime/nano/world/**/*.py",
    "pokora_anime/networks/**/*.py",
    "pokora_anime/stages/**/*.py",
    "pokora_anime/timeline/*.py",
)

Row = dict[str, Any]


class Rows:
    """Rows by section and index in a file of JSON lines; a line that was cut off counts for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[str, int], Row] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            self._rows[row["section"], row["index"]] = row
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def add(self, section: str, index: int, row: Row) -> None:
        """Keeps a row; it is on the disk when this returns."""
        whole = {"section": section, "index": index, **row}
        self._rows[section, index] = whole
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(whole) + "\n")

    def missing(self, section: str, count: int) -> list[int]:
        """The indices below `count` that have no row yet."""
        return [i for i in range(count) if (section, i) not in self._rows]

    def of(self, section: str, count: int) -> list[Row]:
        """The rows of a section with an index below `count`, in order."""
        return [self._rows[section, i] for i in range(count) if (section, i) in self._rows]


def key(weights: Path) -> str:
    """What rows depend on: weights, settings, and the code that makes and judges pictures; 12 hex digits."""
    digest = hashlib.sha256(json.dumps(weights_hashes(weights), sort_keys=True).encode())
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    for path in sorted(conf_dir().rglob("*.yaml")):
        digest.update(path.relative_to(conf_dir()).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def weights_hashes(weights: Path) -> dict[str, str]:
    """sha256 of every file that decides about results, by name: no records, no words."""
    wanted = [p for p in _files(weights) if p.suffix == ".safetensors" or p.name.endswith("config.json")]
    return {p.relative_to(weights).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in wanted}


def sizes(weights: Path) -> dict[str, int]:
    """Bytes of the folder in all and of its largest file."""
    found = [p.stat().st_size for p in _files(weights)]
    return {"bytes": sum(found), "largest_file": max(found, default=0)}


def _files(weights: Path) -> Iterable[Path]:
    return sorted(p for p in weights.rglob("*") if p.is_file())
