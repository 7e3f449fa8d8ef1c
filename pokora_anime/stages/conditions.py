"""What every segment's networks are told beside its latents, and how they see what is known."""

from __future__ import annotations

from typing import Any

import torch

from pokora_anime.config import camera
from pokora_anime.config.schema import VideoConfig
from pokora_anime.context import RunContext
from pokora_anime.records import Prompt
from pokora_anime.stages import spans
from pokora_anime.stages.denoise import Ahead, Condition, Levels, SharedNoise
from pokora_anime.stages.noise import CHANNELS, common
from pokora_anime.stages.spans import Span


def condition(prompt: Prompt, size: tuple[int, int], context: RunContext) -> Condition:
    """The prompt, and the frames' height and width in pixels for a base that is told them."""
    device, dtype = context.device, context.models.dtype
    embeds = torch.stack([prompt.negative_embeds, prompt.embeds]).to(device, dtype)
    if prompt.pooled is None or prompt.negative_pooled is None:
        return Condition(embeds_BTD=embeds, pooled_BD=None, time_ids_BD=None)
    time_ids = torch.tensor([[*size, 0, 0, *size]], dtype=torch.float32).repeat(2, 1)
    pooled = torch.stack([prompt.negative_pooled, prompt.pooled])
    return Condition(
        embeds_BTD=embeds, pooled_BD=pooled.to(device, dtype), time_ids_BD=time_ids.to(device, dtype)
    )


def shared_noise(
    stage: str, span: Span, latent_size: tuple[int, int], config: VideoConfig, context: RunContext
) -> SharedNoise | None:
    """What a segment's frames have in common of a stage's step noise, if anything."""
    mix, shape = camera.mix(config.motion.step_share, config), (CHANNELS, *latent_size)
    if mix.share == 0.0:
        return None
    frames = range(span.start, span.start + spans.drawn(span, config))
    return SharedNoise(
        mix=mix, common=lambda step: common(mix, shape, frames, context.generator(stage, "common", step))
    )


def ahead_of(config: VideoConfig, context: RunContext) -> Ahead:
    """How clean the networks see known frames."""
    levels: Any = context.models.motion_scheduler(config.motion.betas)
    levels.set_timesteps(config.speed.steps, device=context.device)
    return Ahead(step=int(config.motion.known_ahead * config.speed.steps), levels=Levels(scheduler=levels))


def middle(span: Span) -> float:
    """The clip index around which a segment's new frames lie; they all have the prompt of that place."""
    return span.start + span.known + span.fresh / 2
