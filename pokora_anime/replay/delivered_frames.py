"""The frames of the MP4 that are compared with recomputed ones."""

from __future__ import annotations

from pokora_anime.provenance import run_layout
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.verify.video import mp4_frames
from pokora_anime.verify.video.delivery import Frames


def decoded(folder: Folder, listed: Frames, wanted: range, limits: Limits) -> list[bytes]:
    """Those frames of the MP4 as they decode, yuv420p. Raises video.BadVideo."""
    numbers = {name: int(str(value)) for name, value in listed.numbers.items()}
    width, height = numbers["width"], numbers["height"]
    shape = mp4_frames.Shape(width=width, height=height, frames=numbers["count"])
    kept: list[bytes] = []
    seen = 0

    def take(frame: bytes) -> None:
        nonlocal seen
        if seen in wanted:
            kept.append(frame)
        seen += 1

    mp4_frames.decode(folder.root / run_layout.VIDEO, shape, limits, take)
    return kept
