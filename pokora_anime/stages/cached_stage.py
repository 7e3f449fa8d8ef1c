"""A cached stage: what a run folder holds already is read back, the rest is computed and stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.stages.run_context import RunContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage's arrays and their recorded node; `kept`: they were read back."""

    arrays: Arrays
    node: Node
    kept: bool


def cached(node: Node, compute: Callable[[], Arrays], context: RunContext) -> Stage:
    """The stage under its node. Raises what `compute` raises, MachineError SYS-IO."""
    stored = context.folder.load(node)
    if stored is not None:
        return Stage(arrays=stored, node=context.folder.recorded(node), kept=True)
    arrays = compute()
    return Stage(arrays=arrays, node=context.folder.save(node, arrays), kept=False)


def cached_under_plan(
    under: Callable[[Plan], Node], compute: Callable[[], Arrays], context: RunContext
) -> Stage:
    """The stage under its node by the plan in force or an earlier one of this run.

    `compute` may change the plan where memory runs out; what it made stands under the one that it ended with.
    """
    node, stored = context.execution.stored(context.folder, under)
    if stored is not None:
        return Stage(arrays=stored, node=context.folder.recorded(node), kept=True)
    arrays = compute()
    return Stage(arrays=arrays, node=context.folder.save(under(context.execution.plan), arrays), kept=False)
