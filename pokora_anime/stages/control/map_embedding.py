"""What ControlNets see: a map for all frames or one a frame, embedded once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn


class Mapped(Protocol):
    """A ControlNet of diffusers, which types neither what it takes nor what it hands back."""

    controlnet_cond_embedding: Callable[[Tensor], Tensor]

    @property
    def config(self) -> Mapping[str, int]: ...

    def __call__(
        self, latents: Tensor, timestep: Tensor, /, **told: object
    ) -> tuple[list[Tensor], Tensor]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Embedded maps of one kind, [frames, channels, h, w]; a single one is that of every frame.

    `shown` [frames] is 0 for a frame that is not steered: its map shows nothing.
    """

    embedded: Tensor
    shown: Tensor

    @classmethod
    def of(cls, network: Mapped, maps: Tensor, dtype: torch.dtype) -> Self:
        """From a map [3, height, width] in 0..1 for all frames, or maps [frames, 3, height, width]."""
        if maps.dim() == 3:
            return cls(embedded=hint_embedding(network, maps, dtype), shown=maps.new_ones(1))
        # One at a time: the first layers work at the frame's full size.
        embedded = torch.cat([hint_embedding(network, one, dtype) for one in maps])
        return cls(embedded=embedded, shown=maps.flatten(1).any(dim=1).to(maps.dtype))

    @property
    def static(self) -> bool:
        """Whether all frames have the same map."""
        return self.embedded.shape[0] == 1

    def rows(self, count: int) -> Tensor:
        """The embeddings of `count` rows, each video's frames after those of the one before."""
        if self.static:
            return self.embedded.expand(count, -1, -1, -1)
        return self.embedded.repeat(count // self.embedded.shape[0], 1, 1, 1)

    def steered(self, count: int) -> Tensor:
        """`shown` of those rows."""
        return self.shown.repeat(count // self.shown.shape[0])

    def part(self, frames_K: Tensor) -> Hints:
        """Those of some of the frames."""
        return self if self.static else Hints(embedded=self.embedded[frames_K], shown=self.shown[frames_K])

    def led(self) -> Hints:
        """With one more frame before the others, which maps of single frames do not steer."""
        if self.static:
            return self
        return Hints(
            embedded=torch.cat([self.embedded[:1], self.embedded]),
            shown=torch.cat([torch.zeros_like(self.shown[:1]), self.shown]),
        )


class _Embedded(nn.Module):
    """Stands in for a ControlNet's hint embedding once the hint is embedded."""

    def forward(self, hint: Tensor) -> Tensor:
        return hint


def hint_embedding(network: Mapped, hint: Tensor, dtype: torch.dtype) -> Tensor:
    """A map's embedding [1, channels, h, w]; it depends on neither the timestep nor the latents."""
    with torch.inference_mode():
        return network.controlnet_cond_embedding(hint[None].to(dtype))


@contextmanager
def hint_embedded(network: Mapped) -> Generator[None, None, None]:
    """A ControlNet takes hints that are embedded already."""
    embedding = network.controlnet_cond_embedding
    network.controlnet_cond_embedding = _Embedded()
    try:
        yield
    finally:
        network.controlnet_cond_embedding = embedding
