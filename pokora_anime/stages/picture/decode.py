"""Latents to pictures, and pictures to the delivered size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import FinishConfig
from pokora_anime.stages.picture.retry_smaller import decode_with_less
from pokora_anime.stages.picture.sound_numbers import require_finite, require_picture
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import Vae


def decode_chunks(latents: Tensor, asked: int, context: RunContext) -> Iterator[Image]:
    """Latents [channels, frames, height, width] to pictures, at most `asked` at once, or as many as fit."""
    first = 0
    while first < latents.shape[1]:
        chunk = context.execution.chunk(asked)
        part = latents[:, first : first + chunk]
        made = decode_with_less(lambda part=part: list(decode(part, context)), chunk, context)
        if made is not None:
            if asked > 1:  # a single picture says nothing about a clip's chunks
                context.execution.decoded(chunk)
            first += len(made)
            yield from made


def decode(latents: Tensor, context: RunContext) -> Iterator[Image]:
    """Latents [channels, frames, height, width], decoded all at once, to pictures 8 times as large."""
    vae = cast(Vae, context.models.vae())
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    with torch.inference_mode(), context.autocast(), context.execution.turn():
        scaled = latents.transpose(0, 1).to(vae.device, vae.dtype) / vae.config["scaling_factor"] + shift
        decoded = vae.decode(scaled, return_dict=False)[0].float()
        require_finite(decoded, "decoding")
        levels = (decoded * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
    for frame in levels.permute(0, 2, 3, 1).contiguous().cpu().numpy():
        yield require_picture(frame, "decoding")


def fitted(frame: Image, finish: FinishConfig) -> Image:
    """The middle of a frame, `zoom` times enlarged and of the delivered shape, scaled to its size."""
    height, width = frame.shape[:2]
    scale = min(width / finish.width, height / finish.height) / finish.zoom
    cut_width, cut_height = (max(2, round(side * scale)) for side in (finish.width, finish.height))
    left, top = (width - cut_width) // 2, (height - cut_height) // 2
    cut = np.ascontiguousarray(frame[top : top + cut_height, left : left + cut_width])
    if cut.shape[:2] == (finish.height, finish.width):
        return cut
    kind = cv2.INTER_LANCZOS4 if cut_width < finish.width else cv2.INTER_AREA
    return np.asarray(cv2.resize(cut, (finish.width, finish.height), interpolation=kind), np.uint8)
