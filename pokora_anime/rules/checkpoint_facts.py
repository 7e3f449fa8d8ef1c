"""What a contest's rules ask of the registry: facts about one checkpoint, as plain data. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from pokora_anime.catalogue import lockfile, registry
from pokora_anime.catalogue.licences import Terms
from pokora_anime.catalogue.registry_row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A checkpoint's standing.

    `status` is allowed, review or blocked, for the `reason` given. `pinned`: the registry names a commit or
    every hash; `locked`: this machine's models.lock holds the hashes of what was fetched. `own` LoRAs carry
    their owner's statement about the training data; a slot that no LoRA fills is `empty`.
    """

    id: str
    kind: str
    role: str
    families: tuple[str, ...]
    status: str
    reason: str
    pinned: bool
    locked: bool
    licence: str
    licence_name: str
    commercial: bool
    decided: bool
    own: bool
    empty: bool
    data_statement: str
    data_set: str
    link: str


def facts(identifier: str) -> Facts:
    """The facts about a row, by its id, hub id or template name. ConfigError CFG-WEIGHTS for another name."""
    return of_row(registry.any_row(identifier))


def every() -> dict[str, Facts]:
    """The facts about all rows, by id."""
    return {row.id: of_row(row) for row in registry.rows()}


def of_row(row: Row) -> Facts:
    """The facts about a row. `decided`: its licence is clear, or a person on this machine accepted it."""
    accepted = lockfile.read().accepted.get(row.id) == row.licence
    return Facts(
        id=row.id,
        kind=row.kind.value,
        role=row.role,
        families=tuple(family.value for family in row.families),
        status=row.status.value,
        reason=row.reason,
        pinned=not row.unpinned,
        locked=row.packaged or row.own or lockfile.entry(row) is not None,
        licence=row.licence,
        licence_name=row.terms.name,
        commercial=row.terms.terms is not Terms.non_commercial,
        decided=row.terms.terms is not Terms.unclear or accepted,
        own=row.own and not row.slot,
        empty=row.slot,
        data_statement=row.data_statement,
        data_set=row.data_set,
        link=row.link,
    )
