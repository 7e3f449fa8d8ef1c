"""The scorecard of a run as a few rows, where there is one for this very run."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pokora_anime.errors import RecordError
from pokora_anime.provenance import layout
from pokora_anime.provenance.hashing import Json, strict_json
from pokora_anime.quality.metrics import FINAL, GENERATED, METRICS
from pokora_anime.quality.scorecard import SCORECARD

MAX_BYTES = 8 * 2**20
Table = dict[str, Json]


def scores(folder: Path) -> list[Json]:
    """Rows {title, unit, before, after, verdict} for each metric that has a value; none without a scorecard.

    Raises RecordError SUB-SCORE for a scorecard that cannot be read.
    """
    place = folder / layout.REPORTS / SCORECARD
    if not place.is_file():
        return []
    data = place.read_bytes()
    try:
        card = cast(Table, strict_json(data[:MAX_BYTES], SCORECARD))
        before, after = (cast(Table, card[stage]) for stage in (GENERATED, FINAL))
        values = [cast(Table, stage["values"]) for stage in (before, after)]
        verdicts = cast(Table, after["verdicts"])
        return [
            {
                "title": metric.title,
                "unit": metric.unit,
                "before": _number(values[0][metric.id]),
                "after": _number(values[1][metric.id]),
                "verdict": str(verdicts[metric.id]),
            }
            for metric in METRICS
            if values[1][metric.id] is not None
        ]
    except (RecordError, KeyError, TypeError, ValueError) as error:
        raise RecordError(
            "SUB-SCORE",
            f"{place} is no scorecard",
            expected="what `pokora score` writes",
            fix=f"delete it, or `pokora score {folder}`",
        ) from error


def _number(value: Json) -> str:
    return "–" if value is None else f"{cast(float, value):.3g}"
