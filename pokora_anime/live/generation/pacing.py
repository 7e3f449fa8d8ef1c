"""How far ahead generation runs, and from which frame on new words hold. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

_LATER = 1.2  # times that a segment may take of what the ones before took
_ON_THE_WAY = 0.1  # seconds from its last step to the display
_FIRST = 1.5  # seconds that the first one is thought to take
_WEIGHT = 0.4  # of the newest segment in the mean


@dataclass(slots=True)
class Pacing:
    """`fps` are frames of a second of the clip; a segment takes `seconds` and makes `fresh` new ones."""

    fps: float
    fresh: int
    seconds: float = _FIRST

    def took(self, seconds: float) -> None:
        """A segment took so long."""
        self.seconds += _WEIGHT * (seconds - self.seconds)

    @property
    def reach(self) -> int:
        """Frames that are shown while a segment is made; where it takes longer than it lasts, the clip is
        stretched, and no more are shown than are made."""
        return ceil(_LATER * min(self.seconds * self.fps, self.fresh) + _ON_THE_WAY * self.fps)

    def due(self, next_frame: int, shown: int) -> bool:
        """Whether the segment from `next_frame` on is to be begun now: not sooner, or what is typed would
        wait behind it."""
        return next_frame - shown <= self.reach + 1

    def begins(self, next_frame: int, shown: int, since: int) -> int:
        """The frame from which new words hold: the first that can be made, or made anew, before it is shown.

        `since` is the first frame of the words before them, which keep one frame at least.
        """
        return min(next_frame, max(shown + self.reach, since + 1))

    def supersedes(self, next_frame: int, shown: int) -> bool:
        """Whether a segment under way is given up for new words: there is time for another."""
        return next_frame - shown >= self.reach
