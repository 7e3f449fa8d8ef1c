"""A large frame through a network in overlapping tiles (MultiDiffusion, arXiv 2302.08113).

Shape suffixes: B videos in a batch, C channels, F frames, H W latent height and width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from pokora_anime.system.typed_tensors import Network
from pokora_anime.timeline.hires_plan import LATENT_SCALE

Added = dict[str, Tensor] | None  # what SDXL is told beside the text

OVERLAP = 4  # neighbouring tiles share at least 1 / OVERLAP of their side


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A part of a frame, in latents or pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, frames: Tensor) -> Tensor:
        """The part of frames [..., H, W]."""
        return frames[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def times(self, scale: int) -> Tile:
        """The same part of a frame that is `scale` times as large."""
        top, left, height, width = (scale * side for side in (self.top, self.left, self.height, self.width))
        return Tile(top=top, left=left, height=height, width=width)

    @property
    def weights_HW(self) -> Tensor:
        """How much each place counts: its distance from the tile's edge, along both sides."""
        down, across = (_ramp(side) for side in (self.height, self.width))
        return down[:, None] * across[None]


def cover(size: tuple[int, int], tile: tuple[int, int]) -> tuple[Tile, ...]:
    """Evenly spread tiles that cover a frame; sizes are height and width, in latents or in pixels."""
    height, width = (min(whole, part) for whole, part in zip(size, tile, strict=True))
    rows, columns = _starts(size[0], height), _starts(size[1], width)
    return tuple(Tile(top=y, left=x, height=height, width=width) for y, x in product(rows, columns))


class Tiled:
    """A motion UNet that sees one tile at a time; where tiles overlap, its predictions are averaged."""

    def __init__(self, unet: Network, tiles: tuple[Tile, ...]) -> None:
        self._unet, self._tiles = unet, tiles
        self.shares_text = getattr(unet, "shares_text", False)

    def __call__(
        self, latents_BCFHW: Tensor, timestep: Tensor, *, added_cond_kwargs: Added, **named: object
    ) -> tuple[Tensor]:
        """The prediction [B, C, F, H, W] in a tuple, as the network gives it."""
        total = torch.zeros_like(latents_BCFHW, dtype=torch.float32)
        weights = total.new_zeros(latents_BCFHW.shape[-2:])
        for tile in self._tiles:
            found = self._unet(
                tile.of(latents_BCFHW),
                timestep,
                added_cond_kwargs=_cropped(added_cond_kwargs, tile),
                **named,
            )[0]
            weight = tile.weights_HW.to(total)
            tile.of(total).add_(found.float() * weight)
            tile.of(weights).add_(weight)
        return (total / weights,)


def _cropped(added: Added, tile: Tile) -> Added:
    """SDXL's size conditions (original size, crop, shown size) of a tile of a larger frame."""
    if added is None:
        return None
    place = [LATENT_SCALE * side for side in (tile.top, tile.left, tile.height, tile.width)]
    sizes = added["time_ids"].clone()
    sizes[:, 2:] = sizes.new_tensor(place)
    return {**added, "time_ids": sizes}


def _starts(whole: int, part: int) -> list[int]:
    shared = part // OVERLAP
    count = 1 if whole <= part else -(-(whole - shared) // (part - shared))
    return [round(i * (whole - part) / max(1, count - 1)) for i in range(count)]


def _ramp(side: int) -> Tensor:
    place = torch.arange(1, side + 1, dtype=torch.float32)
    return torch.minimum(place, place.flip(0))
