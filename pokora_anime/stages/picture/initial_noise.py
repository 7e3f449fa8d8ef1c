"""The noise that denoising starts from: drawn on the CPU from the seed, kept as nodes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from pokora_anime.provenance import seed_noise
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.stage_records import Noise
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.motion import reroll
from pokora_anime.stages.motion.reroll import names
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array

CHANNELS = 4  # latent channels of the VAEs of SD2, SDXL and nano


def for_picture(names: tuple[str, int], context: RunContext) -> Noise:
    """The noise [channels, height, width] of the picture with this name: a keyframe or a still."""
    shape = (CHANNELS, *context.models.latent_size)
    derivation: dict[str, Json] = {"kind": seed_noise.OF_PICTURE, "names": list[Json](names)}
    return _kept(shape, derivation, context, lambda: torch.randn(shape, generator=context.generator(*names)))


def for_frames(start: int, frames: int, share: float, context: RunContext, attempt: int = 0) -> Noise:
    """The noise [channels, frames, height, width] of clip frames start..start+frames, of unit variance.

    Each frame's noise depends on the run's seed and its place in the clip alone, so frames that two
    segments share start from the same noise; a further attempt at a segment has noise of its own.
    `share` of the variance is common to all frames.
    """
    height, width = context.models.latent_size
    derivation: dict[str, Json] = {"kind": seed_noise.OF_FRAMES, "start": start, "share": share}
    if attempt:
        derivation["attempt"] = attempt
    shape = (CHANNELS, frames, height, width)
    return _kept(shape, derivation, context, lambda: base_noise(context, start, shape, share, attempt))


def for_hires(start: int, frames: int, share: float, size: tuple[int, int], context: RunContext) -> Noise:
    """As `for_frames`, for the second pass; `size`: height and width of its latents."""
    derivation: dict[str, Json] = {"kind": seed_noise.OF_HIRES, "start": start, "share": share}
    shape = (CHANNELS, frames, *size)
    return _kept(
        shape, derivation, context, lambda: base_noise(context, start, shape, share, kind=seed_noise.OF_HIRES)
    )


def base_noise(
    context: RunContext,
    start: int,
    shape: tuple[int, int, int, int],
    share: float,
    attempt: int = 0,
    kind: str = seed_noise.OF_FRAMES,
) -> Tensor:
    """As `for_frames`, without keeping it; `kind` as in a noise node's derivation."""
    channels, frames, height, width = shape
    picture, name = (channels, height, width), seed_noise.NAMES[kind]
    common = torch.randn(picture, generator=context.generator(name, seed_noise.COMMON))
    places = [names((name, start + i), attempt) for i in range(frames)]
    own = [torch.randn(picture, generator=context.generator(*place)) for place in places]
    return torch.stack([share**0.5 * common + (1.0 - share) ** 0.5 * noise for noise in own], dim=1)


def _kept(
    shape: tuple[int, ...], derivation: dict[str, Json], context: RunContext, draw: Callable[[], Tensor]
) -> Noise:
    node = Node(
        op="noise",
        params={"seed": context.seed, "shape": list[Json](shape), "derivation": derivation},
        code=code_hash(sys.modules[__name__], reroll),
        environment=environment(context),
    )
    stage = cached(node, lambda: {"noise": draw().numpy()}, context)
    return Noise(values=from_array(stage.arrays["noise"]), node=stage.node)
