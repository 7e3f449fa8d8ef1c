"""Noise levels of a schedule: known frames as clean as the network is to see them, noise that frames share.

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from pokora_anime.networks.schedulers import StepScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLevels:
    """Pictures with the noise of any step, scaled as the network takes them; past the last step there is
    none. `scheduler` is one that makes no steps.
    """

    scheduler: StepScheduler

    def noised(self, picture: Tensor, noise: Tensor, step: int) -> Tensor:
        """The picture at a step, of the shape of the noise."""
        if step >= len(self.scheduler.timesteps):
            return picture
        timestep = self.scheduler.timesteps[step]
        fresh = copy(self.scheduler)  # some remember the first timestep that they scale for
        return fresh.scale_model_input(fresh.add_noise(picture, noise, timestep.reshape(1)), timestep)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """What is known of a clip is never shown noisier than at `step`."""

    step: int
    levels: NoiseLevels

    def shown(self, step: int, picture: Tensor, noise: Tensor) -> Tensor:
        """Known frames as the network is to see them at a step."""
        return self.levels.noised(picture, noise, max(step, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedNoise:
    """`share` of the variance of the noise that a stochastic sampler draws at each step is common to all
    frames of the clip; `common` gives that of a step, [C, H, W].
    """

    share: float
    common: Callable[[int], Tensor]

    def drawn(self, step: int, like_1CFHW: Tensor, generator: torch.Generator) -> Tensor:
        """The noise of a step."""
        own = torch.randn(like_1CFHW.shape, generator=generator)
        common = self.common(step)[None, :, None]
        return (self.share**0.5 * common + (1.0 - self.share) ** 0.5 * own).to(like_1CFHW)
