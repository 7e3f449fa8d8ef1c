"""The scorecard of a run as a few rows, where there is one for this very run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from pokora_anime.errors import RecordError
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, Table, strict_json
from pokora_anime.quality.metrics.metric_table import FINAL, GENERATED, METRICS, Verdict
from pokora_anime.quality.scorecard import SCORECARD

MAX_BYTES = 8 * 2**20
MOST_TEXT, MOST_DEPTH, MOST_VALUES = 240, 5, 2000
_STAGES = (GENERATED, FINAL)
_SCORE = set(
    "frames fps measured_at flow features values reasons joins placements cuts curves verdicts".split()
)


def scores(folder: Path) -> list[Json]:
    """Rows {title, unit, before, after, verdict} for each metric that has a value; none without a scorecard.

    Raises RecordError SUB-SCORE for a scorecard that cannot be read.
    """
    place = folder / run_layout.REPORTS / SCORECARD
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


def misfit(data: bytes) -> str:
    """Why bytes are no scorecard.json; "" for one: written so, of its fields, plain numbers."""
    try:
        card = strict_json(data, SCORECARD)
    except RecordError as error:
        return error.got
    if not isinstance(card, dict) or set(card) != {"format", "title", "generated_frames_from", *_STAGES}:
        return "its fields are not those of a scorecard"
    if (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode() != data:
        return "it is not written as pokora writes it"
    for stage in _STAGES:
        told = card[stage]
        if not isinstance(told, dict) or set(told) != _SCORE:
            return f"{stage}: its fields are not those of a score"
        lists = [told[name] for name in ("values", "verdicts")]
        if not all(isinstance(one, dict) and set(one) == {metric.id for metric in METRICS} for one in lists):
            return f"{stage}: values of other metrics"
        for value in cast(Table, told["verdicts"]).values():
            if value not in [verdict.value for verdict in Verdict]:
                return f"{stage}: a verdict that there is not"
    return _odd(card, 0)


def _odd(value: Json, depth: int) -> str:
    """What in a value is no number, no short line and no table of them; "" for nothing."""
    if isinstance(value, str):
        return "" if len(value) <= MOST_TEXT and value.isprintable() else "a text that is no short line"
    if isinstance(value, list | dict):
        inside = [*value.values(), *value] if isinstance(value, dict) else value
        if depth == MOST_DEPTH or len(inside) > MOST_VALUES:
            return "more than any scorecard holds"
        return next((odd for one in inside if (odd := _odd(one, depth + 1))), "")
    return ""


def _number(value: Json) -> str:
    return "–" if value is None else f"{cast(float, value):.3g}"
