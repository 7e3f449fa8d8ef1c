"""The first shot's keyframe as those of later shots see it: its latent, attended to while they are drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pokora_anime.networks.schedulers import StepScheduler
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.stage_records import Keyframe
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.denoising.noise_levels import NoiseLevels
from pokora_anime.stages.denoising.reference_attention import Reference
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import Attending, from_array


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The latent [channels, height, width] of another shot's keyframe, and how much it counts."""

    latent: Tensor
    weight: float
    node: Node


def of(first: Keyframe, config: VideoConfig, context: RunContext) -> Identity:
    """What later shots are told of the first one's keyframe."""
    node = Node.after(
        [first.node],
        "likeness",
        {"size": [config.base.width, config.base.height], "likeness": config.keyframe.likeness},
        code=code_hash(sys.modules[__name__]),
        environment=environment(context),
    )
    stage = cached(node, lambda: {"latent": first.latent.numpy()}, context)
    return Identity(
        latent=from_array(stage.arrays["latent"]), weight=config.keyframe.likeness, node=stage.node
    )


class Seen:
    """An identity beside the picture that is drawn: at each step the network sees it as noisy as that."""

    def __init__(self, identity: Identity, unet: Attending, scheduler: StepScheduler, noise: Tensor) -> None:
        self._unet, self._processors = unet, dict(unet.attn_processors)
        self._reference = Reference(unet, identity.weight)
        self._levels, self._noise = NoiseLevels(scheduler=scheduler), noise
        self._latent = identity.latent[None].to(noise)

    def beside(
        self, ask: Callable[[Tensor, slice], Tensor], latents: Tensor, step: int, rows: slice
    ) -> Tensor:
        """What `ask` predicts for latents [1, C, H, W] at a step, its attention seeing the identity too."""
        picture = self._levels.noised(self._latent, self._noise, step)
        self._reference.learn((rows.start, rows.stop), float(step), lambda: ask(picture, rows))
        return self._reference.used(lambda: ask(latents, rows))

    def close(self) -> None:
        """The network as it was: other pictures are drawn by it."""
        self._unet.set_attn_processor(self._processors)
