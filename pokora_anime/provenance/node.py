"""Nodes of the provenance graph: what was done, to what, with which weights and code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, text_hash

# Operations that may make a visual record without a visual parent: text and seeds go in.
GENERATORS = frozenset({"prompt", "keyframe", "motion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation. Its id is the hash of its canonical JSON without the output.

    `params` are the semantic settings only (what changes the result); `weights` maps a role to the
    sha256 of the files used; `output` is the hash of what came out, filled in when it is known.
    """

    op: str
    params: dict[str, Json]
    parents: tuple[str, ...] = ()
    weights: dict[str, str] = field(default_factory=dict)
    code: str = ""
    environment: dict[str, Json] = field(default_factory=dict)
    output: str = ""

    def __post_init__(self) -> None:
        if not self.parents and self.op not in GENERATORS:
            raise RecordError(
                "REC-1",
                f"operation {self.op!r} without a parent",
                expected=f"only {sorted(GENERATORS)} may start from text and seeds",
                fix="pass the record that this one was made from",
            )

    @property
    def id(self) -> str:
        """Hash of everything that determines the output."""
        content = asdict(self)
        del content["output"]
        content["parents"] = list(self.parents)
        return text_hash(content)

    def to_json(self) -> dict[str, Json]:
        """The node as it stands in the run's record."""
        return {"id": self.id, **asdict(self), "parents": list(self.parents)}
