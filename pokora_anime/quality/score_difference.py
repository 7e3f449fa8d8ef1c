"""Two scorecards compared, number by number, with a verdict. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import cast

from pokora_anime.provenance.hashing import Json
from pokora_anime.quality.metrics.metric_table import BY_ID, STAGES, Band, Metric
from pokora_anime.quality.overall import overall

STEP = 0.15  # of a number's band from good to bad: less is the difference of two seeds
LEAST = 0.02  # of the overall number


class Change(Enum):
    """How a number stands to that of the other clip."""

    better = "better"
    same = "same"
    worse = "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of both clips, `stage` before or after interpolation."""

    id: str
    stage: str
    before: float
    now: float
    change: Change

    def line(self) -> str:
        """As the terminal shows it."""
        title = BY_ID[self.id].title
        return f"{self.change.value:7} {title:34} {self.before:>9.3g} -> {self.now:<9.3g} {self.stage}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Every number that both have; `before` and `now` are the overall ones, None without any."""

    rows: tuple[Row, ...]
    before: float | None
    now: float | None
    left_out: tuple[str, ...]

    @property
    def verdict(self) -> Change:
        """Worse where the whole is; better likewise; the same where neither is."""
        if self.before is None or self.now is None or abs(self.now - self.before) < LEAST:
            return Change.same
        return Change.better if self.now > self.before else Change.worse

    def count(self, change: Change) -> int:
        """How many numbers have changed so."""
        return sum(row.change is change for row in self.rows)

    def to_json(self) -> dict[str, Json]:
        """As `pokora score --against RUN --json` prints it."""
        rows: list[Json] = [
            {"id": r.id, "stage": r.stage, "before": r.before, "now": r.now, "change": r.change.value}
            for r in self.rows
        ]
        return {
            "verdict": self.verdict.value,
            "overall": {"before": self.before, "now": self.now},
            "numbers": rows,
            "left_out": [*self.left_out],
        }

    def lines(self) -> list[str]:
        """What changed, and the verdict last."""
        changed = [row.line() for row in self.rows if row.change is not Change.same]
        left = [f"not compared: {', '.join(self.left_out)}"] if self.left_out else []
        counts = ", ".join(f"{self.count(change)} {change.value}" for change in Change)
        whole = "" if self.before is None or self.now is None else f" ({self.before:.3f} -> {self.now:.3f})"
        return [*changed, *left, f"{counts}; overall {self.verdict.value}{whole}"]


def compare(card: Mapping[str, Json], other: Mapping[str, Json]) -> Difference:
    """What of `card` is better or worse than of `other`, both as scorecard.json holds them.

    Numbers of other judges, or that one of the two has not, are left out, by name.
    """
    rows: list[Row] = []
    left: list[str] = []
    for stage in STAGES:
        now, before = _stage(card, stage), _stage(other, stage)
        for name, metric in BY_ID.items():
            here, there = _number(now, name), _number(before, name)
            band, other_band = (_band(metric, stage, one.get("features")) for one in (now, before))
            if here is None or there is None or band is None or band != other_band:
                left += [] if here is None and there is None else [f"{name} ({stage})"]
                continue
            change = _change(here, there, band)
            rows.append(Row(id=name, stage=stage, before=there, now=here, change=change))
    return Difference(
        rows=tuple(rows),
        before=_whole(other, {(row.stage, row.id) for row in rows}),
        now=_whole(card, {(row.stage, row.id) for row in rows}),
        left_out=tuple(left),
    )


def _band(metric: Metric, stage: str, features: Json) -> Band | None:
    """The band of a number by what a card says described its frames; None for a judge that nobody knows."""
    return metric.band(stage, str(features)) if metric.judged_by(stage, str(features)) else None


def _change(here: float, there: float, band: Band) -> Change:
    """By how much of its band a number moved; beyond good and bad it cannot."""
    low, high = sorted((band.good, band.bad))
    moved = (min(high, max(low, here)) - min(high, max(low, there))) / (band.good - band.bad)
    if abs(moved) < STEP:
        return Change.same
    return Change.better if moved > 0 else Change.worse


def _whole(card: Mapping[str, Json], common: set[tuple[str, str]]) -> float | None:
    """The overall number over what both clips have."""
    stages: dict[str, dict[str, Json]] = {}
    for stage in STAGES:
        values: dict[str, Json] = {
            name: _number(_stage(card, stage), name) for one, name in common if one == stage
        }
        stages[stage] = {"features": _stage(card, stage).get("features"), "values": values}
    return overall(stages)


def _stage(card: Mapping[str, Json], stage: str) -> Mapping[str, Json]:
    found = card.get(stage)
    return found if isinstance(found, dict) else {}


def _number(stage: Mapping[str, Json], name: str) -> float | None:
    values = stage.get("values")
    value = values.get(name) if isinstance(values, dict) else None
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return float(cast(float, value)) if told and abs(cast(float, value)) < 1e12 else None
