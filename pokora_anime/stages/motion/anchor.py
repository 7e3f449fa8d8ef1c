"""The anchor: the keyframe, which every segment sees beside its own frames.

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pokora_anime.stages.motion.noise_levels import NoiseFloor, NoiseLevels
from pokora_anime.stages.motion.reference_attention import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The keyframe's latent [1, C, 1, H, W] as every segment sees it: as a frame of its own before the
    others (`frame` tells how), through reference attention, or both. It is no frame of what comes out.
    `steered`: whether maps that all frames share are its own.

    Attention never sees it noisier than at step `ahead`: at the first steps, which decide about colours,
    it would see nothing but noise.
    """

    latent: Tensor
    frame: NoiseFloor | None
    reference: Reference | None
    ahead: int
    levels: NoiseLevels
    steered: bool = True

    def at(self, step: int, noise_1CFHW: Tensor) -> AnchorAtStep:
        """The anchor as the network is to see it at a step, with the noise of the first frame."""
        later, noise = max(step, self.ahead), noise_1CFHW[:, :, :1]
        return AnchorAtStep(
            frame=self.frame.shown(step, self.latent, noise) if self.frame else None,
            reference=self.reference,
            picture=self.levels.noised(self.latent, noise, later),
            timestep=self.levels.scheduler.timesteps[later],
            steered=self.steered,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorAtStep:
    """An anchor at one step: `frame` stands before the others, `picture` at `timestep` is attended to."""

    frame: Tensor | None
    reference: Reference | None
    picture: Tensor
    timestep: Tensor
    steered: bool
