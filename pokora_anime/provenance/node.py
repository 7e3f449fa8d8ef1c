"""Nodes of the provenance graph: what was done, to what, with which weights and code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Self, cast

from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, text_hash
from pokora_anime.provenance.operations import OPERATIONS, of, parents_fit
from pokora_anime.provenance.record_shape import NODE, misfit

# Operations that need no parent: text and seeds go in.
STARTERS = frozenset(one.name for one in OPERATIONS.values() if one.draws or not one.parents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation. Its id is the hash of its canonical JSON without the output.

    `params` are the semantic settings only (what changes the result); `parents` are ids and `inputs`
    the hashes of what those parents made, so that an id covers all that went in by its content;
    `weights` maps a role to the digest of the files used; `output` is the hash of what came out,
    filled in when it is known. Raises RecordError REC-OPERATION for what no honest operation is.
    """

    op: str
    params: dict[str, Json]
    parents: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    weights: dict[str, str] = field(default_factory=dict[str, str])
    code: str = ""
    environment: dict[str, Json] = field(default_factory=dict[str, Json])
    output: str = ""

    def __post_init__(self) -> None:
        if self.op not in OPERATIONS:
            raise RecordError(
                "REC-OPERATION", f"operation {self.op!r}", expected=f"one of {', '.join(OPERATIONS)}"
            )
        if not self.parents and self.op not in STARTERS:
            raise RecordError(
                "REC-OPERATION",
                f"operation {self.op!r} without a parent",
                expected=f"only {sorted(STARTERS)} may start from text and seeds",
                fix="pass the record that this one was made from",
            )
        if len(self.inputs) != len(self.parents):
            raise RecordError(
                "REC-OPERATION",
                f"operation {self.op!r} with {len(self.parents)} parents and {len(self.inputs)} inputs",
                expected="the output of every parent",
            )

    @classmethod
    def after(
        cls,
        parents: Sequence[Node],
        op: str,
        params: dict[str, Json],
        *,
        weights: dict[str, str] | None = None,
        code: str,
        environment: dict[str, Json],
    ) -> Self:
        """The node of an operation on what these parents made. RecordError REC-OPERATION for wrong ones."""
        if not parents_fit(op, [parent.op for parent in parents]):
            raise RecordError(
                "REC-OPERATION",
                f"operation {op!r} on {[parent.op for parent in parents]}",
                expected=f"parents {list(of(op).parents)}",
            )
        if not all(parent.output for parent in parents):
            raise RecordError("REC-OPERATION", f"operation {op!r} on a parent that has not made anything yet")
        return cls(
            op=op,
            params=params,
            parents=tuple(parent.id for parent in parents),
            inputs=tuple(parent.output for parent in parents),
            weights=weights or {},
            code=code,
            environment=environment,
        )

    @property
    def id(self) -> str:
        """Hash of everything that determines the output."""
        content = self._content()
        del content["output"]
        return text_hash(content)

    def made(self, output: str) -> Node:
        """The node with the hash of what came out of it."""
        return replace(self, output=output)

    def to_json(self) -> dict[str, Json]:
        """The node as it stands in the run's record."""
        return {"id": self.id, **self._content()}

    def _content(self) -> dict[str, Json]:
        return {**asdict(self), "parents": list(self.parents), "inputs": list(self.inputs)}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """A node as `to_json` wrote it. Raises RecordError REC-NODE for any other shape or a wrong id."""
        if reason := misfit(cast(Json, value), NODE, "a node"):
            raise _malformed(reason)
        fields = cast(dict[str, Json], value)
        node = cls(
            op=cast(str, fields["op"]),
            params=cast(dict[str, Json], fields["params"]),
            parents=tuple(cast(list[str], fields["parents"])),
            inputs=tuple(cast(list[str], fields["inputs"])),
            weights=cast(dict[str, str], fields["weights"]),
            code=cast(str, fields["code"]),
            environment=cast(dict[str, Json], fields["environment"]),
            output=cast(str, fields["output"]),
        )
        if node.id != fields["id"]:
            raise _malformed(f"node {str(fields['id'])[:12]} ({node.op}) is not what its id says")
        return node


def _malformed(got: str) -> RecordError:
    return RecordError("REC-NODE", got, expected="a node as pokora_anime writes it")
