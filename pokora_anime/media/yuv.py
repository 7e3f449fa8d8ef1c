"""Decoded frames of an MP4, yuv420p (BT.709, limited range, as `encode` tags them), as RGB pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image


def rgb_of_yuv(frame: bytes, width: int, height: int) -> Image:
    """The frame uint8 [height, width, 3] at the resolution of its colours: pixels of 2x2 are alike."""
    return half_of_yuv(frame, width, height).repeat(2, axis=0).repeat(2, axis=1)


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
