"""`sweep=draft_then_final`: what a draft takes of what is typed, and what is rendered afterwards. Torch-free.

A draft shows what its final shows and costs a fraction: it has the typed sampler and LoRAs, fewer seconds,
steps and pixels, and one attempt at everything. What is typed of these is for the finals, unless it is swept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pokora_anime.jobs import sweep_jobs
from pokora_anime.schema.settings import Upscale, VideoConfig

WORD = "sweep=draft_then_final"
SECONDS = 2.0  # of a draft, at most
SIDE = 384  # pixels of its longer side, at most
FEWEST_STEPS = 4
STEPS = 0.4  # share of a final's steps; the few-step samplers still draw, and DPM++ still shows what it will


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """`words`: what is typed for the drafts; `told`: a line about them; `config`: the first one's final.

    `own`: what drafts have of their own, by key, and `typed` the words for these keys that are the finals'.
    """

    words: list[str]
    told: str
    config: VideoConfig
    own: Mapping[str, str]
    typed: list[str]

    def final(self, overrides: Sequence[str]) -> list[str]:
        """The words of a draft's job as those of its final: without what made it a draft."""
        return [*(word for word in overrides if _key(word) not in (*self.own, "sweep")), *self.typed]


def of(command: str, typed: Sequence[str]) -> Drafts:
    """The drafts of a sweep's words. Raises ConfigError, PromptError for words that make no clip."""
    plain = [word for word in typed if word != WORD]
    final = sweep_jobs.first(command, plain)
    assert isinstance(final, VideoConfig)
    swept = {_key(word) for word in plain if sweep_jobs.several(command, word)}
    own = {key: value for key, value in _values(final).items() if key not in swept}
    if "speed" in swept:  # each speed has steps of its own
        own.pop("speed.steps", None)
    words = [word for word in typed if _key(word) not in own]
    return Drafts(
        words=[*words, *(f"{key}={value}" for key, value in own.items())],
        told=f"drafts: {_size(own)}; the best by overall score are rendered as typed",
        config=final,
        own=own,
        typed=[word.lstrip("+") for word in plain if _key(word) in own],
    )


def _values(final: VideoConfig) -> dict[str, str]:
    """What a draft has of its own, by key."""
    finish = final.finish
    share = min(1.0, SIDE / max(finish.width, finish.height))
    size = [2 * max(8, round(side * share / 2)) for side in (finish.width, finish.height)]
    steps = max(FEWEST_STEPS, math.ceil(STEPS * final.speed.steps))
    found = {
        "shot.seconds": f"{min(SECONDS, final.shot.seconds):g}",
        "speed.steps": str(min(steps, final.speed.steps)),
        "finish.width": str(size[0]),
        "finish.height": str(size[1]),
        "finish.upscale": Upscale.lanczos.value,
        "best_of": "1",
        "quality.reroll": "0",
    }
    if final.shots:  # each shot says how long it is
        del found["shot.seconds"]
    return found


def _size(own: Mapping[str, str]) -> str:
    """The numbers of drafts that are told."""
    told = {"shot.seconds": "{} s", "speed.steps": "{} steps", "finish.width": "{} pixels wide"}
    return ", ".join(words.format(own[key]) for key, words in told.items() if key in own) or "as swept"


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]
