"""The frames of the MP4 that are compared with recomputed ones."""

from __future__ import annotations

from pokora_anime.compliance.verify import video
from pokora_anime.compliance.verify.delivery import Frames
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import Limits
from pokora_anime.provenance import layout


def decoded(folder: Folder, listed: Frames, wanted: range, limits: Limits) -> list[bytes]:
    """Those frames of the MP4 as they decode, yuv420p. Raises video.BadVideo."""
    numbers = {name: int(str(value)) for name, value in listed.numbers.items()}
    width, height = numbers["width"], numbers["height"]
    shape = video.Shape(width=width, height=height, frames=numbers["count"])
    kept: list[bytes] = []
    seen = 0

    def take(frame: bytes) -> None:
        nonlocal seen
        if seen in wanted:
            kept.append(frame)
        seen += 1

    video.decode(folder.root / layout.VIDEO, shape, limits, take)
    return kept
