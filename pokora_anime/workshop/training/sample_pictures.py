"""Pictures of prompts at fixed seeds, by a base with a LoRA or without: what a training is looked at by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.networks.loader import Models
from pokora_anime.networks.schedulers import StepScheduler
from pokora_anime.schema.settings import RunConfig
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.guidance import combine
from pokora_anime.system.typed_tensors import Vae
from pokora_anime.workshop.training.training_base import TrainingBase

_PIXELS = 8 * 256 * 256  # of pictures that are drawn at once


@torch.no_grad()
def stills(
    base: TrainingBase, models: Models, config: RunConfig, prompts: Sequence[str], seeds: Sequence[int]
) -> NDArray[np.uint8]:
    """Pictures uint8 [N, height, width, 3], each from the noise of its own seed, at the config's speed."""
    parts: list[NDArray[np.uint8]] = []
    at_once = max(1, _PIXELS // (config.base.width * config.base.height))
    for start in range(0, len(prompts), at_once):
        rows = slice(start, start + at_once)
        latents = denoised(base, models, config, prompts[rows], seeds[rows])
        parts.append(decoded(models, base, latents))
    return np.concatenate(parts)


@torch.no_grad()
def denoised(
    base: TrainingBase, models: Models, config: RunConfig, prompts: Sequence[str], seeds: Sequence[int]
) -> Tensor:
    """Latents float32 [N, channels, height, width]."""
    unet, count = models.unet(), len(prompts)
    shape = (1, int(cast(Any, unet).config["in_channels"]), *models.latent_size)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    noise = torch.cat([torch.randn(shape, generator=one) for one in generators])
    size = (config.base.width, config.base.height)
    told = base.told([config.shot.negative] * count + list(prompts), size).arguments()
    alone = base.told(prompts, size).arguments()
    return guided_from(noise, (told, alone), unet, generators, base, models, config)


def guided_from(
    noise: Tensor,
    texts: tuple[dict[str, object], dict[str, object]],
    unet: object,
    generators: torch.Generator | Sequence[torch.Generator],
    base: TrainingBase,
    models: Models,
    config: RunConfig,
) -> Tensor:
    """Latents float32 of noise [N, ...], at the config's speed and guidance.

    `texts` are the UNet's arguments of negative prompts and prompts together, and of prompts alone.
    """
    told, alone = texts
    scheduler = models.scheduler()
    scheduler.set_timesteps(config.speed.steps, device=base.device)
    latents = noise.to(base.device) * scheduler.init_noise_sigma
    extra = {"generator": generators} if draws_noise(scheduler) else {}
    guidance = Guidance.of(config.speed)
    for step, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(latents, timestep).to(models.dtype)
        guided = guidance.on(step, config.speed.steps)
        given, rows = (torch.cat([scaled, scaled]), told) if guided else (scaled, alone)
        with base.autocast():
            predicted: Tensor = cast(Tensor, cast(Any, unet)(given, timestep, **rows)[0]).float()
        if guided:
            without, named = predicted.chunk(2)
            predicted = combine(without, named, guidance.scale)
        latents = scheduler.step(predicted, timestep, latents, return_dict=False, **extra)[0]
    return latents.float()


def decoded(models: Models, base: TrainingBase, latents: Tensor) -> NDArray[np.uint8]:
    """Pictures uint8 [N, height, width, 3] of latents [N, channels, height, width]."""
    vae = cast(Vae, models.vae())
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    with base.autocast():
        scaled = latents.to(vae.device, vae.dtype) / vae.config["scaling_factor"] + shift
        drawn = vae.decode(scaled, return_dict=False)[0].float()
    levels = (drawn * 127.5 + 127.5).nan_to_num().round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def draws_noise(scheduler: StepScheduler) -> bool:
    """Whether `step` takes generators (LCM draws fresh noise at every step)."""
    return "generator" in type(scheduler).step.__code__.co_varnames
