"""Whether one of two settings is better by more than noise: scores of the same seeds, compared in pairs.

Torch-free.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ERRORS = 2.0  # standard errors that a mean difference must lie above 0
LEAST = 0.002  # of a score from 0 to 1: less is nobody's to see


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Mean difference after - before over seeds, its standard error, and both means."""

    before: float
    after: float
    difference: float
    error: float
    seeds: int

    @property
    def better(self) -> bool:
        """Whether it is more than noise."""
        return self.difference > max(LEAST, ERRORS * self.error)

    def line(self) -> str:
        """As the terminal shows it."""
        verdict = "better by more than noise" if self.better else "no better than noise"
        return (
            f"{self.before:.4f} -> {self.after:.4f} on {self.seeds} seeds that no trial saw:"
            f" {self.difference:+.4f} +- {self.error:.4f}, {verdict}"
        )


def paired(before: Sequence[float], after: Sequence[float]) -> Paired:
    """Two scores for each seed, at least two seeds. Raises ValueError."""
    apart = [two - one for one, two in zip(before, after, strict=True)]
    return Paired(
        before=statistics.mean(before),
        after=statistics.mean(after),
        difference=statistics.mean(apart),
        error=statistics.stdev(apart) / len(apart) ** 0.5,
        seeds=len(apart),
    )
