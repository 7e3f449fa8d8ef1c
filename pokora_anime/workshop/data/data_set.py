"""A data set: pictures with captions, licences and sources, named by the hash of all of it. Torch-free."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import cast

from pokora_anime.errors import DataError
from pokora_anime.provenance.hashing import Json, Table, text_hash
from pokora_anime.untrusted.untrusted_names import problem

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
VERSION = 12  # hex digits
FORMAT = 1
FRAME_DIGITS = 4  # behind a clip's name
_TOLD = 3  # sources that the statement names
_FRAME = re.compile(rf".+-\d{{{FRAME_DIGITS}}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Entry:
    """One picture: `name` without its ending, `pixels` the hash of what is kept of it, `original` the sha256
    of the file that was given; sizes in pixels."""

    name: str
    pixels: str
    width: int
    height: int
    caption: str
    licence: str
    source: str
    author: str
    original: str
    original_name: str

    @property
    def file(self) -> str:
        """Its name in the version's folder."""
        return f"pictures/{self.name}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """All pictures, by name. With `clips` they are frames: `NAME-0001` and those after it are one clip.
    `tagger` says what wrote the captions that were missing."""

    id: str
    entries: tuple[Entry, ...]
    clips: bool = False
    tagger: str = ""

    @property
    def version(self) -> str:
        """The hash of everything that a training sees of it and of where it came from."""
        return text_hash(self.to_plain())[:VERSION]

    @property
    def name(self) -> str:
        """Id and version: mychar@0123456789ab."""
        return f"{self.id}@{self.version}"

    @property
    def licences(self) -> list[str]:
        """Each licence once, the most frequent first."""
        return [name for name, _ in Counter(one.licence for one in self.entries).most_common()]

    @property
    def sources(self) -> list[str]:
        """Each source once, the most frequent first."""
        return [name for name, _ in Counter(one.source for one in self.entries).most_common()]

    @property
    def statement(self) -> str:
        """What a registered LoRA says of its training data."""
        kinds, origins = " and ".join(self.licences), "; ".join(self.sources[:_TOLD])
        if len(self.sources) > _TOLD:
            origins += f"; and {len(self.sources) - _TOLD} other sources"
        return f"{self.amount} under {kinds}, {origins} (data set {self.name})"

    @property
    def amount(self) -> str:
        """How much there is, in words."""
        count = len(self.entries)
        return f"{len(self.by_clip())} clips of {count} frames" if self.clips else f"{count} pictures"

    def by_clip(self) -> dict[str, list[Entry]]:
        """The frames of each clip in their order, by its name."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.name[: -FRAME_DIGITS - 1], []).append(entry)
        return found

    def to_plain(self) -> Table:
        """As it is stored."""
        rows: list[Json] = [cast(Table, asdict(entry)) for entry in self.entries]
        return {"format": FORMAT, "id": self.id, **self.more(), "pictures": rows}

    def more(self) -> Table:
        """What only some data sets have."""
        clips: Table = {"clips": True} if self.clips else {}
        return {**clips, "tagger": self.tagger} if self.tagger else clips


def frame_name(clip: str, number: int) -> str:
    """The name of a clip's frame."""
    return f"{clip}-{number:0{FRAME_DIGITS}d}"


def parse(value: Json, what: str) -> DataSet:
    """What `to_plain` gave. Raises DataError DAT-DAMAGED."""
    names, made = {field.name for field in fields(Entry)}, cast(Callable[..., Entry], Entry)
    try:
        table = cast(Table, value)
        entries = tuple(made(**row) for row in cast(list[dict[str, object]], table["pictures"]))
        clips, tagger = table.get("clips", False) is True, table.get("tagger", "")
        if not isinstance(tagger, str):
            raise TypeError("tagger")
        found = DataSet(id=str(table["id"]), entries=entries, clips=clips, tagger=tagger)
        for entry in entries:
            row = asdict(entry)
            texts = [row[name] for name in names - {"width", "height"}]
            sound = all(isinstance(text, str) for text in texts) and _SHA256.fullmatch(entry.pixels)
            if not sound or problem(f"{entry.name}.png") or "/" in entry.name or entry.width < 1:
                raise ValueError(entry.name)
        if clips and not all(_FRAME.fullmatch(entry.name) for entry in entries):
            raise ValueError(found.id)
        if table["format"] != FORMAT or not ID.fullmatch(found.id) or not entries:
            raise ValueError(found.id)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "DAT-DAMAGED",
            f"{what} is no data set",
            expected="what `pokora data add` writes",
            fix="add the pictures again",
        ) from error
    return found
