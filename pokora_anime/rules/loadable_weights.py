"""Which weights may be loaded at all: registered, for this base, of the right kind, not blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pokora_anime.catalogue import registry
from pokora_anime.findings import Finding, Severity
from pokora_anime.rules import text_rules
from pokora_anime.rules.case import Case, Use

Rule = Callable[[Case, Use], Iterator[Finding]]


def name(_: Case, use: Use) -> Iterator[Finding]:
    """The name is plain ASCII, so that it is the one that it looks like."""
    found = text_rules.look_alike(use.name, use.where)
    if found:
        yield found


def registered(case: Case, use: Use) -> Iterator[Finding]:
    """A row of the registry answers to the name, and no empty place for a user's own LoRA."""
    if use.weights is None:
        unknown = _block("GATE-UNREGISTERED", f"no registered {_plain(use.kind)}", use, repr(use.name[:60]))
        near = registry.nearest_names(use.name, use.kind, case.family)
        yield replace(unknown, fix=f"did you mean {' or '.join(near)}?") if near else unknown
    elif use.weights.empty:
        message = f"no LoRA of yours plays the role {use.weights.role}"
        fix = f"pokora models add FILE --slot {use.weights.role}"
        yield replace(_block("GATE-UNREGISTERED", message, use, use.name), fix=fix)


def kind(_: Case, use: Use) -> Iterator[Finding]:
    """The row is what it would be loaded as."""
    if use.weights is not None and use.weights.kind != use.kind:
        message = f"a {_plain(use.weights.kind)} and no {_plain(use.kind)}"
        found = _block("GATE-KIND", message, use, use.weights.id)
        way = _ways(use.weights.id, use.weights.role).get((use.weights.kind, use.kind))
        yield replace(found, fix=way) if way else found


def _ways(name: str, role: str) -> dict[tuple[str, str], str]:
    """How a LoRA of one kind is used, by it and by the kind that it was taken for."""
    return {
        ("motion_lora", "style_lora"): f"take out {name}, and type motion.lora={role}",
        ("style_lora", "motion_lora"): f"motion.lora=null, and <lora:{name}:0.8> in shot.prompt",
    }


def family(case: Case, use: Use) -> Iterator[Finding]:
    """The row is for this base; a style that only others have is left out instead."""
    if use.weights is None or use.kind == "style_lora" or case.family in use.weights.families:
        return
    yield _block("GATE-FAMILY", f"weights of another base than {case.family}", use, use.weights.id)


def blocked(_: Case, use: Use) -> Iterator[Finding]:
    """The licence allows it."""
    if use.weights is not None and use.loaded and use.weights.status == "blocked":
        got = f"{use.weights.id}: {use.weights.reason} (licence: {use.weights.licence_name})"
        yield _block("GATE-BLOCKED", "weights that this project may not use", use, got)


RULES: tuple[Rule, ...] = (name, registered, kind, family, blocked)


def judge(case: Case) -> list[Finding]:
    """All findings, in the order of the weights."""
    return [finding for use in case.uses for rule in RULES for finding in rule(case, use)]


def _plain(kind: str) -> str:
    return kind.replace("_lora", " LoRA")


def _block(code: str, message: str, use: Use, got: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.block,
        message=message,
        got=got,
        expected="a row of `pokora models list`",
        fix=f"use {use.instead}" if use.instead else "`pokora models list`",
        where=use.where,
    )
