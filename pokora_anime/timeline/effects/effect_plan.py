"""An effect's feedback as numbers: how far each frame is from the last known one. Torch-free."""

from __future__ import annotations

from pokora_anime.schema.curves import value_at
from pokora_anime.schema.settings import Effect, VideoConfig
from pokora_anime.timeline import choreography_plan
from pokora_anime.timeline.effects import accents
from pokora_anime.timeline.segment_plan import Span

LEAST = 0.6  # share of the schedule that is skipped at least: from more noise the start is forgotten


def asked(config: VideoConfig) -> bool:
    """Whether segments start from a frame that something was done to."""
    return config.motion.effect is not Effect.none


def amounts(span: Span, config: VideoConfig) -> list[float]:
    """How far each frame of a segment is from its last known one: seconds times strength, 0 if known."""
    clock, found = accents.clock(config.shot, span.start + span.frames), [0.0] * span.frames
    track = config.timeline.effect
    for index in range(max(1, span.known), span.frames):
        frame = span.start + index
        strength = config.motion.effect_strength * value_at(track, frame, 1.0)
        found[index] = found[index - 1] + strength * (clock[frame] - clock[frame - 1])
    return found


def moved(span: Span, config: VideoConfig) -> list[float]:
    """The same where there is an effect, with a frame to start from and a strength; else nothing."""
    found = amounts(span, config) if asked(config) and span.known > 0 else []
    return found if any(found) else []


def skipped(config: VideoConfig) -> int:
    """How many steps such a segment leaves out: those of its other starts, and one at least."""
    steps = config.speed.steps
    before = max(int(config.motion.carry * steps), choreography_plan.skipped(config), int(LEAST * steps))
    return min(max(before, 1), steps - 1)
