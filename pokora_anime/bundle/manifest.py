"""bundle.json: what a bundle is and the hash of each of its files; and the checksums beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pokora_anime.bundle import names
from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, strict_json

Table = dict[str, Json]
_FIELDS: Mapping[str, type] = {
    "format": int,
    "kind": str,
    "draft": bool,
    "contest": str,
    "title": str,
    "members": list,
    "runs": list,
    "entry": dict,
    "source": dict,
    "documents": dict,
    "files": dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """bundle.json, its shape checked and nothing in it believed.

    `runs` are folders below the bundle's top; `entry` names the run's file that each delivered one is.
    """

    content: Table

    @property
    def draft(self) -> bool:
        """Whether it may not be handed in."""
        return bool(self.content["draft"])

    @property
    def contest(self) -> str:
        """Whose limits it was made for."""
        return cast(str, self.content["contest"])

    @property
    def title(self) -> str:
        """The project's."""
        return cast(str, self.content["title"])

    @property
    def runs(self) -> list[str]:
        """The runs' folders."""
        return cast(list[str], self.content["runs"])

    @property
    def entry(self) -> dict[str, str]:
        """For each video and still of the entry the run's file that it is."""
        return cast(dict[str, str], self.content["entry"])

    @property
    def source(self) -> Table:
        """Commit, uncommitted changes and the package's hash."""
        return cast(Table, self.content["source"])

    @property
    def files(self) -> dict[str, str]:
        """sha256 of each sealed file."""
        return cast(dict[str, str], self.content["files"])


def to_bytes(content: Table) -> bytes:
    """The bytes of a manifest with this content."""
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def parse(data: bytes) -> Manifest:
    """A manifest from its bytes. Raises RecordError BND-MANIFEST for any other file."""
    try:
        value = strict_json(data, names.MANIFEST)
    except RecordError as error:
        raise _refused(error.got) from error
    if not isinstance(value, dict) or set(value) != set(_FIELDS):
        raise _refused("its fields are not those of a bundle")
    if wrong := [name for name, kind in _FIELDS.items() if type(value[name]) is not kind]:
        raise _refused(f"a wrong type of {', '.join(wrong)}")
    if (value["format"], value["kind"]) != (names.FORMAT, names.KIND):
        raise _refused(f"format {value['format']} of {str(value['kind'])[:40]}")
    texts = [*cast(list[Json], value["runs"])]
    texts += [*cast(Table, value["entry"]).values(), *cast(Table, value["files"]).values()]
    if not all(isinstance(text, str) for text in texts):
        raise _refused("names or hashes that are no text")
    if to_bytes(value) != data:
        raise _refused("it is not written as pokora writes it")
    return Manifest(content=value)


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 by name, sorted."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def sums(digests: Mapping[str, str]) -> bytes:
    """As `sha256sum` writes and checks them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def _refused(reason: str) -> RecordError:
    return RecordError(
        "BND-MANIFEST",
        f"{names.MANIFEST}: {reason}",
        expected=f"a bundle of format {names.FORMAT}, as `pokora submission build` writes it",
    )
