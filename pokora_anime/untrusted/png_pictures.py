"""PNG files of a run, decoded within bounds."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from PIL import PngImagePlugin

Image = npt.NDArray[np.uint8]  # RGB [height, width, 3]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class BadPicture(ValueError):
    """A file that is no RGB PNG, or is cut, or is too large."""


def closed_png_problem(data: bytes, texts: Mapping[str, str] | None = None) -> str:
    """What of a PNG is not as this project writes it; "" for one RGB picture and nothing else.

    The header, `texts` in their order, the picture's data and the end, each in its place and whole: no
    animation, gamma, palette, transparency, orientation, pixel aspect, other text or private chunk, no byte
    behind the end, and no byte in the compressed data that is no pixel (W3C PNG, third edition, 5.3, 11.2).
    """
    try:
        chunks = list(_chunks(data))
    except (struct.error, BadPicture) as error:
        return f"its chunks do not fit ({error})"
    wanted = [(b"iTXt", _text(key, value)) for key, value in (texts or {}).items()]
    if chunks[1 : 1 + len(wanted)] != wanted:
        return "its texts are not those that the run's config gives (releases before 0.3 wrote fewer)"
    del chunks[1 : 1 + len(wanted)]
    kinds = [kind for kind, _ in chunks]
    if kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or set(kinds[1:-1]) != {b"IDAT"}:
        odd = [kind.decode("latin-1") for kind in kinds if kind not in (b"IHDR", b"IDAT", b"IEND")]
        return (
            f"it holds chunks that no picture of a run has ({', '.join(map(repr, odd[:4])) or 'misplaced'})"
        )
    header, end = chunks[0][1], chunks[-1][1]
    if len(header) != 13 or header[8:] != b"\x08\x02\0\0\0" or end:
        return "it is no plain picture of 8 bits a channel, RGB"
    width, height = struct.unpack(">II", header[:8])
    return _pixels_problem(b"".join(content for kind, content in chunks if kind == b"IDAT"), width, height)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk up to the last byte. Raises BadPicture or struct.error."""
    at = len(_SIGNATURE)
    if not data.startswith(_SIGNATURE):
        raise BadPicture("no PNG file")
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        if crc != zlib.crc32(kind + content):
            raise BadPicture(f"chunk {kind!r} is damaged")
        yield kind, content
        at += 12 + length


def _text(key: str, value: str) -> bytes:
    """The content of an uncompressed iTXt chunk without language and translated key."""
    return key.encode("latin-1", "replace") + b"\0\0\0\0\0" + value.encode()


def _pixels_problem(packed: bytes, width: int, height: int) -> str:
    """What is wrong with the compressed data of an RGB picture; rows of a filter byte and three a pixel."""
    wanted = height * (1 + 3 * width)
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(packed, wanted + 1)
    except zlib.error as error:
        return f"its data cannot be unpacked ({error})"
    if len(pixels) != wanted or not unpacker.eof or unpacker.unused_data:
        return "its data are not its pixels alone"
    return "" if max(pixels[:: 1 + 3 * width], default=0) <= 4 else "its rows have unknown filters"


def decode_png(data: bytes, most: int) -> Image:
    """The picture uint8 [height, width, 3] of at most `most` pixels. Raises BadPicture."""
    if not data.startswith(_SIGNATURE):
        raise BadPicture("no PNG file")
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if width * height > most:
        raise BadPicture(f"{width}x{height} pixels, at most {most} are decoded")
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
            if picture.mode != "RGB" or getattr(picture, "n_frames", 1) != 1:
                raise BadPicture(f"mode {picture.mode}, not one RGB picture")
            return np.asarray(picture, np.uint8)
    except (OSError, SyntaxError, ValueError, Warning, OverflowError, MemoryError) as error:
        raise BadPicture(f"{type(error).__name__}: {error}") from error


def encode_jpeg(picture: Image, quality: int = 82) -> bytes:
    """The picture as a JPEG."""
    buffer = io.BytesIO()
    Pictures.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
