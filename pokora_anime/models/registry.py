"""The registry of weights: what may be loaded, where it comes from, under which licence. Torch-free."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pokora_anime.config.schema import Family
from pokora_anime.errors import ConfigError

REGISTRY = Path(__file__).with_name("registry.yaml")


class Kind(Enum):
    """What a row is loaded as."""

    base = "base"
    vae = "vae"
    motion = "motion"
    speed_lora = "speed_lora"
    style_lora = "style_lora"
    controlnet = "controlnet"
    extractor = "extractor"


class Status(Enum):
    """Whether a person has cleared a row; `blocked` rows are never fetched nor loaded."""

    allowed = "allowed"
    review = "review"
    blocked = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One checkpoint. `repo` is a hub id, or package:<folder> for what ships with the package."""

    id: str
    kind: Kind
    role: str
    families: tuple[Family, ...]
    repo: str
    files: tuple[str, ...]
    licence: str
    citation: str
    status: Status
    folder: str = ""
    revision: str | None = None
    variant: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def packaged(self) -> bool:
        """Whether the weights ship inside the package."""
        return self.repo.startswith("package:")

    @property
    def unpinned(self) -> bool:
        """Whether neither a revision nor a hash says which version of the files is meant."""
        return not (self.packaged or self.revision or self.sha256)

    @property
    def link(self) -> str:
        """Where a reader finds the checkpoint."""
        return self.repo if self.packaged else f"https://huggingface.co/{self.repo}"

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that this row answers to."""
        return (self.id, self.role, self.repo, *self.aliases)


def _row(entry: dict[str, Any]) -> Row:
    listed = {name: tuple(entry[name]) for name in ("files", "aliases") if name in entry}
    return Row(
        **{
            **entry,
            **listed,
            "kind": Kind(entry["kind"]),
            "status": Status(entry["status"]),
            "families": tuple(Family(name) for name in entry["families"]),
        }
    )


@cache
def rows() -> tuple[Row, ...]:
    """All rows, in the order of registry.yaml."""
    return tuple(_row(entry) for entry in yaml.safe_load(REGISTRY.read_text(encoding="utf-8")))


def get(identifier: str, family: Family) -> Row:
    """The row of that id (or hub id) for a family; ConfigError CFG-WEIGHTS for anything else."""
    for row in rows():
        if identifier in (row.id, row.repo) and family in row.families:
            return row
    known = [row.id for row in rows() if family in row.families]
    raise ConfigError(
        "CFG-WEIGHTS",
        f"no weights {identifier!r} for base={family.value}",
        expected=f"one of {', '.join(known)}",
        fix=_did_you_mean(identifier, known) or "use a preset of the base group",
    )


def find(role: str, family: Family) -> Row | None:
    """The row that plays a role for a family, or None. Roles, ids and template names all work."""
    return next((row for row in rows() if family in row.families and role in row.names), None)


def resolve(role: str, family: Family) -> Row:
    """The row that plays a role for a family; ConfigError CFG-ROLE where nothing does."""
    row = find(role, family)
    if row is None:
        raise ConfigError(
            "CFG-ROLE",
            f"nothing plays the role {role!r} for base={family.value}",
            expected=f"one of {', '.join(sorted({r.role for r in rows() if family in r.families}))}",
        )
    return row


def find_style(name: str, family: Family) -> Row | None:
    """The style LoRA of that role, id or template name; None if only other bases have it.

    Raises ConfigError CFG-LORA for a name that no base knows, with the nearest known names.
    """
    styles = [row for row in rows() if row.kind is Kind.style_lora]
    matching = [row for row in styles if name in row.names]
    if not matching:
        known = [label for row in styles for label in (row.role, row.id, *row.aliases)]
        raise ConfigError(
            "CFG-LORA",
            f"unknown LoRA {name!r}",
            expected=f"one of {', '.join(sorted(known))}",
            fix=_did_you_mean(name, known) or "remove the tag, or use one of these names",
        )
    roles = {row.role for row in matching}
    return next((row for row in styles if family in row.families and row.role in roles), None)


def style_role(name: str) -> str:
    """The role that a style LoRA of that role, id or template name plays; an unknown name is its own."""
    return next((row.role for row in rows() if row.kind is Kind.style_lora and name in row.names), name)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    lower = {label.lower(): label for label in known}
    close = difflib.get_close_matches(name.lower(), lower, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(lower[label] for label in close)}?" if close else ""
