"""PNG files of a run, decoded within bounds."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
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


def halved(frame: Image) -> Image:
    """Means of 2x2 pixels."""
    height, width = (side // 2 for side in frame.shape[:2])
    blocks = frame[: height * 2, : width * 2].reshape(height, 2, width, 2, 3)
    return np.rint(blocks.mean((1, 3), dtype=np.float32)).astype(np.uint8)


def half_of_yuv(frame: bytes, width: int, height: int) -> Image:
    """A yuv420p frame (BT.709, limited range, as `encode` tags it) as RGB of half its size."""
    planes = np.frombuffer(frame, np.uint8)
    rows, columns = height // 2, width // 2
    luma = planes[: width * height].reshape(height, width)[: rows * 2, : columns * 2]
    y = (luma.reshape(rows, 2, columns, 2).mean((1, 3), dtype=np.float32) - 16) * np.float32(255 / 219)
    chroma: npt.NDArray[np.uint8] = planes[width * height :].reshape(2, -(-height // 2), -(-width // 2))
    u, v = (chroma[:, :rows, :columns].astype(np.float32) - 128) * np.float32(255 / 224)
    rgb = np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
