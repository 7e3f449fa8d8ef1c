"""What to leave out of a prompt's pictures, from what is known and measured, and whether it is read at all.

Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.config.compose import compose
from pokora_anime.config.prompt_notes import guided
from pokora_anime.errors import ConfigError
from pokora_anime.history import run_statistics
from pokora_anime.prompt.prompt_attributes import asked_attributes, bare_text
from pokora_anime.prompt.unknown_words import unknown_words
from pokora_anime.provenance.hashing import Json
from pokora_anime.quality.metrics.metric_table import BY_ID, COLOR, CONTENT, FLICKER, PICTURE
from pokora_anime.schema.settings import Family, RunConfig, VideoConfig

CONTEST, MEASURED, BASE = "the contest's list", "measured", "known of the base"
LAST = 20  # runs that are looked at
# Words against what a group of the scorecard's numbers misses; joins and motion have none.
AGAINST: Mapping[str, tuple[str, ...]] = {
    COLOR: ("oversaturated", "washed out colors"),
    FLICKER: ("unstable shading", "flickering"),
    CONTENT: ("distorted face", "bad anatomy", "two heads"),
    PICTURE: ("blurry", "low detail"),
}
# What a base is known to draw unasked; of SDXL and SD2 as conf/negative/anime.yaml says it.
_ANIME = ("worst quality", "low quality", "jpeg artifacts", "signature", "bad hands", "extra fingers",
          "missing fingers", "cropped", "photo", "3d")  # fmt: skip
KNOWN: Mapping[Family, tuple[str, ...]] = {
    Family.nano: ("closed eyes", "open mouth"),
    Family.sdxl: _ANIME,
    Family.sd2: _ANIME,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Words with where each is from; `notes` tell how far they are read, `left_out` what the prompt asks."""

    words: Mapping[str, str]
    read: bool
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    runs: int

    @property
    def text(self) -> str:
        """As a negative prompt."""
        return ", ".join(self.words)

    def to_json(self) -> dict[str, Json]:
        """As `pokora negative suggest --json` prints it."""
        words: dict[str, Json] = dict(self.words)
        return {
            "negative": self.text,
            "words": words,
            "read": self.read,
            "notes": [*self.notes],
            "left_out": [*self.left_out],
            "runs": self.runs,
        }


def suggest(prompt: str, keys: Sequence[str], root: Path) -> Suggestion:
    """What to leave out of `prompt` with these keys of `pokora video`, by the runs below `root` too.

    Raises ConfigError, PromptError.
    """
    config = compose("video", [*keys, f"shot.prompt={prompt}"])
    found = dict.fromkeys(listed(compose("video", ["negative=contest"]).shot.negative), CONTEST)
    runs, missed = _missed(config, root)
    for name, count in missed.items():
        for word in AGAINST.get(BY_ID[name].group, ()):
            if found.get(word, "").startswith(MEASURED):
                continue
            found[word] = f"{MEASURED}: {BY_ID[name].title.lower()} bad in {count} of {runs} runs"
    for word in KNOWN[config.base.family]:
        found.setdefault(word, BASE)
    asked = bare_text(config.shot.prompt)
    wanted = set(asked_attributes(config.shot.prompt).values())
    refused = [word for word in found if word in wanted or word in asked]
    words = {word: why for word, why in found.items() if word not in refused}
    notes = [*reading(config), *_unknown(config, list(words))]
    return Suggestion(
        words=words,
        read=guided(config.speed),
        notes=tuple(notes),
        left_out=tuple(refused),
        runs=runs,
    )


def listed(text: str) -> list[str]:
    """The words of a negative prompt, each once."""
    return list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def require_read(config: RunConfig) -> None:
    """Raise ConfigError CFG-NEGATIVE where nothing would read a negative prompt."""
    if not guided(config.speed):
        raise ConfigError(
            "CFG-NEGATIVE",
            f"a negative prompt that is {reading(config)[0]}",
            expected="CFG above 1, which alone reads it",
            fix="speed=hq" if config.speed.guidance_scale <= 1 else "speed.guidance_end=1",
        )


def reading(config: RunConfig) -> list[str]:
    """How far the negative prompt is read, one line each; nothing where it is read in full."""
    speed = config.speed
    if not guided(config.speed):
        why = f"CFG {speed.guidance_scale:g}" if speed.guidance_scale <= 1 else "no step with CFG"
        return [f"not read: speed={speed.name} has {why}; speed=hq reads it"]
    notes: list[str] = []
    seen = isinstance(config, VideoConfig) and config.keyframe.enabled
    if seen and speed.clip_guidance_end <= speed.guidance_start:
        notes.append("read in the keyframe alone: speed.clip_guidance_end=0; 1 reads it in every frame")
    elif seen and speed.clip_guidance_end < speed.guidance_end:
        notes.append(f"read in frames up to {speed.clip_guidance_end:g} of the schedule")
    if speed.guidance_scale <= 2:
        notes.append(
            f"read faintly: CFG {speed.guidance_scale:g} (speed={speed.name}); speed=hq reads it more"
        )
    return notes


def _unknown(config: RunConfig, words: Sequence[str]) -> list[str]:
    if config.base.family is not Family.nano:
        return []
    strange = [word for word in words if unknown_words(word)]
    return [f"nano does not know, so that they change little: {', '.join(strange)}"] if strange else []


def _missed(config: RunConfig, root: Path) -> tuple[int, dict[str, int]]:
    """How many of the last runs at this base and speed there are, and in how many each number is bad."""
    wanted = ("video", config.base.weights, config.speed.name)
    mine: list[run_statistics.Measured] = []
    for run in run_statistics.measured(root):
        if run.labels[:3] == wanted and run.score is not None:
            mine.append(run)
        if len(mine) == LAST:
            break
    counted = {name: sum(name in run.bad for run in mine) for name in BY_ID}
    return len(mine), {name: count for name, count in counted.items() if count}
