"""The overall score: one number of a whole scorecard, for whatever compares clips. Torch-free.

The gallery and its tables, the studio, a search, drafts that are kept and a tracker all take this one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import cast

from pokora_anime.quality.metrics.metric_table import BY_ID, STAGES
from pokora_anime.quality.metrics.score_summary import Score

OVERALL = "overall"


def overall(card: Mapping[str, object]) -> float | None:
    """The mean over the numbers of scorecard.json that have a verdict, 0..1: each counts by where it lies
    between bad (0) and good (1) in its band, and no more beyond. None where nothing could be measured, and
    nothing is taken of what is no scorecard: anybody may have written the file.
    """
    return _mean(worth for stage in STAGES for worth in _told(stage, card.get(stage)))


def of_score(score: Score, stage: str) -> float | None:
    """The same of one stage alone."""
    return _mean(_worths(stage, score.features, score.values))


def _mean(worths: Iterator[float]) -> float | None:
    found = [*worths]
    return sum(found) / len(found) if found else None


def _told(stage: str, told: object) -> Iterator[float]:
    values = cast("Mapping[str, object]", told).get("values") if isinstance(told, Mapping) else None
    if isinstance(told, Mapping) and isinstance(values, Mapping):
        features = str(cast("Mapping[str, object]", told).get("features"))
        yield from _worths(stage, features, cast("Mapping[str, object]", values))


def _worths(stage: str, features: str, values: Mapping[str, object]) -> Iterator[float]:
    for name, metric in BY_ID.items():
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if metric.judged_by(stage, features) and _finite(value):
            yield metric.band(stage, features).worth(value)


def _finite(value: float) -> bool:
    """JSON holds integers of any length."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
