"""The checkpoints that a submission's provenance graph names, and no other: licence, link, citation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pokora_anime.catalogue import citations, lockfile, registry
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.run_reading import Reading

ROLES = {
    "base": "base model",
    "tokenizer": "tokenizers",
    "vae": "decoder",
    "motion": "motion adapter",
    "motion_lora": "motion LoRA",
    "speed_lora": "speed LoRA",
    "style_lora": "style LoRA",
    "controlnet": "ControlNet",
    "ip_adapter": "IP-Adapter",
    "image_encoder": "image encoder",
    "extractor": "map extractor",
    "choreographer": "pose planner",
    "interpolator": "interpolation",
    "upscaler": "upscaling",
    "enlarger": "enlargement",
    "scorer": "scoring",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A registry row that nodes of the runs used, with the sha256 of each file that they loaded."""

    row: Row
    files: dict[str, str]

    @property
    def role(self) -> str:
        """What it does, in words."""
        return ROLES[self.row.kind.value]

    @property
    def name(self) -> str:
        """What a reader knows it as."""
        row = self.row
        return row.title or (row.id if row.packaged or row.own else row.repo)

    @property
    def link(self) -> str:
        """Where it is found: a URL, or its place in the source."""
        row = self.row
        if row.packaged:
            folder = "/".join(part for part in (row.repo.removeprefix("package:"), row.folder) if part)
            return f"pokora_anime/{folder}"
        return row.link

    @property
    def revision(self) -> str:
        """The commit, as registered or as fetched; "" where hashes alone say which files are meant."""
        entry = lockfile.entry(self.row)
        return self.row.revision or (entry.revision if entry is not None else "")

    def to_plain(self) -> dict[str, Json]:
        """The entry of weights.json."""
        row = self.row
        return {
            "id": row.id,
            "role": self.role,
            "name": self.name,
            "link": self.link,
            "revision": self.revision,
            "licence": {"id": row.licence, "name": row.terms.name, "link": row.terms.link},
            "status": row.status.value,
            "data_statement": row.data_statement,
            "citation": [*row.citation],
            "files": dict[str, Json](sorted(self.files.items())),
        }


def used(readings: Iterable[Reading]) -> tuple[Checkpoint, ...]:
    """One for each row, the base first, then by kind. Raises RecordError SUB-WEIGHTS for an unknown row."""
    found: dict[str, dict[str, str]] = {}
    for reading in readings:
        for entry in reading.weights.values():
            found.setdefault(entry.row, {}).update(entry.files)
    rows = {row.id: row for row in registry.rows()}
    if unknown := sorted(set(found) - set(rows)):
        raise RecordError(
            "SUB-WEIGHTS",
            f"the runs used weights that this registry does not know: {', '.join(unknown)}",
            expected="rows of `pokora models list`",
            fix="use the version of pokora_anime that rendered the runs",
        )
    kinds = list(ROLES)
    ordered = sorted(found, key=lambda name: (kinds.index(rows[name].kind.value), name))
    return tuple(Checkpoint(row=rows[name], files=found[name]) for name in ordered)


def bibtex(checkpoints: Iterable[Checkpoint]) -> str:
    """Papers and checkpoints as BibTeX."""
    return citations.bibtex([checkpoint.row for checkpoint in checkpoints])


def papers(checkpoints: Iterable[Checkpoint]) -> str:
    """The papers alone, each once."""
    keys = dict.fromkeys(key for checkpoint in checkpoints for key in checkpoint.row.citation)
    return "\n\n".join(citations.papers()[key] for key in keys) + "\n"
