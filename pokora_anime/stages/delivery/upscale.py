"""Frames larger than they were decoded, by nano's own network or by an open upscaler: no contest takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from pokora_anime.catalogue import finishing_networks
from pokora_anime.networks.finishing.pixels import to_frame, to_tensor
from pokora_anime.networks.finishing.upscaler import Upscaler
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import FinishConfig, RunConfig, Upscale
from pokora_anime.stages.motion.tiles import cover
from pokora_anime.stages.run_context import RunContext


def enlarged(frames: Iterator[Image], finish: FinishConfig, context: RunContext) -> Iterator[Image]:
    """The frames as the upscaler paints them, a repeated one once; as they are where none is asked for."""
    if finish.upscale is not Upscale.network:
        yield from frames
        return
    network = context.models.upscaler(finish.upscaler.model)
    seen: Image | None = None
    made: Image | None = None
    for frame in frames:
        if made is None or frame is not seen:
            with torch.inference_mode(), context.execution.turn():
                seen, made = frame, painted(frame, network, finish.upscaler.tile, context.device)
        yield made


def crisp(config: RunConfig, context: RunContext) -> Callable[[Image], Image] | None:
    """What draws a decoded frame three times as large where the config asks for it, else None.

    Its edges are still to be steepened, which is for the end: those of frames in between are softer.
    """
    if not finishing_networks.crisp(config):
        return None
    network = context.models.crisp()

    def drawn(frame: Image) -> Image:
        with torch.inference_mode(), context.autocast(), context.execution.turn():
            return network.larger(frame)

    return drawn


def weights(config: RunConfig, context: RunContext) -> dict[str, str]:
    """Hashes of what finishes frames beside the VAE, by role."""
    names = (wish.name for wish in finishing_networks.asked(config))
    return {role: digest for name in names for role, digest in context.models.weights_hash(name).items()}


def painted(frame: Image, network: Upscaler, tile: int, device: torch.device) -> Image:
    """A frame [h, w, 3], network.scale times larger: one tile at a time, averaged where they overlap."""
    height, width = frame.shape[:2]
    picture = to_tensor(frame, device)
    total = picture.new_zeros((1, 3, height * network.scale, width * network.scale))
    weights = total.new_zeros(total.shape[-2:])
    for part in cover((height, width), (tile, tile)):
        larger = part.times(network.scale)
        weight = larger.weights_HW.to(total)
        larger.of(total).add_(network(part.of(picture)) * weight)
        larger.of(weights).add_(weight)
    return to_frame(total[0] / weights)
