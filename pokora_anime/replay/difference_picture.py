"""The side-by-side picture: stored, recomputed, and their difference, one row a replayed part."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw

from pokora_anime.media.openpose_map import openpose_map
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.stage_records import Image

SIDE, GAP, LABEL = 256, 8, 18
GAIN = 8  # the difference is shown this many times as large
HEADER = f"stored | recomputed | difference x{GAIN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A part's pictures, stored and recomputed, of one size."""

    label: str
    stored: Image
    made: Image


def side_by_side(rows: Sequence[Row]) -> bytes:
    """The rows as a PNG."""
    height = LABEL + len(rows) * (LABEL + SIDE + GAP)
    page = Pictures.new("RGB", (3 * SIDE + 4 * GAP, height), "white")
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 3), HEADER, fill="black")
    for number, row in enumerate(rows):
        top = LABEL + number * (LABEL + SIDE + GAP)
        draw.text((GAP, top + 3), row.label, fill="black")
        apart = np.abs(row.made.astype(np.int16) - row.stored.astype(np.int16)) * GAIN
        for place, picture in enumerate((row.stored, row.made, np.minimum(apart, 255).astype(np.uint8))):
            page.paste(_fitted(picture), (GAP + place * (SIDE + GAP), top + LABEL))
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def of_numbers(values: np.ndarray, *others: np.ndarray) -> list[Image]:
    """Latents or noise [channels, height, width] as pictures of their first three channels, on one scale."""
    every = [np.resize(array, (3, *array.shape[1:])) for array in (values, *others)]
    low, high = float(values.min()), float(values.max())
    scale = 255 / max(high - low, 1e-12)
    scaled = [np.clip(np.rint((array - low) * scale), 0, 255) for array in every]
    return [np.ascontiguousarray(array.transpose(1, 2, 0)).astype(np.uint8) for array in scaled]


def of_maps(one: np.ndarray, other: np.ndarray, size: Json) -> list[Image]:
    """A draft's maps of the frame in which they differ most; poses (joints) as OpenPose draws them."""
    apart = np.abs(one.astype(np.float32) - other.astype(np.float32)).max((1, 2))
    pair = [maps[int(apart.argmax())] for maps in (one, other)]
    if one.dtype == np.uint8:
        return [np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2) for grey in pair]
    side = max(int(str(pixels)) for pixels in size) if isinstance(size, list) else SIDE
    return [openpose_map(joints.astype(np.float32), side) for joints in pair]


def _fitted(picture: Image) -> Pictures.Image:
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = Pictures.Resampling.NEAREST if scale > 1 else Pictures.Resampling.BOX
    return Pictures.fromarray(picture).resize(size, kind)
