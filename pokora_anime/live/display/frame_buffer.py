"""The generated frames that wait to be shown: bounded, and newer ones in the place of older. Torch-free."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from pokora_anime.provenance.stage_records import Image

MOST = 64  # frames: four segments


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A generated frame with its number, and which words it follows."""

    number: int
    image: Image
    words: int


class FrameBuffer:
    """Frames by number, without a gap. Whoever makes them and whoever shows them may be two threads."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}
        self._lock = threading.Lock()

    def put(self, start: int, images: Sequence[Image], words: int) -> None:
        """Frames from `start` on; those that are there from there on are given up.

        Raises ValueError for frames that leave a gap or are too many.
        """
        with self._lock:
            kept = {number: frame for number, frame in self._frames.items() if number < start}
            if len(kept) + len(images) > MOST:
                raise ValueError(f"{len(kept) + len(images)} frames wait; at most {MOST} may")
            if kept and start != max(kept) + 1:
                raise ValueError(f"frame {start} does not follow frame {max(kept)}")
            for number, image in enumerate(images, start):
                kept[number] = Frame(number=number, image=image, words=words)
            self._frames = kept

    def at(self, position: float) -> tuple[Frame, Frame, float] | None:
        """The frames around a position and its share of the way; what lies before is let go of.

        At the last frame both are that one. None while nothing is there.
        """
        with self._lock:
            if not self._frames:
                return None
            first, last = min(self._frames), max(self._frames)
            before = min(max(floor(position), first), last)
            for number in range(first, before):
                del self._frames[number]
            after = min(before + 1, last)
            share = min(max(position - before, 0.0), 1.0) if after > before else 0.0
            return self._frames[before], self._frames[after], share

    @property
    def end(self) -> int:
        """The number of the last frame; -1 while there is none."""
        with self._lock:
            return max(self._frames, default=-1)

    def __len__(self) -> int:
        return len(self._frames)
