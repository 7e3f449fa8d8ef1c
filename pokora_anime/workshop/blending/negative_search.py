"""`pokora negative tune`: which of the suggested words help, searched on the score of stills."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image as Pictures

from pokora_anime.provenance.hashing import text_hash
from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.workshop.blending import negative_words
from pokora_anime.workshop.blending.paired_noise import LEAST, Paired, paired
from pokora_anime.workshop.blending.trial_stills import FRESH_SEEDS, Looked, TrialStills

SHOWN = 6  # seeds on the sheet
_RANDOM_FIRST = 5
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt, more keys of `pokora stills`, and how long to search."""

    prompt: str
    words: tuple[str, ...]
    trials: int
    seeds: int
    root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The negative prompt at the start and the best one, how they compare, and the sheet of both."""

    start: str
    best: str
    compared: Paired | None
    sheet: Path | None


def tune(asked: Asked, tell: Tell) -> Found:
    """Search subsets of what is suggested and what is there. Raises ConfigError, WeightsError."""
    suggested = negative_words.suggest(asked.prompt, _known(asked.words), asked.root)
    trials = TrialStills([*asked.words, f"shot.prompt={asked.prompt}"])
    start = negative_words.listed(trials.config.shot.negative)
    candidates = list(dict.fromkeys([*start, *suggested.words]))
    seeds = range(trials.config.seed, trials.config.seed + asked.seeds)
    cache: dict[tuple[str, ...], float] = {}

    def score(words: Sequence[str]) -> float:
        key = tuple(words)
        if key not in cache:
            cache[key] = trials.look(seeds, negative=", ".join(words)).mean
        return cache[key]

    tell(f"start: {score(start):.4f}: {', '.join(start) or 'none'}")
    if score(start) >= 1 - LEAST:
        tell("that is the full score: nothing could be better by more than noise")
        return Found(start=", ".join(start), best=", ".join(start), compared=None, sheet=None)
    search = _by_optuna if find_spec("optuna") is not None else _by_flips
    search(candidates, start, asked.trials, score, tell)
    best = list(max(cache, key=lambda words: (cache[words], -len(words))))
    if best == start:
        return Found(start=", ".join(start), best=", ".join(start), compared=None, sheet=None)
    first = trials.config.seed + FRESH_SEEDS
    fresh = range(first, first + max(2, 3 * asked.seeds))
    before, after = (trials.look(fresh, negative=", ".join(words)) for words in (start, best))
    sheet = _sheet(asked, (before, after), fresh)
    return Found(
        start=", ".join(start),
        best=", ".join(best),
        compared=paired(before.scores, after.scores),
        sheet=sheet,
    )


def _known(words: Sequence[str]) -> list[str]:
    """The keys that a clip has too: `count` is of stills alone."""
    return [word for word in words if not word.startswith("count=")]


def _by_optuna(
    candidates: Sequence[str],
    start: Sequence[str],
    count: int,
    score: Callable[[Sequence[str]], float],
    tell: Tell,
) -> None:
    """Optuna's TPE over which of the words are there; the start is its first trial."""
    untyped: Any = import_module("optuna")  # an extra
    untyped.logging.set_verbosity(untyped.logging.WARNING)
    sampler = untyped.samplers.TPESampler(seed=0, n_startup_trials=_RANDOM_FIRST)
    study = untyped.create_study(direction="maximize", sampler=sampler)
    names = {f"w{index}": word for index, word in enumerate(candidates)}
    study.enqueue_trial({name: word in start for name, word in names.items()})
    for number in range(count):
        trial = study.ask()
        words = [word for name, word in names.items() if trial.suggest_categorical(name, [True, False])]
        found = score(words)
        study.tell(trial, found)
        tell(f"trial {number}: {found:.4f}: {', '.join(words) or 'none'}")


def _by_flips(
    candidates: Sequence[str],
    start: Sequence[str],
    count: int,
    score: Callable[[Sequence[str]], float],
    tell: Tell,
) -> None:
    """Without Optuna: the best so far with one word more or less, words in an order drawn once."""
    tell("one word at a time: `pip install 'optuna>=4'` searches all of them together")
    order = list(candidates)
    random.Random(0).shuffle(order)
    best = list(start)
    for number in range(count):
        word = order[number % len(order)]
        tried = [one for one in candidates if (one in best) != (one == word)]
        found = score(tried)
        tell(f"trial {number}: {found:.4f}: {'without' if word in best else 'with'} {word}")
        if found > score(best):
            best = tried


def _sheet(asked: Asked, looked: tuple[Looked, Looked], seeds: range) -> Path:
    """Before above, after below, the same seeds."""
    frames = [picture for one in looked for picture in one.pictures[:SHOWN]]
    columns = min(SHOWN, len(seeds))
    labels = [
        f"{when}, seed {seed}: {score:.3f}"
        for when, one in zip(("before", "after"), looked, strict=True)
        for seed, score in list(zip(seeds, one.scores, strict=True))[:SHOWN]
    ]
    path = asked.root / "negative" / f"{text_hash([asked.prompt, *asked.words])[:12]}.png"
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        Pictures.fromarray(contact_sheet(frames, columns, labels)).save(path)
    return path
