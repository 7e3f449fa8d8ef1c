"""The display's clock: where in the clip it is, slower where generation is late. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

NEAR = 2.0  # frames before the end of what is there from which on the clock slows down


@dataclass(slots=True)
class ClipClock:
    """A position in generated frames that moves on with the time and never passes what is there.

    `fps` are generated frames of a second of the clip. Where fewer than these are made in a second, the clip
    is stretched to what is made; near the end of what is there it slows down and does not stop at once.
    """

    fps: float
    position: float = 0.0

    def advance(self, seconds: float, end: int, made_a_second: float) -> float:
        """The position after `seconds` more; `end` is the number of the last frame that is there."""
        left = max(0.0, end - self.position)
        speed = min(1.0, made_a_second / self.fps) * min(1.0, left / NEAR)
        self.position = min(self.position + seconds * self.fps * speed, float(end))
        return self.position
