"""The frames of the MP4 beside recomputed ones, both at half their size and in RGB."""

from __future__ import annotations

from pokora_anime.compliance.verify import pictures, video
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
            kept.append(pictures.half_of_yuv(frame, width, height))
        seen += 1

    video.decode(folder.root / layout.VIDEO, shape, limits, take)
    return kept
