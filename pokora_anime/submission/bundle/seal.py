"""The signature over a bundle: an in-toto statement about its manifest and the signed copies."""

from __future__ import annotations

from collections.abc import Mapping

from pokora_anime.provenance.hashing import Json, canonical_json
from pokora_anime.signing import signing_key, statement
from pokora_anime.submission import file_names

PREDICATE_TYPE = "urn:pokora_anime:submission:v1"


def build(digests: Mapping[str, str], draft: bool) -> bytes:
    """The payload: sha256 of the manifest, the checksums and each file below credentials/."""
    subjects: list[Json] = [
        {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())
    ]
    predicate: dict[str, Json] = {"kind": file_names.KIND, "format": file_names.FORMAT, "draft": draft}
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
    return statement.seal(build(digests, draft), signing_key.load_or_make())


def signed(name: str) -> bool:
    """Whether the statement itself names this file; the others are named by the manifest."""
    return name in (file_names.MANIFEST, file_names.SUMS) or file_names.credential(name)
