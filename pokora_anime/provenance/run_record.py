"""The record that closes a run: what was made, from what, with which weights, code and machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from pokora_anime.errors import RecordError
from pokora_anime.provenance.code_hash import package_hash
from pokora_anime.provenance.environment import machine
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.ledger import Ledger
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_layout import FORMAT


def ancestors(known: Mapping[str, Node], results: Sequence[Node]) -> dict[str, Node]:
    """`results` and all that they were made from, by id.

    Raises RecordError REC-LOST where a node was made from something that this run does not know.
    """
    found: dict[str, Node] = {}
    waiting = [node.id for node in results]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        if current not in known:
            raise RecordError("REC-LOST", f"node {current[:12]} has no part in this run", fix="fresh=true")
        found[current] = known[current]
        waiting.extend(known[current].parents)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """All that a finished run has to tell; its ledger has all its lines."""

    key: str
    summary: Mapping[str, Json]
    nodes: Sequence[Node]
    results: Sequence[Node]
    pictures: Mapping[str, Json]
    weights: Mapping[str, Json]
    files: Mapping[str, str]
    ledger: Ledger

    def to_json(self) -> dict[str, Json]:
        """The record as plain data."""
        return {
            "format": FORMAT,
            "status": "finished",
            "key": self.key,
            "summary": dict(self.summary),
            "nodes": [node.to_json() for node in self.nodes],
            "results": [node.id for node in self.results],
            "pictures": dict(sorted(self.pictures.items())),
            "weights": dict(sorted(self.weights.items())),
            "files": dict(sorted(self.files.items())),
            "ledger": {"lines": len(self.ledger.entries), "head": self.ledger.head},
            "code": {"version": version("pokora_anime"), "sha256": package_hash()},
            "environment": machine(),
        }
