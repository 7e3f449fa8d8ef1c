"""A clip's scorecard: the score of its generated frames and that of its final ones, always both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pokora_anime.provenance.hashing import Json
from pokora_anime.quality.metrics.metric_table import ADVICE, FINAL, GENERATED, METRICS, Verdict
from pokora_anime.quality.metrics.score_summary import Score

FORMAT = 1
SCORECARD = "scorecard.json"
REPORT = "scorecard.html"
MOST_NAMED = 4  # bad numbers in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Both stages of one clip; `origin` tells where the generated frames came from."""

    title: str
    origin: str
    generated: Score
    final: Score

    def stages(self) -> Mapping[str, Score]:
        """The scores by stage, before interpolation first."""
        return {GENERATED: self.generated, FINAL: self.final}

    def verdicts(self, stage: str) -> dict[str, Verdict]:
        """How every metric of a stage stands."""
        score = self.stages()[stage]
        return {
            metric.id: metric.band(stage, score.features).verdict(score.values[metric.id])
            for metric in METRICS
        }

    def count(self, verdict: Verdict) -> int:
        """How many metrics have this verdict, over both stages."""
        return sum(found is verdict for stage in self.stages() for found in self.verdicts(stage).values())

    def to_json(self) -> dict[str, Json]:
        """What scorecard.json holds."""
        stages: dict[str, Json] = {}
        for stage, score in self.stages().items():
            verdicts: dict[str, Json] = {name: found.value for name, found in self.verdicts(stage).items()}
            stages[stage] = {**score.to_json(), "verdicts": verdicts}
        return {"format": FORMAT, "title": self.title, "generated_frames_from": self.origin, **stages}


def told(card: Scorecard, verdict: Verdict) -> list[str]:
    """The numbers with this verdict: title, value, and whether they are those after interpolation."""
    after = {GENERATED: "", FINAL: " after interpolation"}
    return [
        f"{metric.title.lower()} {_shown(score.values[metric.id])}{after[stage]}"
        for stage, score in card.stages().items()
        for metric in METRICS
        if card.verdicts(stage)[metric.id] is verdict
    ]


def brief(card: Scorecard) -> str:
    """One line: how many numbers are good and which are bad."""
    bad = told(card, Verdict.bad)
    try_next = " or ".join(advice(card))
    counts = f"score: {card.count(Verdict.good)} good, {card.count(Verdict.fair)} fair"
    return f"{counts}; bad: {listed(bad)}; try {try_next}" if bad else f"{counts}, none bad"


def advice(card: Scorecard) -> list[str]:
    """What to type against what is bad, the first group of metrics first."""
    verdicts = [card.verdicts(stage) for stage in card.stages()]
    bad = {name for found in verdicts for name, verdict in found.items() if verdict is Verdict.bad}
    return list(dict.fromkeys(ADVICE[metric.group] for metric in METRICS if metric.id in bad))


def listed(numbers: Sequence[str]) -> str:
    """The first few of them in a row."""
    more = f" and {len(numbers) - MOST_NAMED} more" if len(numbers) > MOST_NAMED else ""
    return ", ".join(numbers[:MOST_NAMED]) + more


def as_text(card: Scorecard) -> str:
    """A table for the terminal."""
    lines = [f"{'':34}{'before':>10}  {'after':>10}   good / bad", ""]
    found = {stage: card.verdicts(stage) for stage in card.stages()}
    for metric in METRICS:
        cells: list[str] = []
        for stage, score in card.stages().items():
            value, verdict = score.values[metric.id], found[stage][metric.id]
            cells.append(f"{_shown(value):>8} {_SIGNS[verdict]}")
        bands = dict.fromkeys(str(metric.band(stage, s.features)) for stage, s in card.stages().items())
        lines.append(f"{metric.title:34}{'  '.join(cells)}   {'; '.join(bands)}")
    lines += ["", f"{card.count(Verdict.bad)} bad (!), {card.count(Verdict.fair)} fair (~)"]
    if ways := advice(card):
        lines.append(f"try {' or '.join(ways)}")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


_SIGNS = {Verdict.good: " ", Verdict.fair: "~", Verdict.bad: "!", Verdict.unknown: " "}
