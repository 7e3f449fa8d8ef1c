"""Finished runs by style and setting: seconds, memory, scores, what got worse. Torch-free."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from pokora_anime.errors import PokoraError
from pokora_anime.history import run_list, run_origin
from pokora_anime.history.run_folders import folders
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, text_hash
from pokora_anime.quality.metrics.metric_table import ADVICE, METRICS, STAGES
from pokora_anime.quality.overall import overall
from pokora_anime.quality.scorecard import SCORECARD
from pokora_anime.schema.option_values import leaves

LAST = 20  # earlier runs that the newest is held against
FEWEST = 3  # of them, below which nothing is said
SPREAD = 3.0  # median absolute deviations that are chance
SLOWER, HEAVIER, LOWER = 0.3, 0.2, 0.05  # shares of seconds and memory, and of the score, that are none
# What does not make another setting: what is shown, and the noise.
_NO_SETTING = ("seed", "fresh", "shot.prompt", "shot.typed", "count", "best_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One finished run. `memory` is its process's peak in bytes; `bad` the metrics with a bad verdict."""

    path: str
    setting: str
    labels: tuple[str, ...]
    seconds: float | None
    memory: float | None
    score: float | None
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A figure of the newest run that lies further from the earlier ones' median than chance would."""

    what: str
    newest: float
    usual: float
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs of one setting: medians over all of them, and what the newest has made worse."""

    setting: str
    labels: tuple[str, ...]
    runs: int
    seconds: float | None
    memory: float | None
    score: float | None
    newest: str
    regressions: tuple[Regression, ...]
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """As `pokora stats --json` prints it."""
        return cast("dict[str, Json]", asdict(self))


def groups(root: Path, words: Sequence[str] = ()) -> list[Group]:
    """By setting, those with the newest runs first; `words` must all stand in a setting's labels."""
    by_setting: dict[str, list[Measured]] = {}
    for run in measured(root):
        said = " ".join(run.labels).lower()
        if all(word.lower() in said for word in words):
            by_setting.setdefault(run.setting, []).append(run)
    return [_group(runs) for runs in by_setting.values()]


def measured(root: Path) -> Iterable[Measured]:
    """The finished runs below an output folder, newest first; damaged ones are passed over."""
    for folder in folders(root):
        try:
            told = run_origin.of_run(folder)
        except PokoraError:
            continue
        if told.reading is not None:
            yield _measured(folder, told.command, told.plain)


def _measured(folder: Path, command: str, plain: Mapping[str, Json]) -> Measured:
    card = run_list.report(folder / run_layout.REPORTS / SCORECARD)
    peak = run_list.report(folder / run_layout.LOGS / "timings.json").get("peak_bytes")
    known = isinstance(peak, int | float) and not isinstance(peak, bool) and run_list.finite(peak)
    return Measured(
        path=str(folder),
        setting=setting(command, plain),
        labels=labels(command, plain),
        seconds=run_list.seconds(folder),
        memory=float(cast(float, peak)) if known else None,
        score=overall(card),
        bad=_bad(card),
    )


def setting(command: str, plain: Mapping[str, Json]) -> str:
    """What runs of one setting have in common, as a hash's first digits."""
    kept = {key: value for key, value in leaves(plain).items() if key not in _NO_SETTING}
    return text_hash([command, {key: value for key, value in kept.items() if not key.startswith("device.")}])[
        :8
    ]


def labels(command: str, plain: Mapping[str, Json]) -> tuple[str, ...]:
    """How people call a setting: command, base, speed, style, length and size."""
    flat = leaves(plain)
    loras = flat.get("style.loras")
    tags = str(flat.get("shot.prefix", "")).split("<lora:")[1:]
    named = [tag.partition(">")[0] for tag in tags]
    for lora in loras if isinstance(loras, list) else []:
        if isinstance(lora, dict):
            named.append(f"{lora.get('id')}:{lora.get('weight')}")
    seconds = f"{flat.get('shot.seconds')} s" if command == "video" else ""
    size = f"{flat.get('finish.width')}x{flat.get('finish.height')}"
    style = "+".join(named) or "plain"
    told = (command, str(flat.get("base.weights")), str(flat.get("speed.name")), style, seconds, size)
    return tuple(word for word in told if word)


def _group(runs: Sequence[Measured]) -> Group:
    newest, earlier = runs[0], runs[1 : 1 + LAST]
    return Group(
        setting=newest.setting,
        labels=newest.labels,
        runs=len(runs),
        seconds=_median([run.seconds for run in runs]),
        memory=_median([run.memory for run in runs]),
        score=_median([run.score for run in runs]),
        newest=newest.path,
        regressions=tuple(_regressions(newest, earlier)),
        advice=tuple(_advice(runs[:LAST])),
    )


def _regressions(newest: Measured, earlier: Sequence[Measured]) -> Iterable[Regression]:
    slow = "another load on the machine, or other libraries: pokora bench, pokora doctor"
    large = "pokora estimate tells what it should take"
    figures = (
        ("seconds", newest.seconds, [run.seconds for run in earlier], SLOWER, slow),
        ("memory", newest.memory, [run.memory for run in earlier], HEAVIER, large),
    )
    for what, now, before, share, advice in figures:
        usual, spread = _usual(before)
        if now is not None and usual is not None and now - usual > max(share * usual, SPREAD * spread):
            yield Regression(what=what, newest=now, usual=usual, advice=advice)
    usual, spread = _usual([run.score for run in earlier])
    if newest.score is not None and usual is not None and usual - newest.score > max(LOWER, SPREAD * spread):
        ways = _ways(newest.bad) or ["pokora score --against an earlier run"]
        yield Regression(what="score", newest=newest.score, usual=usual, advice=" or ".join(ways))


def _usual(values: Sequence[float | None]) -> tuple[float | None, float]:
    """Median and median absolute deviation; no median of too few."""
    known = [value for value in values if value is not None]
    if len(known) < FEWEST:
        return None, 0.0
    middle = statistics.median(known)
    return middle, statistics.median(abs(value - middle) for value in known)


def _advice(runs: Sequence[Measured]) -> list[str]:
    """What to type against the numbers that are bad in at least half of the runs."""
    counted = {metric.id: sum(metric.id in run.bad for run in runs) for metric in METRICS}
    return _ways([name for name, count in counted.items() if count and 2 * count >= len(runs)])


def _ways(bad: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(ADVICE[metric.group] for metric in METRICS if metric.id in bad))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _bad(card: Mapping[str, Json]) -> tuple[str, ...]:
    stages = [found for stage in STAGES if isinstance(found := card.get(stage), dict)]
    told = [verdicts for stage in stages if isinstance(verdicts := stage.get("verdicts"), dict)]
    return tuple({name: None for verdicts in told for name, verdict in verdicts.items() if verdict == "bad"})
