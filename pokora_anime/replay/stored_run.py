"""A run's stored nodes in the place of its folder: stages read their parents back and keep nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, arrays_hash, canonical_json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import of
from pokora_anime.provenance.run_folder import Arrays as Stored
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.verify.record.claimed_record import Record, Step
from pokora_anime.verify.record.stored_contents import Arrays

if TYPE_CHECKING:
    from pokora_anime.provenance.stage_records import Image


class Shelf:
    """Stands in for `RunFolder`: every node is found stored but `target`, which is computed.

    `made` is the node that the stage entered for the target, as this install makes it, with its output,
    and `arrays` what it holds.
    """

    def __init__(self, record: Record, arrays: Arrays, target: Step) -> None:
        self._arrays, self._target = arrays, target
        self._steps = {(step.op, _place(step.op, step.params)): step for step in record.steps}
        self.path = Path()  # a stage that wants to write a file of its own is none that is replayed
        self.made: Node | None = None
        self.arrays: Stored = {}

    @property
    def folder(self) -> RunFolder:
        """The shelf as stages know it: it answers everything that the replayed ones ask of a run folder."""
        return cast(RunFolder, cast(object, self))

    def load(self, node: Node) -> Stored | None:
        """What the run stored for the node in this place; None for the target."""
        step = self._step(node)
        if step.id == self._target.id:
            return None
        return {name: np.array(array) for name, array in self._arrays.of(step).items()}

    def recorded(self, node: Node) -> Node:
        """The run's own node in this place."""
        return Node.from_json(self._step(node).raw)

    def save(self, node: Node, arrays: Mapping[str, np.ndarray]) -> Node:
        """Takes what the target became."""
        plain = {name: np.array(array, order="C") for name, array in arrays.items()}
        self.arrays = plain
        self.made = node.made(arrays_hash(plain))
        return self.made

    def note_node(self, node: Node) -> None:
        """Takes a target that stores no arrays."""
        self.made = node

    def write_image(
        self, name: str, rgb: Image, node: Node, array: str, metadata: Mapping[str, str] | None = None
    ) -> Path:
        """Pictures for people are not replayed."""
        del rgb, node, array, metadata
        return self.path / name

    def _step(self, node: Node) -> Step:
        step = self._steps.get((node.op, _place(node.op, node.params)))
        if step is None:
            raise RecordError("RPL-PLACE", f"the record has no {node.op} node in this place of the run")
        return step


def _place(op: str, params: Mapping[str, Json]) -> str:
    """A still's noise and picture are told apart by their seed alone."""
    return canonical_json([params.get(of(op).place), params.get("seed")])
