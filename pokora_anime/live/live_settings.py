"""Settings of `pokora live`, typed as live.key=value, and what a session is. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pokora_anime.schema import settings_words
from pokora_anime.schema.field_laws import Law

PREFIX = "live."
FPS = 8  # generated frames of a second of the clip, as of nano's other clips
KNOWN = 2  # frames that a segment takes over from those before it
KEYFRAME_STEPS = 4  # of a look that is taken on while the clip goes on


class LiveRuntime(Enum):
    """What computes a live clip; auto takes OpenVINO where it is installed."""

    auto = "auto"
    torch = "torch"
    openvino = "openvino"


def _share(text: str) -> Law:
    return Law(text, low=0, high=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """How a live clip is computed and shown; the defaults are those of docs/live.md's tables."""

    steps: Annotated[int, Law("denoising steps of a segment (LCM)", low=1, high=4)] = 2
    size: Annotated[int, Law("side of a frame", low=256, high=512, multiple=64, unit="px")] = 256
    frames: Annotated[int, Law("frames of a segment, known ones included", low=8, high=16, multiple=4)] = 8
    fixed_noise: Annotated[float, _share("share of a frame's noise that all frames have in common")] = 0.75
    latent_feedback: Annotated[
        float, _share("how much a segment starts from the last latent in place of the look's in its poses")
    ] = 0.0
    smoothing: Annotated[
        float, Law("how much of a shown frame is the one before it, moved along", low=0, high=0.9)
    ] = 0.45
    seed: Annotated[int, Law("seed of the look and of the dance", low=0, high=2**31 - 1)] = 0
    runtime: Annotated[LiveRuntime, Law("what computes")] = LiveRuntime.auto
    threads: Annotated[int, Law("processor threads that generate; 0: all cores", low=0, high=256)] = 0

    @property
    def schedule(self) -> int:
        """Steps of the schedule whose last ones are computed: the first ones are left out, as the segment
        starts from the look in its poses."""
        return max(self.steps + 1, self.steps * 3 // 2)


def read(words: Sequence[str]) -> LiveConfig:
    """The settings from words. Raises ConfigError CFG-SYNTAX, CFG-KEY, CFG-TYPE, CFG-RANGE."""
    parts = (word.partition("=") for word in words)
    return settings_words.read(
        LiveConfig(), PREFIX, [f"{key}{equals}{text.strip()}" for key, equals, text in parts], "live"
    )
