"""The sampler loop of one segment: known frames held, a denoiser asked, any scheduler stepped.

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pokora_anime.networks.schedulers import StepScheduler
from pokora_anime.stages.denoising.denoiser import Denoiser
from pokora_anime.stages.denoising.noise_levels import NoiseFloor, SharedNoise


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaining:
    """What a segment is tied to beside its known frames.

    `tail` [1, C, K, H, W] are known frames at its end; `floor` tells how the network sees known frames
    (none: as noisy as the others); the first `skip` steps are left out, and the denoising starts from
    `start` [1, C, F, H, W] (None: the last known frame), noised; `shared` is the noise of all segments.
    """

    tail: Tensor | None = None
    floor: NoiseFloor | None = None
    shared: SharedNoise | None = None
    skip: int = 0
    start: Tensor | None = None


ALONE = Chaining()


def sample(
    denoiser: Denoiser,
    scheduler: StepScheduler,
    noise: Tensor,
    known: Tensor | None,
    generator: torch.Generator,
    on_step: Callable[[Tensor], None] = lambda _: None,
    chaining: Chaining = ALONE,
) -> Tensor:
    """Denoise a segment [1, C, F, H, W] whose first K frames are known, or a picture [1, C, H, W].

    At each step the known frames are replaced with their selves noised to that step's level, or to that of
    a later one, by the very noise that the segment started from, so that the temporal layers see them as
    they will be; at the end they are put back exactly. `on_step` sees the frames as the step leaves them,
    without the noise that LCM draws anew; of a step that is left out what the denoising starts from.
    """
    steps = len(scheduler.timesteps)
    extra = {"generator": generator} if _draws_noise(scheduler) else {}
    latents = noise * scheduler.init_noise_sigma
    start = chaining.start
    if start is None and known is not None:
        start = known[:, :, -1:].expand_as(noise)
    if chaining.skip and start is not None:
        latents = scheduler.add_noise(start, noise, scheduler.timesteps[chaining.skip].reshape(1))
    for step, timestep in enumerate(scheduler.timesteps):
        if step < chaining.skip:
            on_step(latents if start is None else start)
            continue

        def noised(part: Tensor, noise: Tensor, at: Tensor = timestep) -> Tensor:
            return scheduler.add_noise(part, noise, at.reshape(1))

        latents = _held(latents, known, chaining.tail, noise, noised)
        scaled = scheduler.scale_model_input(latents, timestep)
        if chaining.floor is not None and chaining.floor.step > step:
            scaled = _held(scaled, known, chaining.tail, noise, partial(chaining.floor.shown, step))
        prediction = denoiser(scaled, step, noise)
        latents, *clean = scheduler.step(prediction, timestep, latents, return_dict=False, **extra)
        shown = clean[0] if clean else latents
        if clean and chaining.shared and step + 1 < steps:  # the same step, with noise of our own
            drawn = chaining.shared.drawn(step, latents, generator)
            latents = scheduler.add_noise(clean[0], drawn, scheduler.timesteps[step + 1].reshape(1))
        on_step(shown)
    return _held(latents, known, chaining.tail, noise, lambda part, _: part)


def _held(
    latents: Tensor,
    known: Tensor | None,
    tail: Tensor | None,
    noise: Tensor,
    noised: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Latents whose ends are the known frames, noised."""
    if known is not None:
        count = known.shape[2]
        latents = torch.cat([noised(known, noise[:, :, :count]), latents[:, :, count:]], dim=2)
    if tail is not None:
        count = tail.shape[2]
        latents = torch.cat([latents[:, :, :-count], noised(tail, noise[:, :, -count:])], dim=2)
    return latents


def _draws_noise(scheduler: StepScheduler) -> bool:
    """Whether `step` takes a generator (LCM draws fresh noise at every step)."""
    return "generator" in type(scheduler).step.__code__.co_varnames
