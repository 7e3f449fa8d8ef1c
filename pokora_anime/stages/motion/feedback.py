"""The start of a segment under an effect: the last known latent, zoomed, turned or shifted on and on."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, exp, radians, sin

import torch
from torch import Tensor
from torch.nn import functional

from pokora_anime.schema.settings import Effect

# What an effect does in a second at strength 1.
ZOOM, TURN, SHIFT = 0.18, radians(20.0), 0.12  # logarithm of the growth, radians clockwise, frame widths


def fed_back(latent_CHW: Tensor, amounts: Sequence[float], effect: Effect) -> Tensor:
    """The latent after each amount (seconds times strength) of an effect: float32 [C, F, H, W].

    What comes in from beyond an edge is the picture mirrored there.
    """
    height, width = latent_CHW.shape[-2:]
    theta = torch.tensor([_affine(amount, effect, width / height) for amount in amounts])
    shown = latent_CHW.float().cpu()[None].expand(len(amounts), -1, -1, -1)
    grid = functional.affine_grid(theta, list(shown.shape), align_corners=False)
    moved = functional.grid_sample(
        shown, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return moved.transpose(0, 1).contiguous()


def _affine(amount: float, effect: Effect, aspect: float) -> list[list[float]]:
    """Where each place is fetched from, as rows of a map on -1 to 1; `aspect` is width by height."""
    if effect is Effect.zoom_feedback:
        shrink = exp(-ZOOM * amount)
        return [[shrink, 0.0, 0.0], [0.0, shrink, 0.0]]
    if effect is Effect.rotate_feedback:
        turn = TURN * amount
        return [[cos(turn), sin(turn) / aspect, 0.0], [-sin(turn) * aspect, cos(turn), 0.0]]
    shift = 2 * SHIFT * amount if effect is Effect.drift else 0.0
    return [[1.0, 0.0, shift], [0.0, 1.0, 0.0]]
