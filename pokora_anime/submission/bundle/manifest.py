"""bundle.json: what a bundle is and the hash of each of its files; and the checksums beside it.

Whatever the team says freely is in `title`, `members` and `words`, so that what shows it can be made again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.provenance.hashing import Json, Table, strict_json
from pokora_anime.submission import file_names, project

WORDS = ("tagline", "artistic_statement", "technical_notes")
_SOURCE: Mapping[str, type] = {"commit": str, "changed": list, "package_sha256": str}
_DOCUMENTS: Mapping[str, type] = {"poster_jpeg_quality": int, "made_with": dict}
_COMMIT, _HASH = re.compile(r"[0-9a-f]{40}|unknown"), re.compile(r"[0-9a-f]{64}|")
_FIELDS: Mapping[str, type] = {
    "format": int,
    "kind": str,
    "draft": bool,
    "contest": str,
    "title": str,
    "members": list,
    "words": dict,
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
    def members(self) -> list[dict[str, str]]:
        """Name and ID of each."""
        return cast(list[dict[str, str]], self.content["members"])

    @property
    def words(self) -> dict[str, str]:
        """The project's free texts by WORDS."""
        return cast(dict[str, str], self.content["words"])

    @property
    def documents(self) -> Table:
        """The poster's JPEG quality, and the versions of the libraries that draw and set."""
        return cast(Table, self.content["documents"])

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
        value = strict_json(data, file_names.MANIFEST)
    except RecordError as error:
        raise _refused(error.got) from error
    if isinstance(value, dict) and (value.get("format"), value.get("kind")) == (1, file_names.KIND):
        raise _refused("format 1, of an earlier release, whose pages and texts nobody can make again")
    if not isinstance(value, dict) or set(value) != set(_FIELDS):
        raise _refused("its fields are not those of a bundle")
    if wrong := [name for name, kind in _FIELDS.items() if type(value[name]) is not kind]:
        raise _refused(f"a wrong type of {', '.join(wrong)}")
    if (value["format"], value["kind"]) != (file_names.FORMAT, file_names.KIND):
        raise _refused(f"format {value['format']} of {str(value['kind'])[:40]}")
    if reason := _misfit(value):
        raise _refused(reason)
    texts = [*cast(list[Json], value["runs"])]
    texts += [*cast(Table, value["entry"]).values(), *cast(Table, value["files"]).values()]
    if not all(isinstance(text, str) for text in texts):
        raise _refused("names or hashes that are no text")
    if to_bytes(value) != data:
        raise _refused("it is not written as pokora writes it")
    return Manifest(content=value)


def _misfit(value: Table) -> str:
    """What is wrong inside the fields; "" where every text is one that `submission/project.yaml` may hold."""
    for name, inside in (("source", _SOURCE), ("documents", _DOCUMENTS)):
        told = cast(Table, value[name])
        if {key: type(one) for key, one in told.items()} != inside:
            return f"{name} holds something else than {', '.join(inside)}"
    source, made = cast(Table, value["source"]), cast(Table, value["documents"])["made_with"]
    if not _COMMIT.fullmatch(str(source["commit"])) or not _HASH.fullmatch(str(source["package_sha256"])):
        return "source: no commit or no hash"
    listed = [*cast(list[Json], source["changed"]), *cast(Table, made), *cast(Table, made).values()]
    if not all(isinstance(text, str) and len(text) <= 240 and text.isprintable() for text in listed):
        return "source or documents: texts that are no names"
    words = cast(Table, value["words"])
    if tuple(words) != WORDS:
        return f"words are not {', '.join(WORDS)}"
    told = {"title": value["title"], "contest": value["contest"], "members": value["members"], **words}
    try:
        read = project.parse(told)
    except ConfigError as error:
        return error.got
    members: list[Json] = [{"name": one.name, "id": one.id} for one in read.members]
    same = {"title": read.title, "contest": read.contest, "members": members}
    same |= {name: str(getattr(read, name)) for name in WORDS}
    return "" if same == told else "texts that are not as `pokora submission` reads them"


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 by name, sorted."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def sums(digests: Mapping[str, str]) -> bytes:
    """As `sha256sum` writes and checks them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def _refused(reason: str) -> RecordError:
    return RecordError(
        "BND-MANIFEST",
        f"{file_names.MANIFEST}: {reason}",
        expected=f"a bundle of format {file_names.FORMAT}, as `pokora submission build` writes it",
        fix="build it again from its runs",
    )
