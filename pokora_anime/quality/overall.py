"""One number of a whole scorecard, for what compares clips. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pokora_anime.quality.metrics.metric_table import BY_ID, STAGES

OVERALL = "overall"


def overall(card: Mapping[str, Any]) -> float | None:
    """The mean over the numbers of scorecard.json that have a verdict, 0..1: each counts by where it lies
    between bad (0) and good (1) in its band, and no more beyond. None where nothing could be measured.
    """
    found = [
        _worth(name, stage, str(card[stage]["features"]), value)
        for stage in STAGES
        for name, value in card[stage]["values"].items()
        if name in BY_ID and value is not None
    ]
    return sum(found) / len(found) if found else None


def _worth(name: str, stage: str, features: str, value: float) -> float:
    band = BY_ID[name].band(stage, features)
    return min(1.0, max(0.0, (value - band.bad) / (band.good - band.bad)))
