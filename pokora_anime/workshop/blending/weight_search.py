"""`pokora style tune`: a blend's weights searched on the score of stills, within a contest's bounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pokora_anime.catalogue.registry_row import Row
from pokora_anime.errors import ConfigError
from pokora_anime.rules import contest_limits
from pokora_anime.schema.own_styles import Blend
from pokora_anime.schema.settings import ContestConfig, LoraConfig
from pokora_anime.workshop.blending import blend_files, blend_preview, blend_weights
from pokora_anime.workshop.blending.blend_weights import Wish
from pokora_anime.workshop.blending.paired_noise import Paired, paired
from pokora_anime.workshop.blending.trial_stills import FRESH_SEEDS, TrialStills

SEED = 0  # of the points that are drawn where there are three LoRAs
_TRIES = 20_000
Weights = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How to search: more keys of `pokora stills`, blends besides the start, and seeds for each."""

    words: tuple[str, ...]
    trials: int
    seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The start, the best blend, how they compare, and what was kept: nothing that is no better."""

    start: Blend
    best: Blend
    compared: Paired | None
    kept: Blend | None

    def lines(self) -> list[str]:
        """The result."""
        if self.compared is None:
            return [f"best: {self.best.said}, which is the start: nothing kept"]
        lines = [f"start: {self.start.said}", f"best: {self.best.said}", self.compared.line()]
        if self.kept is None:
            how = f"pokora style blend {self.start.said} --name {self.start.name}"
            return [*lines, f"nothing kept; the start all the same: {how} --contest {self.start.contest}"]
        return [*lines, f"kept: style={self.kept.name}"]


def tune(words: Sequence[str], wish: Wish, asked: Asked, tell: Callable[[str], None]) -> Found:
    """Search from the weights that were typed on. Raises ConfigError CFG-STYLE, WeightsError."""
    blend_weights.check_name(wish.name, replace=wish.replace)
    limits = contest_limits.load(wish.contest)
    typed = blend_weights.weighted(words, wish)
    start = blend_weights.made(typed, wish, limits)
    rows = [row for row, _ in typed]
    points = feasible(rows, limits, asked.trials)
    if not points:
        raise ConfigError(
            "CFG-STYLE",
            f"one weight alone: {start.said}",
            expected="two or three LoRAs, whose weights leave a choice",
            fix=blend_weights.EXAMPLE.replace("blend", "tune"),
        )
    trials = TrialStills([f"base={wish.base.value}", "style=none", *asked.words])
    seeds = range(trials.config.seed, trials.config.seed + asked.seeds)
    first: Weights = tuple(weight for _, weight in typed)
    scored: list[tuple[float, Weights]] = []
    for number, point in enumerate([first, *(one for one in points if one != first)]):
        mean = trials.look(seeds, loras=_loras(rows, point)).mean
        scored.append((mean, point))
        tell(f"trial {number}: {_said(rows, point)}: {mean:.4f}")
    best = max(scored)[1]
    chosen = blend_weights.made(list(zip(rows, best, strict=True)), wish, limits)
    if best == first:
        return Found(start=start, best=start, compared=None, kept=None)
    compared = _compared(trials, rows, (first, best), 2 * asked.seeds)
    kept = None
    if compared.better:
        scores = {"before": round(compared.before, 4), "after": round(compared.after, 4)}
        kept = replace(chosen, scores=scores)
        blend_files.keep(kept)
        tell(f"preview: {blend_preview.drawn(trials, kept)}")
    return Found(start=start, best=chosen, compared=compared, kept=kept)


def _compared(
    trials: TrialStills, rows: Sequence[Row], points: tuple[Weights, Weights], count: int
) -> Paired:
    """The best against the start on seeds that chose neither."""
    first = trials.config.seed + FRESH_SEEDS
    seeds = range(first, first + max(2, count))
    before, after = (trials.look(seeds, loras=_loras(rows, point)).scores for point in points)
    return paired(before, after)


def feasible(rows: Sequence[Row], limits: ContestConfig, count: int) -> list[Weights]:
    """Up to `count` weights within a contest's bounds that sum to 1, spread over all there are.

    None for a single LoRA. Two LoRAs lie on a line, three on a triangle, where points are drawn.
    """
    bounds = [blend_weights.bounds_of(row, limits) for row in rows]
    if len(rows) == 2:
        low = max(bounds[0][0], 1 - bounds[1][1], 0.01)
        high = min(bounds[0][1], 1 - bounds[1][0], 0.99)
        if high <= low:
            return []
        steps = [low + (high - low) * index / max(1, count - 1) for index in range(count)]
        return [(round(step, 3), round(1 - round(step, 3), 3)) for step in steps]
    drawn = random.Random(SEED)
    found: list[Weights] = []
    for _ in range(_TRIES if len(rows) == 3 else 0):
        first, second = (drawn.uniform(max(0.01, low), high) for low, high in bounds[:2])
        point = (round(first, 3), round(second, 3), round(1 - round(first, 3) - round(second, 3), 3))
        if max(0.01, bounds[2][0]) <= point[2] <= bounds[2][1]:
            found.append(point)
        if len(found) == count:
            break
    return found


def _loras(rows: Sequence[Row], point: Weights) -> list[LoraConfig]:
    return [LoraConfig(id=blend_weights.named(row), weight=w) for row, w in zip(rows, point, strict=True)]


def _said(rows: Sequence[Row], point: Weights) -> str:
    return " ".join(f"{blend_weights.named(row)}={w:g}" for row, w in zip(rows, point, strict=True))
