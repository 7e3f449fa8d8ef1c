"""One number of a whole scorecard, for what compares clips. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pokora_anime.quality.metrics.metric_table import BY_ID, STAGES
from pokora_anime.quality.metrics.score_summary import Score

OVERALL = "overall"


def overall(card: Mapping[str, Any]) -> float | None:
    """The mean over the numbers of scorecard.json that have a verdict, 0..1: each counts by where it lies
    between bad (0) and good (1) in its band, and no more beyond. None where nothing could be measured.
    """
    found = [
        worth
        for stage in STAGES
        for worth in _worths(stage, str(card[stage]["features"]), card[stage]["values"])
    ]
    return sum(found) / len(found) if found else None


def of_score(score: Score, stage: str) -> float | None:
    """The same of one stage alone."""
    found = _worths(stage, score.features, score.values)
    return sum(found) / len(found) if found else None


def _worths(stage: str, features: str, values: Mapping[str, float | None]) -> list[float]:
    known = ((name, value) for name, value in values.items() if name in BY_ID and value is not None)
    return [_worth(name, stage, features, value) for name, value in known]


def _worth(name: str, stage: str, features: str, value: float) -> float:
    band = BY_ID[name].band(stage, features)
    return min(1.0, max(0.0, (value - band.bad) / (band.good - band.bad)))
