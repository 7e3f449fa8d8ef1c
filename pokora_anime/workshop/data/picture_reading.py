"""One drawing from a file, decoded within bounds: upright, opaque, RGB. Torch-free."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from PIL import ImageOps

from pokora_anime.untrusted.png_pictures import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
MOST_BYTES = 64 * 2**20
MOST_PIXELS = 40_000_000
LEAST_SIDE = 128  # pixels
GROUND = (255, 255, 255)  # what shows through where a drawing is transparent


class Unusable(Exception):
    """A file that no training can use: its code, what is wrong, what would do, and the way out."""

    def __init__(self, code: str, message: str, got: str, expected: str, fix: str) -> None:
        self.code, self.message, self.got, self.expected, self.fix = code, message, got, expected, fix
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A picture uint8 [height, width, 3]; `sha256` is its file's, `turned` and `transparent` what it was."""

    rgb: Image
    sha256: str
    turned: bool
    transparent: bool


def read(path: Path) -> Drawing:
    """The drawing in a file. Raises Unusable."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise Unusable(
                "DAT-LARGE",
                "a file that is too large",
                f"{size / 2**20:.0f} MiB",
                f"at most {MOST_BYTES // 2**20} MiB",
                "save it smaller",
            )
        data = path.read_bytes()
    except OSError as error:
        raise Unusable(
            "DAT-UNREADABLE",
            "a file that cannot be read",
            error.strerror or str(error),
            "a readable file",
            f"chmod +r {path.name}",
        ) from error
    return decode(data)


def decode(data: bytes) -> Drawing:
    """The drawing in the bytes of a file. Raises Unusable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pictures.DecompressionBombWarning)  # counted below
            with Pictures.open(io.BytesIO(data), formats=FORMATS) as picture:
                _check_size(*picture.size)
                _check_frames(picture)
                turned = picture.getexif().get(0x0112, 1) not in (0, 1)
                rgb, transparent = _opaque(ImageOps.exif_transpose(picture) if turned else picture)
    except Pictures.DecompressionBombError as error:
        raise _too_many_pixels("far above") from error
    except Pictures.UnidentifiedImageError as error:
        raise Unusable(
            "DAT-FORMAT",
            "no picture of a known format",
            f"it begins with {data[:4]!r}",
            ", ".join(FORMATS),
            "save it as PNG",
        ) from error
    except (OSError, SyntaxError, ValueError, OverflowError, MemoryError, EOFError) as error:
        raise Unusable(
            "DAT-CORRUPT",
            "a picture that is cut or damaged",
            " ".join(str(error).split())[:80],
            "a whole picture",
            "save it anew from its source",
        ) from error
    return Drawing(rgb=rgb, sha256=hashlib.sha256(data).hexdigest(), turned=turned, transparent=transparent)


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _too_many_pixels(f"{width}x{height}, {width * height / 1e6:.0f} megapixels")
    if min(width, height) < LEAST_SIDE:
        raise Unusable(
            "DAT-SMALL",
            "a picture that is too small",
            f"{width}x{height}",
            f"at least {LEAST_SIDE} pixels a side",
            "export it larger",
        )


def _too_many_pixels(got: str) -> Unusable:
    return Unusable(
        "DAT-PIXELS",
        "a picture of too many pixels",
        got,
        f"at most {MOST_PIXELS / 1e6:.0f} megapixels",
        "scale it to 2048 pixels a side: no base is trained on more",
    )


def _check_frames(picture: Pictures.Image) -> None:
    frames = 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))  # MPO: a camera's JPEG
    if frames > 1:
        raise Unusable(
            "DAT-ANIMATED",
            "an animated picture",
            f"{frames} frames",
            "a still picture",
            "export the frames that you want as PNG files",
        )


def _opaque(picture: Pictures.Image) -> tuple[Image, bool]:
    """RGB on a white ground, and whether any of the ground shows."""
    if picture.mode.startswith("I"):  # 16 bits of grey: converting would clip them
        grey = np.asarray(picture).astype(np.float64) / 257
        return np.repeat(grey.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2), False
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        alpha = layered.getchannel("A")
        ground = Pictures.new("RGB", layered.size, GROUND)
        ground.paste(layered.convert("RGB"), mask=alpha)
        return np.asarray(ground, np.uint8), bool(np.asarray(alpha).min() < 255)
    return np.asarray(picture.convert("RGB"), np.uint8), False
