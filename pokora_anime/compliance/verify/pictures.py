"""PNG files of a run, decoded within bounds."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image as Pictures
from PIL import PngImagePlugin

from pokora_anime.records import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class BadPicture(ValueError):
    """A file that is no RGB PNG, or is cut, or is too large."""


def decode_png(data: bytes, most: int) -> Image:
    """The picture uint8 [height, width, 3] of at most `most` pixels. Raises BadPicture."""
    if not data.startswith(_SIGNATURE):
        raise BadPicture("no PNG file")
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if width * height > most:
        raise BadPicture(f"{width}x{height} pixels, at most {most} are decoded")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
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
