"""Which seeds a segment is made with: one after the other, until one is good enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pokora_anime.provenance.stage_records import Segment

FAILS = 1.0  # how badly a segment may fail before it is made again


def first_only(index: int) -> Iterable[int]:
    """The attempts of a segment that is made once."""
    del index
    return (0,)


def never_fails(segment: Segment) -> float:
    """Any segment is good enough."""
    del segment
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """`of` gives the attempts of the segment with an index, `failing` how badly one fails (above 1: again).

    Attempt 0 draws from the run's own seed, every other one from the next that is derived of it. Where
    all fail, the one that fails least is taken.
    """

    of: Callable[[int], Iterable[int]] = first_only
    failing: Callable[[Segment], float] = never_fails

    def best(self, index: int, make: Callable[[int], Segment], note: Callable[[str], None]) -> Segment:
        """The first attempt at a segment that does not fail, else the one that fails least."""
        tried: list[tuple[float, Segment]] = []
        for attempt in self.of(index):
            if tried:
                worse = f"{tried[-1][0]:.2f} times what is allowed"
                note(f"segment {index + 1} fails by {worse}: made again with the next seed")
            segment = make(attempt)
            failing = self.failing(segment)
            if failing <= FAILS:
                return segment
            tried.append((failing, segment))
        return min(tried, key=lambda one: one[0])[1]


ONCE = Attempts()


def names(base: tuple[str | int, ...], attempt: int) -> tuple[str | int, ...]:
    """The names of a generator at an attempt."""
    return (*base, attempt) if attempt else base
