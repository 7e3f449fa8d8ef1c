"""Clips of prompts at fixed seeds, by a base with a motion LoRA or without: what one is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.networks.loader import Models
from pokora_anime.schema.settings import RunConfig
from pokora_anime.workshop.training.sample_pictures import decoded, guided_from
from pokora_anime.workshop.training.training_base import TrainingBase


@torch.no_grad()
def clips(
    base: TrainingBase,
    models: Models,
    config: RunConfig,
    prompts: Sequence[str],
    seeds: Sequence[int],
    frames: int,
) -> NDArray[np.uint8]:
    """Clips uint8 [N, frames, height, width, 3], each from the noise of its own seed, with no poses planned
    and no keyframe: what the motion adapter does of itself."""
    found: list[NDArray[np.uint8]] = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        latents = _denoised(base, models, config, prompt, seed, frames)
        found.append(decoded(models, base, latents[0].transpose(0, 1)))
    return np.stack(found)


def _denoised(
    base: TrainingBase, models: Models, config: RunConfig, prompt: str, seed: int, frames: int
) -> Tensor:
    """Latents float32 [1, channels, frames, height, width]."""
    unet = models.motion_unet()
    height, width = models.latent_size
    shape = (1, int(cast(Any, unet).config["in_channels"]), frames, height, width)
    generator = torch.Generator("cpu").manual_seed(seed)
    share = config.base.noise_share
    own, common = (torch.randn(shape, generator=generator) for _ in range(2))
    noise = share**0.5 * common[:, :, :1] + (1 - share) ** 0.5 * own
    size = (config.base.width, config.base.height)
    told = base.told([config.shot.negative, prompt], size).of_clips(frames).arguments()
    alone = base.told([prompt], size).of_clips(frames).arguments()
    return guided_from(noise, (told, alone), unet, generator, base, models, config)
