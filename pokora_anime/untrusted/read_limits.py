"""How much of a stranger's bundle is read before it is called hostile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds. An honest 10 s run at 1024 px stays far below each of them."""

    files: int = 4000
    depth: int = 6  # folders in folders
    file_bytes: int = 512 * 2**20
    total_bytes: int = 1024 * 2**20
    archive_bytes: int = 1024 * 2**20
    directory_bytes: int = 2 * 2**20  # a zip's table of contents
    zip_ratio: int = 200  # unpacked to packed, where more than `zip_ratio_from` come out
    zip_ratio_from: int = 2**20
    json_bytes: int = 8 * 2**20
    json_depth: int = 24
    json_odd_as_null: bool = False  # NaN and over-long numbers, which other tools write, are read as null
    array_bytes: int = 512 * 2**20  # of all stored arrays together
    header_bytes: int = 2**20  # of a safetensors file
    picture_pixels: int = 24 * 2**20  # of all pictures together
    nodes: int = 2000
    findings: int = 50  # of one code that a report tells
    video_pixels: int = 2048 * 2048
    video_frames: int = 1200
    video_seconds: float = 60.0  # that ffmpeg may take
    video_memory: int = 2 * 2**30


LIMITS = Limits()
