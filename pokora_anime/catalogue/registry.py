"""The registry of weights: what may be loaded, where it comes from, under which licence. Torch-free."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from pokora_anime.catalogue import own_rows
from pokora_anime.catalogue.registry_row import Kind, Mirror, Row, Status, parse
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import Family

__all__ = [
    "IDENTITY",
    "JUDGE",
    "Kind",
    "Mirror",
    "Row",
    "Status",
    "any_row",
    "find",
    "find_style",
    "get",
    "nearest_names",
    "resolve",
    "rows",
    "shipped",
    "style_role",
]

JUDGE = "score_prompt"  # the role of what tells how much of a prompt a picture shows
IDENTITY = ("ip_adapter", "image_encoder")  # the roles of what keyframe.identity=adapter loads
REGISTRY = Path(__file__).with_name("registry.yaml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def shipped() -> tuple[Row, ...]:
    """The rows of registry.yaml, in its order."""
    return tuple(parse(entry) for entry in yaml.load(REGISTRY.read_text(encoding="utf-8"), Loader=_LOADER))


def rows() -> tuple[Row, ...]:
    """All rows: the user's own first, so that they fill the slots of the shipped ones.

    Raises ConfigError CFG-OWN for a user's registry that is none.
    """
    mine = own_rows.rows()
    if mine:
        own_rows.refuse_names(mine, {name for row in shipped() for name in row.names})
    return (*mine, *shipped())


def get(identifier: str, family: Family) -> Row:
    """The row of that id (or hub id) for a family; ConfigError CFG-WEIGHTS for anything else."""
    for row in rows():
        if identifier in (row.id, row.repo) and family in row.families:
            return row
    known = [row.id for row in rows() if family in row.families]
    others = [row for row in rows() if identifier in (row.id, row.repo)]
    bases = ", ".join(f"base={one.value}" for row in others for one in row.families)
    raise ConfigError(
        "CFG-WEIGHTS",
        f"{identifier} is for {bases}, not for base={family.value}"
        if others
        else f"no weights {identifier!r} for base={family.value}",
        expected=f"one of {', '.join(known)}",
        fix=_did_you_mean(identifier, known) or "use a preset of the base group",
    )


def any_row(identifier: str) -> Row:
    """The row of that id, hub id or template name, whatever its base; ConfigError CFG-WEIGHTS."""
    for row in rows():
        if identifier in (row.id, row.repo, *row.aliases):
            return row
    known = [row.id for row in rows()]
    raise ConfigError(
        "CFG-WEIGHTS",
        f"no weights {identifier!r}",
        expected="an id of `pokora models list`, or key=value as for `pokora video`",
        fix=_did_you_mean(identifier, known) or "`pokora models list`",
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
            expected=f"one of {', '.join(sorted(set(known)))}",
            fix=_did_you_mean(name, known) or "remove the tag, or use one of these names",
        )
    for_base = [row for row in matching if family in row.families]
    if for_base:
        return for_base[0]
    roles = {row.role for row in matching}
    return next((row for row in styles if family in row.families and row.role in roles), None)


def nearest_names(name: str, kind: str, family: str) -> list[str]:
    """Up to two known names of weights of that kind for that base, the most like `name` first."""
    fitting = [row for row in rows() if row.kind.value == kind and not row.slot]
    own = [row for row in fitting if family in {one.value for one in row.families}]
    known = {
        label.lower(): label for row in own or fitting for label in (row.role, row.id, *row.aliases) if label
    }
    close = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.0)
    best = [one for one in close if difflib.SequenceMatcher(None, name.lower(), one).ratio() >= 0.5]
    return [known[one] for one in best or close[:1]]


def style_role(name: str) -> str:
    """The role that a style LoRA of that role, id or template name plays; an unknown name is its own."""
    return next((row.role for row in rows() if row.kind is Kind.style_lora and name in row.names), name)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    lower = {label.lower(): label for label in known}
    close = difflib.get_close_matches(name.lower(), lower, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(lower[label] for label in close)}?" if close else ""
