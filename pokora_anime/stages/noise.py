"""The noise that denoising starts from: drawn on the CPU from the seed, kept as nodes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from pokora_anime.context import RunContext
from pokora_anime.provenance import noise as reference
from pokora_anime.provenance import view
from pokora_anime.provenance.code import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.view import Mix
from pokora_anime.records import Noise
from pokora_anime.stages import attempts
from pokora_anime.stages.attempts import names

CHANNELS = 4  # latent channels of the VAEs of SD2, SDXL and nano


def for_picture(names: tuple[str, int], context: RunContext) -> Noise:
    """The noise [channels, height, width] of the picture with this name: a keyframe or a still."""
    shape = (CHANNELS, *context.models.latent_size)
    derivation: dict[str, Json] = {"kind": "picture", "names": list[Json](names)}
    return _kept(shape, derivation, context, lambda: torch.randn(shape, generator=context.generator(*names)))


def common(mix: Mix, picture: tuple[int, int, int], span: range, generator: torch.Generator) -> Tensor:
    """What the frames of a span have in common: [C, F, H, W], or [C, 1, H, W] where it stands still."""
    if mix.camera is None:
        return torch.randn(picture, generator=generator)[:, None]
    canvas = torch.randn(view.canvas(picture), generator=generator).numpy()
    return torch.from_numpy(mix.camera.frames(canvas, span.start, len(span)))


def mixed(mix: Mix, common: Tensor, own: Tensor) -> Tensor:
    """Noise of unit variance."""
    return mix.share**0.5 * common + (1.0 - mix.share) ** 0.5 * own


def for_frames(start: int, frames: int, mix: Mix, context: RunContext, attempt: int = 0) -> Noise:
    """The noise [channels, frames, height, width] of clip frames start..start+frames, of unit variance.

    Each frame's noise depends on the run's seed and its place in the clip alone, so frames that two
    segments share start from the same noise; a further attempt at a segment has noise of its own.
    """
    height, width = context.models.latent_size
    derivation: dict[str, Json] = {"kind": "frames", "start": start, **mix.derivation()}
    if attempt:
        derivation["attempt"] = attempt
    shape = (CHANNELS, frames, height, width)
    return _kept(shape, derivation, context, lambda: base_noise(context, start, shape, mix, attempt))


def for_hires(start: int, frames: int, mix: Mix, size: tuple[int, int], context: RunContext) -> Noise:
    """As `for_frames`, for the second pass; `size`: height and width of its latents."""
    derivation: dict[str, Json] = {"kind": "hires", "start": start, **mix.derivation()}
    shape = (CHANNELS, frames, *size)
    return _kept(shape, derivation, context, lambda: base_noise(context, start, shape, mix, kind="hires"))


def base_noise(
    context: RunContext,
    start: int,
    shape: tuple[int, int, int, int],
    mix: Mix,
    attempt: int = 0,
    kind: str = "frames",
) -> Tensor:
    """As `for_frames`, without keeping it; `kind` as in a noise node's derivation."""
    channels, frames, height, width = shape
    picture, name = (channels, height, width), reference.NAMES[kind]
    span = range(start, start + frames)
    places = [names((name, frame), attempt) for frame in span]
    own = [torch.randn(picture, generator=context.generator(*place)) for place in places]
    shared = common(mix, picture, span, context.generator(name, reference.COMMON))
    return mixed(mix, shared, torch.stack(own, dim=1))


def _kept(
    shape: tuple[int, ...], derivation: dict[str, Json], context: RunContext, draw: Callable[[], Tensor]
) -> Noise:
    node = Node(
        op="noise",
        params={"seed": context.seed, "shape": list[Json](shape), "derivation": derivation},
        code=code_hash(sys.modules[__name__], attempts, view),
        environment=environment(context),
    )
    stored = context.folder.load(node)
    if stored is None:
        values = draw()
        return Noise(values=values, node=context.folder.save(node, {"noise": values.numpy()}))
    return Noise(values=torch.from_numpy(stored["noise"]), node=context.folder.recorded(node))
