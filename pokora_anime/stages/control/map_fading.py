"""How maps of one frame lose their hold on those that come after it."""

from __future__ import annotations


def faded(first: int, frames: int, over: int, floor: float) -> list[float]:
    """Weights of `frames` frames, of which the first is `first` after the one that the maps show: 1 there,
    falling to the floor over `over` frames; those before it have none.
    """
    return [_weight(first + frame, max(over, 1), floor) for frame in range(frames)]


def _weight(since: int, over: int, floor: float) -> float:
    return floor + (1.0 - floor) * max(0.0, 1.0 - since / over) if since >= 0 else 0.0
