"""The frames of the MP4 beside recomputed ones, both at half their size and in RGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pokora_anime.compliance.verify import video
from pokora_anime.compliance.verify.delivery import Frames
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import Limits
from pokora_anime.provenance import layout
from pokora_anime.records import Image


def decoded(folder: Folder, listed: Frames, wanted: range, limits: Limits) -> list[Image]:
    """Those frames of the MP4 at half their size. Raises video.BadVideo."""
    numbers = {name: int(str(value)) for name, value in listed.numbers.items()}
    width, height = numbers["width"], numbers["height"]
    shape = video.Shape(width=width, height=height, frames=numbers["count"])
    kept: list[Image] = []
    seen = 0

    def take(frame: bytes) -> None:
        nonlocal seen
        if seen in wanted:
            kept.append(_from_yuv(frame, width, height))
        seen += 1

    video.decode(folder.root / layout.VIDEO, shape, limits, take)
    return kept


def halved(frame: Image) -> Image:
    """Means of 2x2 pixels."""
    height, width = (side // 2 for side in frame.shape[:2])
    blocks = frame[: height * 2, : width * 2].reshape(height, 2, width, 2, 3)
    return np.rint(blocks.mean((1, 3), dtype=np.float32)).astype(np.uint8)


def _from_yuv(frame: bytes, width: int, height: int) -> Image:
    """A yuv420p frame (BT.709, limited range, as `encode` tags it) as RGB of half its size."""
    planes = np.frombuffer(frame, np.uint8)
    rows, columns = height // 2, width // 2
    luma = planes[: width * height].reshape(height, width)[: rows * 2, : columns * 2]
    y = (luma.reshape(rows, 2, columns, 2).mean((1, 3), dtype=np.float32) - 16) * np.float32(255 / 219)
    chroma: npt.NDArray[np.uint8] = planes[width * height :].reshape(2, -(-height // 2), -(-width // 2))
    u, v = (chroma[:, :rows, :columns].astype(np.float32) - 128) * np.float32(255 / 224)
    rgb = np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
