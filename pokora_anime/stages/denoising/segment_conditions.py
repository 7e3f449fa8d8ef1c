"""What every segment's networks are told beside its latents, and how they see what is known."""

from __future__ import annotations

import torch
from torch import Tensor

from pokora_anime.provenance.stage_records import ImageEmbedding, Prompt
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.denoising.conditioning import Condition
from pokora_anime.stages.denoising.noise_levels import NoiseFloor, NoiseLevels, SharedNoise
from pokora_anime.stages.picture.initial_noise import CHANNELS
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline.segment_plan import Span


def condition(
    prompt: Prompt, size: tuple[int, int], context: RunContext, picture: ImageEmbedding | None = None
) -> Condition:
    """The prompt, and the frames' height and width in pixels for a base that is told them.

    `picture`: what an IP-Adapter sees beside the prompt.
    """
    device, dtype = context.device, context.models.dtype
    embeds = torch.stack([prompt.negative_embeds, prompt.embeds]).to(device, dtype)
    shown: Tensor | None = None
    if picture is not None:
        tokens = torch.stack([picture.negative_tokens, picture.tokens]).to(embeds)
        shown = torch.cat([embeds, tokens], dim=1)
    if prompt.pooled is None or prompt.negative_pooled is None:
        return Condition(embeds_BTD=embeds, pooled_BD=None, time_ids_BD=None, shown_BTD=shown)
    time_ids = torch.tensor([[*size, 0, 0, *size]], dtype=torch.float32).repeat(2, 1)
    pooled = torch.stack([prompt.negative_pooled, prompt.pooled])
    return Condition(
        embeds_BTD=embeds,
        pooled_BD=pooled.to(device, dtype),
        time_ids_BD=time_ids.to(device, dtype),
        shown_BTD=shown,
    )


def shared_noise(
    stage: str, latent_size: tuple[int, int], config: VideoConfig, context: RunContext
) -> SharedNoise | None:
    """The share of a stage's step noise that is common to all frames of the clip, if any."""
    if config.motion.step_share == 0.0:
        return None
    shape = (CHANNELS, *latent_size)
    return SharedNoise(
        share=config.motion.step_share,
        common=lambda step: torch.randn(shape, generator=context.generator(stage, "common", step)),
    )


def noise_floor(config: VideoConfig, context: RunContext) -> NoiseFloor:
    """How clean the networks see known frames."""
    levels = context.models.motion_scheduler(config.motion.betas)
    levels.set_timesteps(config.speed.steps, device=context.device)
    step = int(config.motion.known_ahead * config.speed.steps)
    return NoiseFloor(step=step, levels=NoiseLevels(scheduler=levels))


def middle(span: Span) -> float:
    """The clip index around which a segment's new frames lie; they all have the prompt of that place."""
    return span.start + span.known + span.fresh / 2
