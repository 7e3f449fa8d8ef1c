"""What Content Credentials add to a file, taken out without the library that put it in.

A PNG carries them in one chunk `caBX`, an MP4 in one `uuid` box before the movie, whose chunk offsets move
by its length (C2PA 2.1, "Embedding manifests"); inside is JUMBF (ISO/IEC 19566-5), boxes in boxes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
MP4_ID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
MP4_HEAD = MP4_ID + bytes(4) + b"manifest\0" + bytes(8)
MOST = 2**14  # bytes of credentials: text, numbers, certificates
_HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
# Labels of the boxes that our own builder makes; the manifest's own begins as below. None holds a picture.
LABELS = frozenset(
    (
        "c2pa", "c2pa.assertions", "c2pa.actions.v2", "c2pa.ingredient.v3", "org.pokora-anime.run",
        "c2pa.hash.data", "c2pa.hash.bmff.v2", "c2pa.hash.bmff.v3", "c2pa.claim.v2", "c2pa.signature",
    )
)  # fmt: skip
MANIFEST = "urn:c2pa:"
_CONTENT = (b"cbor",)
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"WEBP", b"<svg", b"image/j")


def without_png(data: bytes) -> tuple[bytes, bytes]:
    """A signed PNG as it was before, and its credentials. Raises ValueError for none, or more than one."""
    if not data.startswith(PNG):
        raise ValueError("no PNG")
    kept, stores, place = [PNG], list[bytes](), len(PNG)
    while place < len(data):
        if place + 12 > len(data):
            raise ValueError("a chunk that does not fit")
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 12 + length
        if end > len(data):
            raise ValueError("a chunk that does not fit")
        if data[place + 4 : place + 8] == b"caBX":
            content = data[place + 8 : end - 4]
            if zlib.crc32(b"caBX" + content).to_bytes(4, "big") != data[end - 4 : end]:
                raise ValueError("a chunk with another checksum")
            stores.append(content)
        else:
            kept.append(data[place:end])
        place = end
    return b"".join(kept), _one(stores)


def without_mp4(data: bytes) -> tuple[bytes, bytes]:
    """A signed MP4 as it was before, and its credentials. Raises ValueError for none, or more than one."""
    kept, stores, added = list[bytes](), list[bytes](), 0
    for kind, start, begin, end in _boxes(data, 0, len(data)):
        content = data[begin:end]
        if kind == b"uuid" and content.startswith(MP4_HEAD):
            stores.append(content[len(MP4_HEAD) :])
            added += end - start
        else:
            kept.append(data[start:end])
    store = _one(stores)
    return b"".join(_moved(box, added) if box[4:8] == b"moov" else box for box in kept), store


def misfit(store: bytes) -> str:
    """Why a store of credentials holds more than our builder puts in; "" where it does not."""
    if len(store) > MOST:
        return f"{len(store)} bytes"
    if any(sign in store for sign in _PICTURES):
        return "a picture"
    try:
        return _odd(store, 0, len(store), 0)
    except ValueError as error:
        return str(error)


def _odd(data: bytes, start: int, end: int, depth: int) -> str:
    """The first box that is not ours: each is a `jumb` that begins with its label."""
    for kind, _, begin, stop in _boxes(data, start, end):
        if kind != b"jumb" or depth > 4:
            return f"a box {kind.decode('latin-1')!r}"
        inside = list(_boxes(data, begin, stop))
        if not inside or inside[0][0] != b"jumd":
            return "a box without a label"
        told = data[inside[0][2] + 17 : inside[0][3]]
        label = told.partition(b"\0")[0].decode("latin-1")
        if not (label in LABELS or (label.startswith(MANIFEST) and len(label) < 80)):
            return f"a box {label!r}"
        nested = [box for box in inside[1:] if box[0] == b"jumb"]
        kinds = {box[0] for box in inside[1:]}
        if not kinds <= {b"jumb", *_CONTENT} or (nested and kinds != {b"jumb"}):
            return f"{label}: something else than text and numbers"
        for _, place, _, last in nested:
            if reason := _odd(data, place, last, depth + 1):
                return reason
    return ""


def _one(stores: list[bytes]) -> bytes:
    if len(stores) != 1:
        raise ValueError(f"{len(stores)} Content Credentials, expected one")
    return stores[0]


def _moved(movie: bytes, added: int) -> bytes:
    """The movie box with its chunk offsets `added` bytes further to the front."""
    changed = bytearray(movie)

    def walk(start: int, end: int) -> None:
        for kind, _, begin, stop in _boxes(movie, start, end):
            if kind in _HOLDERS:
                walk(begin, stop)
            elif kind in (b"stco", b"co64"):
                width = 4 if kind == b"stco" else 8
                (count,) = struct.unpack(">I", movie[begin + 4 : begin + 8])
                if begin + 8 + count * width != stop:
                    raise ValueError("a table of chunks that does not fit")
                for place in range(begin + 8, stop, width):
                    moved = int.from_bytes(movie[place : place + width], "big") - added
                    if moved < 0:
                        raise ValueError("a chunk before the file's start")
                    changed[place : place + width] = moved.to_bytes(width, "big")

    walk(0, len(movie))
    return bytes(changed)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Kind, start, start of content and end of each box in a stretch. Raises ValueError."""
    while start < end:
        if end - start < 8:
            raise ValueError("boxes that do not fit")
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        begin = start + 8
        if size == 1 and end - start >= 16:
            size, begin = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        if size < begin - start or start + size > end:
            raise ValueError("boxes that do not fit")
        yield kind, start, begin, start + size
        start += size
