"""A run's record as a stranger claims it to be: its shape is checked, nothing in it is believed yet.

`provenance.run_reading` ends at the first thing that does not hold, as whoever works with finished runs
wants it. Verification names everything that does not hold, so here a node may be of an unknown operation,
without its parents or under a false id; the shape is told once for both, in `provenance.record_shape`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, Table, text_hash
from pokora_anime.provenance.record_shape import NODE, RECORD, misfit, summary_misfit
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import brief, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node as the record tells it; unlike `provenance.node.Node` it may be impossible."""

    id: str
    op: str
    params: Table
    parents: tuple[str, ...]
    inputs: tuple[str, ...]
    weights: dict[str, str]
    output: str
    code: str
    environment: Table
    raw: Table

    @property
    def true_id(self) -> str:
        """The id that the content has."""
        return text_hash({name: value for name, value in self.raw.items() if name not in ("id", "output")})

    @property
    def name(self) -> str:
        """How a finding names the node."""
        return f"{shown(self.op, 20)} {brief(self.id)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """record.json; `data` is the file's bytes, `steps` the nodes in their order."""

    data: bytes
    content: Table
    steps: tuple[Step, ...]
    files: dict[str, str]

    @property
    def summary(self) -> Table:
        """Command, config, guard and what was delivered."""
        return cast(Table, self.content["summary"])

    @property
    def command(self) -> str:
        """video or stills."""
        return str(self.summary["command"])

    @property
    def config(self) -> Table:
        """The resolved config as plain data."""
        return cast(Table, self.summary["config"])

    @property
    def guard(self) -> Json:
        """What the guard says of itself; None where there was none."""
        return self.summary["guard"]

    @property
    def results(self) -> list[str]:
        """Ids of the nodes that made what is delivered."""
        return cast(list[str], self.content["results"])

    @property
    def weights(self) -> dict[str, Table]:
        """Row and files of the registry, by digest."""
        return cast(dict[str, Table], self.content["weights"])

    @property
    def pictures(self) -> dict[str, dict[str, str]]:
        """Node and array that each PNG shows."""
        return cast(dict[str, dict[str, str]], self.content["pictures"])

    @property
    def by_id(self) -> dict[str, Step]:
        """The nodes by their claimed id."""
        return {step.id: step for step in self.steps}

    @property
    def canonical(self) -> bytes:
        """The bytes that a record with this content has."""
        return json.dumps(self.content, indent=1, ensure_ascii=False).encode()


def read_record(folder: Folder, limits: Limits) -> Record:
    """The record of the run. Raises Unreadable SRC-RECORD, REC-JSON's codes JSN-*, or SRC-FORMAT."""
    if run_layout.RECORD not in folder.sizes:
        raise Unreadable(
            "SRC-RECORD",
            f"no {run_layout.RECORD}",
            expected="the folder of a finished run, or a bundle of it",
            fix="pokora verify outputs/video/NAME",
        )
    data = folder.read(run_layout.RECORD, limits.json_bytes)
    try:
        value = strict_json.parse(data, limits)
    except strict_json.BadJson as error:
        raise Unreadable(
            error.code, f"{run_layout.RECORD}: {error.reason}", expected="strict JSON"
        ) from error
    if not isinstance(value, dict) or value.get("format") != run_layout.FORMAT:
        got = shown(value.get("format") if isinstance(value, dict) else value, 40)
        raise Unreadable(
            "SRC-FORMAT",
            f"a record of format {got}",
            expected=f"format {run_layout.FORMAT}",
            fix="render again with this version, or verify with the version that rendered it",
        )
    reason = misfit(value, {**RECORD, "nodes": [NODE]}, "record") or summary_misfit(value["summary"])
    if not reason and len(cast(list[Json], value["nodes"])) > limits.nodes:
        reason = f"more than {limits.nodes} nodes"
    if reason:
        raise Unreadable(
            "SRC-FORMAT", f"{run_layout.RECORD}: {reason}", expected="a record as pokora writes it"
        )
    return Record(
        data=data,
        content=value,
        steps=tuple(_step(node) for node in cast(list[Table], value["nodes"])),
        files=cast(dict[str, str], value["files"]),
    )


def step_of(node: Json) -> Step | None:
    """A node of the ledger; None for what has not the shape of one."""
    return _step(cast(Table, node)) if not misfit(node, NODE) else None


def _step(node: Table) -> Step:
    return Step(
        id=cast(str, node["id"]),
        op=cast(str, node["op"]),
        params=cast(Table, node["params"]),
        parents=tuple(cast(list[str], node["parents"])),
        inputs=tuple(cast(list[str], node["inputs"])),
        weights=cast(dict[str, str], node["weights"]),
        output=cast(str, node["output"]),
        code=cast(str, node["code"]),
        environment=cast(Table, node["environment"]),
        raw=node,
    )
