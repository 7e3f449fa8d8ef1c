"""`sweep=search`: trials that Optuna asks for by the scores of those before it, laid out as a sweep."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from pokora_anime.cli.render import sweep
from pokora_anime.cli.render.sweep import Wishes
from pokora_anime.config.compose import compose
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import ConfigError, Interrupted, MachineError, PokoraError
from pokora_anime.provenance.run_layout import REPORTS
from pokora_anime.quality.metrics.metric_table import BY_ID, FINAL
from pokora_anime.quality.overall import OVERALL, overall
from pokora_anime.quality.scorecard import SCORECARD
from pokora_anime.schema.option_values import leaves
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import ContestConfig, VideoConfig

WORD = "sweep=search"
MOST_TRIALS = 200
RANDOM_FIRST = 4  # trials before the sampler has something to go by
# What is searched where nothing is typed to be.
SPACE = ("seed=range(0,32)", "speed.guidance_scale=interval(1,2)", "motion.step_share=interval(0,0.7)")
_LORA = re.compile(r"style\.weight\.([\w-]+)")


@dataclass(slots=True)
class Wish:
    """How to search: `search.trials`, `search.score` (several with commas), `search.seed`, `search.prune`."""

    trials: int = 12
    scores: tuple[str, ...] = (OVERALL,)
    seed: int = 0
    prune: bool = True
    sampler: str = "tpe"  # or random, to compare with


@dataclass(slots=True)
class Space:
    """What is searched by key: choices, ordered whole numbers, intervals; and the words of every trial."""

    choices: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    ranges: dict[str, tuple[int, int, int]] = field(default_factory=dict[str, tuple[int, int, int]])
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    fixed: list[str] = field(default_factory=list[str])


def folder_of(command: str, overrides: Sequence[str], root: Path) -> Path:
    """Where the search of these overrides lies."""
    return sweep.named(command, overrides, root)


def run(command: str, overrides: Sequence[str], root: Path, wishes: Wishes | None = None) -> int:
    """Search; prints one line a trial, the best one and the sweep's folder last. 1 if no trial finished.

    Raises ConfigError for what is no search, MachineError SYS-EXTRA without Optuna.
    """
    if find_spec("optuna") is None:
        raise MachineError(
            "SYS-EXTRA",
            f"{WORD} without the package optuna",
            expected="it in this environment: the base install leaves it out",
            fix="`pip install 'optuna>=4'`",
        )
    wish, words = wish_of(command, overrides)
    limits = _composed([word for word in words if "(" not in word and "," not in word]).contest
    space = bounded(space_of(command, words), limits)
    folder, wishes = folder_of(command, overrides, root), wishes or Wishes()
    with sweep.opened(folder, wishes, wish.trials):
        best = _search(wish, space, folder)
    status = sweep.report(folder, command, wishes)
    if best:
        print(f"best: {best}", file=sys.stderr)
    return status


def wish_of(command: str, overrides: Sequence[str]) -> tuple[Wish, list[str]]:
    """What is asked of the search, and the other words. Raises ConfigError CFG-KEY, CFG-RANGE."""
    wish, rest = Wish(), list[str]()
    if command != "video":
        raise ConfigError("CFG-OPTION", f"{WORD} in pokora {command}", expected="clips: only they are scored")
    for word in overrides:
        name, _, value = word.partition("=")
        if not name.startswith("search."):
            rest.append(word)
        elif name == "search.trials":
            wish.trials = _whole(name, value, 1, MOST_TRIALS)
        elif name == "search.seed":
            wish.seed = _whole(name, value, 0, 2**31 - 1)
        elif name == "search.prune":
            wish.prune = _one_of(name, value, ("true", "false")) == "true"
        elif name == "search.sampler":
            wish.sampler = _one_of(name, value, ("tpe", "random"))
        elif name == "search.score":
            wish.scores = tuple(_one_of(name, one, (OVERALL, *BY_ID)) for one in value.split(","))
        else:
            known = "search.trials, search.score, search.seed, search.prune, search.sampler"
            raise ConfigError("CFG-KEY", f"unknown key {name}", expected=known)
    return wish, rest


def _whole(name: str, value: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,10}", value) or not low <= int(value) <= high:
        raise ConfigError(
            "CFG-RANGE", f"{name}={value[:40]}", expected=f"{low} to {high}", fix=f"{name}={low}"
        )
    return int(value)


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError("CFG-RANGE", f"{name}={value[:40]}", expected="|".join(known))
    return value


def space_of(command: str, words: Sequence[str]) -> Space:
    """The search space that was typed in Hydra's grammar: `key=a,b`, `range(...)`, `interval(...)`.

    `style.weight.ROLE=interval(0.7,0.85)` searches a LoRA's weight. Raises ConfigError CFG-SYNTAX, CFG-SWEEP.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import IntervalSweep

    space, plain = Space(), [word for word in words if not _LORA.match(word)]
    ready = [*prepare(command, plain, multirun=True), *(word for word in words if _LORA.match(word))]
    parser = OverridesParser.create()
    for pass_words in (ready, SPACE):
        for one in parser.parse_overrides(list(pass_words)):
            key = one.key_or_group
            if not one.is_sweep_override():
                space.fixed.append(one.input_line or "")
            elif one.is_interval_sweep():
                value = cast(IntervalSweep, one.value())
                space.intervals[key] = (float(value.start or 0.0), float(value.end or 0.0))
            elif steps := _ordered(key, one.value()):
                space.ranges[key] = steps
            else:
                space.choices[key] = [str(option) for option in one.sweep_string_iterator()]
        if space.choices or space.ranges or space.intervals:
            break
    for key, (low, high) in space.intervals.items():
        if not low < high:
            raise ConfigError("CFG-SWEEP", f"{key}=interval({low:g},{high:g})", expected="a low below a high")
    return space


def _ordered(key: str, of: object) -> tuple[int, int, int] | None:
    """First, last and step of a range of whole numbers of which near ones are alike; seeds are not."""
    from hydra.core.override_parser.types import RangeSweep

    if not isinstance(of, RangeSweep):
        return None
    parts = (of.start or 0, of.stop, of.step)
    if key.rpartition(".")[2] == "seed" or not all(isinstance(part, int) for part in parts):
        return None
    numbers = range(*cast(tuple[int, int, int], parts))
    return (numbers[0], numbers[-1], numbers.step) if len(numbers) > 1 and numbers.step > 0 else None


def bounded(space: Space, limits: ContestConfig) -> Space:
    """The space within a contest's weights; what that changes is said on stderr."""
    for key, (low, high) in space.intervals.items():
        found = _LORA.fullmatch(key)
        bounds = limits.style_weights.get(found[1]) if found else None
        if bounds is not None:
            inside = (max(low, bounds.low), min(high, bounds.high))
            inside = inside if inside[0] < inside[1] else (bounds.low, bounds.high)
            if inside != (low, high):
                told = f"{inside[0]:g} to {inside[1]:g}"
                print(
                    f"{key}: {told} instead of {low:g} to {high:g}, as {limits.name} allows", file=sys.stderr
                )
            space.intervals[key] = inside
    return space


def _composed(words: Sequence[str]) -> VideoConfig:
    config = compose("video", [word for word in words if not _LORA.match(word)])
    assert isinstance(config, VideoConfig)
    return config


def _search(wish: Wish, space: Space, folder: Path) -> str:
    """Render the trials; the words of the best one by the first score, "" where none finished."""
    untyped: Any = import_module("optuna")  # an extra
    untyped.logging.set_verbosity(untyped.logging.WARNING)
    samplers = untyped.samplers
    sampler = (
        samplers.RandomSampler(seed=wish.seed)
        if wish.sampler == "random"
        else samplers.TPESampler(seed=wish.seed, n_startup_trials=RANDOM_FIRST)
    )
    ways = [_way(name) for name in wish.scores]
    study = untyped.create_study(
        directions=ways, sampler=sampler, pruner=untyped.pruners.MedianPruner(RANDOM_FIRST)
    )
    if wish.sampler != "random" and (usual := _usual(space)):
        study.enqueue_trial(usual)  # what would be rendered without a search is the first to beat
    done: list[tuple[float, list[str]]] = []
    for number in range(wish.trials):
        trial = study.ask()
        words = _asked(trial, space)
        prune = wish.prune and len(ways) == 1
        values = _trial(number, words, space, wish, folder, trial if prune else None)
        if values is None:
            pruned = untyped.trial.TrialState.PRUNED if prune else untyped.trial.TrialState.FAIL
            study.tell(trial, state=pruned)
        else:
            study.tell(trial, values)
            done.append((values[0] if ways[0] == "maximize" else -values[0], words))
    return " ".join(max(done)[1]) if done else ""


def _way(name: str) -> str:
    if name == OVERALL:
        return "maximize"
    return "maximize" if BY_ID[name].band(FINAL, "nano probe").higher else "minimize"


def _usual(space: Space) -> dict[str, str | int | float]:
    """The values that keys of the space have where nothing is searched, as far as they lie in it."""
    known = leaves(to_plain(_composed(with_weights([], space.fixed))))
    found: dict[str, str | int | float] = {}
    for key in (*space.choices, *space.ranges, *space.intervals):
        value = known.get(key)
        if key in space.choices and str(value) in space.choices[key]:
            found[key] = str(value)
        elif isinstance(value, int | float) and key in space.ranges:
            low, high, step = space.ranges[key]
            found |= {key: value} if value in range(low, high + 1, step) else {}
        elif isinstance(value, int | float) and key in space.intervals:
            low, high = space.intervals[key]
            found |= {key: float(value)} if low <= value <= high else {}
    return found


def _asked(trial: Any, space: Space) -> list[str]:
    """The trial's words: one value of each choice and interval."""
    words = [f"{key}={trial.suggest_categorical(key, options)}" for key, options in space.choices.items()]
    for key, (low, high, step) in space.ranges.items():
        words.append(f"{key}={trial.suggest_int(key, low, high, step=step)}")
    for key, (low, high) in space.intervals.items():
        words.append(f"{key}={trial.suggest_float(key, low, high):.4g}")
    return words


def with_weights(words: Sequence[str], fixed: Sequence[str]) -> list[str]:
    """Words whose style.weight.ROLE are the list of style LoRAs that they stand for."""
    weights = {found[1]: word.partition("=")[2] for word in words if (found := _LORA.match(word))}
    rest = [word for word in words if not _LORA.match(word)]
    if not weights:
        return [*fixed, *rest]
    known = _composed(fixed).style.loras
    listed = {one.id: f"{one.weight:g}" for one in known} | weights
    records = ",".join(f"{{id:{name},weight:{weight}}}" for name, weight in listed.items())
    return [*fixed, *rest, f"style.loras=[{records}]"]


def _trial(
    number: int, words: Sequence[str], space: Space, wish: Wish, folder: Path, trial: Any | None
) -> list[float] | None:
    """Render one trial and write its result; its scores, None where it failed or was pruned."""
    from pokora_anime.cli.judge import key
    from pokora_anime.jobs.render_job import render

    started, stopped = time.monotonic(), list[float]()
    result: dict[str, Any] = {"number": number, "overrides": [*space.fixed, *words]}

    def goes_on(score: float) -> bool:
        assert trial is not None
        trial.report(score, 0)
        if trial.should_prune():
            stopped.append(score)
        return not stopped

    values: list[float] | None = None
    try:
        config = compose("video", with_weights(words, space.fixed))
        result["prompt"] = config.shot.prompt
        worker = sweep.worker(folder)
        worker.label = f"trial {number} {' '.join(words)}"
        path = render(config, folder.parent.parent, "auto", worker, None if trial is None else goes_on)
        key.sign(path)
        result["path"], values = str(path), _scores(path, wish.scores)
        result["scores"] = dict(zip(wish.scores, values, strict=True))
    except Interrupted:
        if not stopped:
            raise
        result["error"] = f"pruned: its first segment scored {stopped[0]:.3f}"
    except PokoraError as error:
        result["error"] = error.line()
    sweep.write_result(folder, result, started)
    print(f"trial {number}: {result.get('error') or result['scores']}", file=sys.stderr)
    return values


def _scores(folder: Path, names: Sequence[str]) -> list[float]:
    """The scores of a finished run by name; raises ConfigError where one could not be measured."""
    card: Mapping[str, Any] = json.loads((folder / REPORTS / SCORECARD).read_text(encoding="utf-8"))
    found: list[float] = []
    for name in names:
        value = overall(card) if name == OVERALL else card[FINAL]["values"][name]
        if value is None:
            raise ConfigError(
                "CFG-RANGE", f"search.score={name}: {card[FINAL]['reasons'].get(name, 'nothing')}"
            )
        found.append(float(value))
    return found
