"""One row of the registry of weights, and how it is read from YAML. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import cast

from pokora_anime.catalogue.licences import LICENCES, Licence
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Family

# Formats that can run code when they are read: never loaded, only converted once.
PICKLES = frozenset({".pth", ".pt", ".bin", ".ckpt", ".pkl"})
WEIGHTS = PICKLES | {".safetensors", ".onnx"}
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class Kind(Enum):
    """What a row is loaded as."""

    base = "base"
    tokenizer = "tokenizer"
    vae = "vae"
    motion = "motion"
    motion_lora = "motion_lora"
    speed_lora = "speed_lora"
    style_lora = "style_lora"
    controlnet = "controlnet"
    ip_adapter = "ip_adapter"
    image_encoder = "image_encoder"
    extractor = "extractor"
    choreographer = "choreographer"
    interpolator = "interpolator"
    enlarger = "enlarger"
    upscaler = "upscaler"
    scorer = "scorer"


class Status(Enum):
    """Whether a person has cleared a row; `blocked` rows are never fetched nor loaded."""

    allowed = "allowed"
    review = "review"
    blocked = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A second hub id that gives out the same bytes, at a commit of its own."""

    repo: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One checkpoint.

    `repo` is a hub id, https://... for a plain download folder, package:<folder> for what ships with the
    package, own:<id> for a user's LoRA or base; own: alone is a slot for a user's LoRA. `published` are the
    names or patterns of its files there, `files` those that a run loads: a pickle (.pth) is
    published, its conversion (.safetensors) is loaded. `sha256` and `sizes` (bytes) are by published name,
    relative to `folder`.
    """

    id: str
    kind: Kind
    role: str
    families: tuple[Family, ...]
    repo: str
    published: tuple[str, ...]
    files: tuple[str, ...]
    licence: str
    citation: tuple[str, ...]
    status: Status
    reason: str = ""
    folder: str = ""
    revision: str | None = None
    variant: str | None = None
    adapter: str = ""  # of a motion LoRA: the motion adapter that it was trained for
    sha256: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    mirrors: tuple[Mirror, ...] = ()
    aliases: tuple[str, ...] = ()
    title: str = ""
    author: str = ""
    data_statement: str = ""
    data_set: str = ""  # of a LoRA trained here: id@version; the data card lies beside the file
    origin: str = ""  # of a base of others: the file that it was converted from, and its sha256
    page: str = ""
    version_of: str = ""  # of a version of an own LoRA: the id whose training made it

    @property
    def packaged(self) -> bool:
        """Whether the weights ship inside the package."""
        return self.repo.startswith("package:")

    @property
    def own(self) -> bool:
        """Whether a user has registered the weights on this machine."""
        return self.repo.startswith("own:")

    @property
    def slot(self) -> bool:
        """Whether it only keeps a place for a user's LoRA."""
        return self.repo == "own:"

    @property
    def plain(self) -> bool:
        """Whether the files lie on an ordinary web server, which announces no hashes."""
        return self.repo.startswith("https://")

    @property
    def converted(self) -> bool:
        """Whether runs load a conversion of what is published."""
        return self.files != self.published

    @property
    def unpinned(self) -> bool:
        """Whether neither a commit nor hashes say which version of the files is meant."""
        if self.packaged or (self.revision and COMMIT.fullmatch(self.revision)):
            return False
        weights = [name for name in self.published if PurePosixPath(name).suffix in WEIGHTS]
        return not weights or any(name not in self.sha256 for name in weights)

    @property
    def terms(self) -> Licence:
        """The licence that the id stands for."""
        return LICENCES[self.licence]

    @property
    def link(self) -> str:
        """Where a reader finds the checkpoint."""
        if self.packaged or self.own or self.page:
            return self.page or self.repo
        return self.repo if self.plain else f"https://huggingface.co/{self.repo}"

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that this row answers to."""
        return (self.id, self.role, self.repo, *self.aliases)

    @property
    def size(self) -> int | None:
        """Bytes of all published files, None where one is not known."""
        known = [self.sizes.get(name) for name in self.published]
        return None if None in known else sum(size for size in known if size is not None)


def parse(entry: Mapping[str, Json]) -> Row:
    """A row from its YAML mapping; `files` is a list of names, or maps each name to size and sha256.

    Raises KeyError, TypeError or ValueError for what is no row.
    """
    fields = dict(entry)
    listed = fields.pop("files")
    details: Mapping[str, Json] = (
        listed if isinstance(listed, dict) else dict.fromkeys(cast(Iterable[str], listed))
    )
    known = {name: cast(dict[str, str], detail) for name, detail in details.items() if detail}
    citation = fields.pop("citation")
    several = {name: cast(Iterable[str], fields.get(name, ())) for name in ("families", "aliases")}
    mirrors = cast(Iterable[dict[str, str]], fields.get("mirrors", ()))
    values: dict[str, object] = {
        **fields,
        "kind": Kind(fields["kind"]),
        "status": Status(fields["status"]),
        "families": tuple(Family(name) for name in several["families"]),
        "citation": (citation,) if isinstance(citation, str) else tuple(cast(Iterable[str], citation)),
        "aliases": tuple(several["aliases"]),
        "mirrors": tuple(Mirror(**mirror) for mirror in mirrors),
        "published": tuple(details),
        "files": tuple(loaded_name(name) for name in details),
        "sha256": {name: str(detail["sha256"]) for name, detail in known.items() if "sha256" in detail},
        "sizes": {name: int(detail["size"]) for name, detail in known.items() if "size" in detail},
    }
    row = cast(Callable[..., Row], Row)(**values)
    if row.licence not in LICENCES:
        raise ValueError(f"{row.id}: licence {row.licence!r} is not in licences.py")
    if not all(SHA256.fullmatch(digest) for digest in row.sha256.values()):
        raise ValueError(f"{row.id}: a sha256 is 64 hex digits")
    if row.plain and set(row.sha256) != set(row.published):
        raise ValueError(f"{row.id}: a plain download needs the sha256 of every file")
    return row


def matches(name: str, pattern: str) -> bool:
    """Whether a path in a repository is one that a pattern names; * stays within a folder."""
    parts, patterns = name.split("/"), pattern.split("/")
    same = len(parts) == len(patterns) and ".." not in parts and "\\" not in name
    return same and all(fnmatchcase(part, one) for part, one in zip(parts, patterns, strict=True))


def loaded_name(published: str) -> str:
    """The name under which a run loads a published file: a pickle's conversion, else the file itself."""
    path = PurePosixPath(published)
    return str(path.with_suffix(".safetensors")) if path.suffix in PICKLES else published
