"""The texts that a PNG or an MP4 carries beside its picture, within bounds; the picture is never decoded.

Sources: W3C PNG, third edition, 11.3.3 (tEXt, zTXt, iTXt); ISO/IEC 14496-12 (boxes, udta, meta) and the
lists of tags that ffmpeg's muxer writes: `ilst` of the handlers mdir (iTunes) and mdta (named keys).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pokora_anime.errors import ConfigError
from pokora_anime.untrusted.untrusted_names import shown

MAX_TEXT = 2**20  # bytes of one text, unpacked
MAX_PARTS = 2**16  # chunks of a PNG, boxes of an MP4
MAX_NAMED = 12  # texts that are only named
# The texts that may tell what made a picture: ours, the web UI's, ComfyUI's, and an MP4's comment.
WANTED = ("config", "seed", "keyframe", "parameters", "prompt", "comment")
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_COMMENT = b"\xa9cmt"


@dataclass(slots=True)
class Texts:
    """`read`: the texts of `WANTED` by name; `others`: names of those that were left unread."""

    kind: str
    read: dict[str, str] = field(default_factory=dict[str, str])
    others: list[str] = field(default_factory=list[str])

    def take(self, path: Path, name: str, data: bytes) -> None:
        """Enters one text. Raises ConfigError CFG-TAG for what is none, or stands twice."""
        if name in self.read:
            raise unreadable(path, f"two texts {name!r}")
        text = _decoded(path, name, data)
        if "\0" in text:
            raise unreadable(path, f"its text {name!r} holds a NUL")
        self.read[name] = text

    def leave(self, name: bytes) -> None:
        """Enters the name of a text that is not read."""
        told = shown(name.decode("utf-8", "replace").replace("\xa9", ""), 40)
        if told not in self.others and len(self.others) < MAX_NAMED:
            self.others.append(told)


def unreadable(path: Path, reason: str) -> ConfigError:
    """The error for a file whose texts cannot be used."""
    return ConfigError(
        "CFG-TAG",
        f"{shown(path.name)}: {reason}",
        expected="a PNG or MP4 with its settings as text",
        fix="name the run's folder instead: `pokora list`",
    )


def read(path: Path) -> Texts:
    """The texts of a file. Raises ConfigError CFG-FILE (no such file) and CFG-TAG (none that is read)."""
    if not path.is_file():
        raise ConfigError(
            "CFG-FILE", f"{shown(path)} is no file", expected="a PNG or an MP4", fix="`pokora list`"
        )
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if head.startswith(_PNG):
                return _png(path, file)
            if head[4:8] == b"ftyp":
                return _mp4(path, file)
    except OSError as error:
        raise unreadable(path, f"it cannot be read ({error.strerror})") from error
    except (struct.error, IndexError) as error:
        raise unreadable(path, "it is cut short") from error
    raise unreadable(path, "it is neither a PNG nor an MP4")


def _decoded(path: Path, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise unreadable(path, f"its text {name!r} is not UTF-8") from error


# PNG


def _png(path: Path, file: IO[bytes]) -> Texts:
    found = Texts("PNG")
    for kind, at, size in _chunks(path, file):
        if kind not in _TEXTS:
            continue
        file.seek(at)
        key, nul, _ = file.read(min(size, 80)).partition(b"\0")
        name = key.decode("latin-1")
        if not nul or not key:
            raise unreadable(path, "a text without a name")
        if name not in WANTED:
            found.leave(key)
            continue
        if size > MAX_TEXT:
            raise unreadable(path, f"its text {name!r} has {size} bytes, at most {MAX_TEXT} are read")
        file.seek(at)
        content = file.read(size)
        (crc,) = struct.unpack(">I", file.read(4))
        if crc != zlib.crc32(kind + content):
            raise unreadable(path, f"its text {name!r} is damaged")
        found.take(path, name, _content(path, name, kind, content[len(key) + 1 :]))
    return found


def _chunks(path: Path, file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and size of each chunk up to the end of the picture."""
    at = len(_PNG)
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(8)
        if not head:
            raise unreadable(path, "it is cut short")
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        yield kind, at + 8, size
        at += 12 + size
    raise unreadable(path, f"more than {MAX_PARTS} chunks")


def _content(path: Path, name: str, kind: bytes, rest: bytes) -> bytes:
    """A chunk's text as UTF-8; `rest` is what follows its name."""
    if kind == b"tEXt":
        try:
            rest.decode("utf-8", "strict")
        except UnicodeDecodeError:
            return rest.decode("latin-1").encode()  # as the standard has it
        return rest
    if kind == b"zTXt":
        return _unpacked(path, name, rest[1:]).decode("latin-1").encode()
    packed = rest[0]
    _, _, after = rest[2:].partition(b"\0")
    _, _, text = after.partition(b"\0")
    return _unpacked(path, name, text) if packed else text


def _unpacked(path: Path, name: str, packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, MAX_TEXT + 1)
    except zlib.error as error:
        raise unreadable(path, f"its text {name!r} cannot be unpacked") from error
    if len(data) > MAX_TEXT:
        raise unreadable(path, f"its text {name!r} unpacks to more than {MAX_TEXT} bytes")
    return data


# MP4


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int  # of its content
    stop: int


def _mp4(path: Path, file: IO[bytes]) -> Texts:
    found = Texts("MP4")
    size = file.seek(0, 2)
    for movie in _inside(path, file, 0, size, b"moov"):
        tables = [movie, *_inside(path, file, movie.start, movie.stop, b"udta")]
        for table in tables:
            for meta in _inside(path, file, table.start, table.stop, b"meta"):
                _tags(path, file, meta, found)
    return found


def _tags(path: Path, file: IO[bytes], meta: _Box, found: Texts) -> None:
    """The tags of one list, whose names are kinds of boxes, or numbers of a table of keys."""
    start = meta.start if _at(file, meta.start + 4, 4) == b"hdlr" else meta.start + 4  # QuickTime's is bare
    named: list[bytes] = []
    for table in _inside(path, file, start, meta.stop, b"keys"):
        named = _keys(path, file, table)
    for tags in _inside(path, file, start, meta.stop, b"ilst"):
        for tag in _boxes(path, file, tags.start, tags.stop):
            number = int.from_bytes(tag.kind, "big")
            name = named[number - 1] if 0 < number <= len(named) else tag.kind
            _tag(path, file, tag, b"comment" if name == _COMMENT else name, found)


def _tag(path: Path, file: IO[bytes], tag: _Box, name: bytes, found: Texts) -> None:
    told = name.decode("latin-1")
    if told not in WANTED:
        found.leave(name)
        return
    for data in _inside(path, file, tag.start, tag.stop, b"data"):
        size = data.stop - data.start - 8
        if size > MAX_TEXT:
            raise unreadable(path, f"its text {told!r} has {size} bytes, at most {MAX_TEXT} are read")
        if _at(file, data.start, 4) == struct.pack(">I", 1):  # UTF-8
            found.take(path, told, _at(file, data.start + 8, size))
            return
    found.leave(name)


def _keys(path: Path, file: IO[bytes], table: _Box) -> list[bytes]:
    if table.stop - table.start > MAX_TEXT:
        raise unreadable(path, "an over-long table of names")
    data = _at(file, table.start, table.stop - table.start)
    (count,) = struct.unpack(">I", data[4:8])
    found: list[bytes] = []
    at = 8
    for _ in range(min(count, MAX_NAMED * 8)):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if size < 8 or at + size > len(data):
            raise unreadable(path, "its table of names does not fit")
        found.append(data[at + 8 : at + size])
        at += size
    return found


def _inside(path: Path, file: IO[bytes], start: int, stop: int, kind: bytes) -> list[_Box]:
    return [box for box in _boxes(path, file, start, stop) if box.kind == kind]


def _boxes(path: Path, file: IO[bytes], start: int, stop: int) -> list[_Box]:
    """The boxes in a stretch of the file. Raises ConfigError CFG-TAG where they do not fit."""
    found: list[_Box] = []
    while start + 8 <= stop:
        size, kind = struct.unpack(">I4s", _at(file, start, 8))
        begin = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", _at(file, begin, 8))
            begin += 8
        end = stop if size == 0 else start + size
        if not begin <= end <= stop:
            raise unreadable(path, f"its box {shown(kind.decode('latin-1'), 10)!r} does not fit")
        found.append(_Box(kind, begin, end))
        if len(found) > MAX_PARTS:
            raise unreadable(path, f"more than {MAX_PARTS} boxes")
        start = end
    return found


def _at(file: IO[bytes], place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)
