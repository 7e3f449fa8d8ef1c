"""The second pass as numbers: frame size, steps and spans. Needs no torch: verification counts again."""

from __future__ import annotations

from dataclasses import replace

from pokora_anime.schema.settings import Family, Upscale, VideoConfig
from pokora_anime.timeline import segment_plan
from pokora_anime.timeline.segment_plan import Span

LATENT_SCALE = 8  # pixels a side for one latent


def asked(config: VideoConfig) -> bool:
    """Whether the clip's latents are denoised a second time, larger."""
    return config.finish.upscale is Upscale.hires


def warning(config: VideoConfig) -> str:
    """What somebody who asks for it should know before it is computed; "" for nothing."""
    if not asked(config) or config.base.family is not Family.nano:
        return ""
    return "second pass: nano was trained on 256 pixels alone; larger frames come out broken"


def frame_size(config: VideoConfig) -> tuple[int, int]:
    """Height and width in pixels of the frames of the second pass, whole latents a side."""
    height, width = (
        max(1, round(side * config.finish.hires.scale / LATENT_SCALE)) * LATENT_SCALE
        for side in (config.base.height, config.base.width)
    )
    return height, width


def latent_size(config: VideoConfig) -> tuple[int, int]:
    """Height and width in latents of the frames of the second pass."""
    height, width = frame_size(config)
    return height // LATENT_SCALE, width // LATENT_SCALE


def decoded_size(config: VideoConfig) -> tuple[int, int]:
    """Height and width in pixels of the frames as they are decoded."""
    return frame_size(config) if asked(config) else (config.base.height, config.base.width)


def skipped(config: VideoConfig) -> int:
    """How many steps of the schedule are left out: the clip is noised to the next one's level."""
    steps = config.speed.steps
    return steps - max(1, round(config.finish.hires.strength * steps))


def steps(config: VideoConfig) -> int:
    """Steps of the second pass of one segment; 0 without it."""
    return config.speed.steps - skipped(config) if asked(config) else 0


def spans_of(config: VideoConfig, total: int) -> tuple[Span, ...]:
    """The segments of the second pass: the motion's, but nothing is known of the first one."""
    first, *later = segment_plan.of(config, total)
    return (replace(first, known=0), *later)
