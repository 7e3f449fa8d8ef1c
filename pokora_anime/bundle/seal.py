"""The signature over a bundle: an in-toto statement about its manifest and the signed copies."""

from __future__ import annotations

from collections.abc import Mapping

from pokora_anime.bundle import names
from pokora_anime.provenance import keys, statement
from pokora_anime.provenance.hashing import Json, canonical_json

PREDICATE_TYPE = "urn:pokora_anime:submission:v1"


def build(digests: Mapping[str, str], draft: bool) -> bytes:
    """The payload: sha256 of the manifest, the checksums and each file below credentials/."""
    subjects: list[Json] = [
        {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())
    ]
    predicate: dict[str, Json] = {"kind": names.KIND, "format": names.FORMAT, "draft": draft}
    return canonical_json(
        {
            "_type": statement.STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
    ).encode()


def sign(digests: Mapping[str, str], draft: bool) -> bytes:
    """The statement's file, signed with the user's key. Raises MachineError SYS-KEY."""
    return statement.seal(build(digests, draft), keys.load_or_make())


def signed(name: str) -> bool:
    """Whether the statement itself names this file; the others are named by the manifest."""
    return name in (names.MANIFEST, names.SUMS) or names.credential(name)
