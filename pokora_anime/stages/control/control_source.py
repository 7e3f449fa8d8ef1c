"""A ControlNet with its maps, and the residuals that it hands to the UNet.

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
from torch import Tensor

from pokora_anime.networks.repeat_text_per_frame import told
from pokora_anime.stages.control.map_embedding import Hints, Mapped, hint_embedded
from pokora_anime.stages.denoising.conditioning import Condition
from pokora_anime.system.typed_tensors import unflatten


class ControlSource:
    """A ControlNet with its maps, whose embeddings are computed once.

    `hint` [3, height, width] in 0..1 is a static map for all frames, or [frames, 3, height, width] those of
    each frame, of which one that shows nothing leaves its frame alone. `frame_weight_F` scales the residuals
    of each frame, and so does `fading` [frames] where this source has its own; the ControlNet acts on the
    steps whose share lies in [start, end).
    """

    def __init__(
        self,
        network: Mapped,
        hint: Tensor,
        *,
        scale: float,
        start: float,
        end: float,
        dtype: torch.dtype,
        fading: Tensor | None = None,
    ) -> None:
        self.network, self.scale, self.start, self.end = network, scale, start, end
        self.hints, self.fading = (Hints.of(network, hint, dtype),), fading

    def led(self) -> Self:
        """The same source where one more frame, the keyframe's, stands before the others."""
        if self.fading is None and all(hints.static for hints in self.hints):
            return self
        other = copy(self)
        other.hints = tuple(hints.led() for hints in self.hints)
        if self.fading is not None:
            other.fading = torch.cat([torch.ones_like(self.fading[:1]), self.fading])
        return other

    @property
    def together(self) -> bool:
        """Whether it computes all frames or none: compiled blocks would be compiled for another number."""
        return getattr(self.network, "compiled_blocks", False)

    def acting(self, weight_F: Tensor) -> Tensor:
        """The indices of the frames to compute: those that it does anything to."""
        acting_K = (weight_F * self._steered(weight_F.shape[0])).nonzero()[:, 0]
        if self.together and len(acting_K):
            return torch.arange(weight_F.shape[0], device=weight_F.device)
        return acting_K

    def part(self, frames_K: Tensor) -> Self:
        """The same source for some of the frames."""
        if self.fading is None and all(hints.static for hints in self.hints):
            return self
        other = copy(self)
        other.hints = tuple(hints.part(frames_K) for hints in self.hints)
        other.fading = None if self.fading is None else self.fading[frames_K]
        return other

    def _steered(self, count: int) -> Tensor:
        """How much each of those rows is steered, [N]: not at all where none of its maps shows anything."""
        shown_N = torch.stack([hints.steered(count) for hints in self.hints]).amax(dim=0)
        if self.fading is None:
            return shown_N
        return shown_N * self.fading.to(shown_N).repeat(count // self.fading.shape[0])

    def weighted(self, residuals: Sequence[Tensor], weight_N: Tensor) -> list[Tensor]:
        """Residuals [N, ...] scaled for each frame; a frame none of whose maps shows anything gets none."""
        weight = (self.scale * weight_N * self._steered(weight_N.shape[0])).view(-1, 1, 1, 1)
        return [residual * weight.to(residual.dtype) for residual in residuals]

    def residuals(
        self,
        latents_NCHW: Tensor,
        timestep: Tensor,
        embeds_MTD: Tensor,
        added: dict[str, Tensor] | None,
        weight_N: Tensor,
    ) -> list[Tensor]:
        """Down residuals followed by the mid residual, each [N, ...], weighted per frame."""
        with hint_embedded(self.network):
            down, mid = self.network(
                latents_NCHW,
                timestep,
                encoder_hidden_states=embeds_MTD,
                controlnet_cond=self.hints[0].rows(latents_NCHW.shape[0]),
                conditioning_scale=1.0,
                added_cond_kwargs=added,
                return_dict=False,
            )
        return self.weighted((*down, mid), weight_N)


def control_residuals(
    controls: Sequence[ControlSource],
    latents_BCFHW: Tensor,
    timestep: Tensor,
    condition: Condition,
    rows: slice,
    share: float,
    frame_weight_F: Tensor,
) -> list[Tensor] | None:
    """Sum of the residuals of the ControlNets that act at this share of the schedule, or None.

    A frame at weight 0, or whose maps show nothing, costs nothing.
    """
    active = [c for c in controls if c.start <= share < c.end and c.scale != 0.0]
    if not active:
        return None
    total: list[Tensor] | None = None
    for control in active:
        acting_K = control.acting(frame_weight_F)
        if not len(acting_K):
            continue
        found = _residuals(control, latents_BCFHW, timestep, condition, rows, frame_weight_F, acting_K)
        total = added_up(total, found)
    return total


def added_up(total: list[Tensor] | None, found: list[Tensor]) -> list[Tensor]:
    """Residuals of one more ControlNet on top of those before it."""
    return found if total is None else [a + b for a, b in zip(total, found, strict=True)]


def _residuals(
    control: ControlSource,
    latents_BCFHW: Tensor,
    timestep: Tensor,
    condition: Condition,
    rows: slice,
    frame_weight_F: Tensor,
    acting_K: Tensor,
) -> list[Tensor]:
    """A ControlNet's residuals [B F, ...], computed for the frames that it acts on; 0 for the others."""
    frames, batch = latents_BCFHW.shape[2], latents_BCFHW.shape[0]
    some = len(acting_K) < frames
    if some:
        control, frame_weight_F = control.part(acting_K), frame_weight_F[acting_K]
        latents_BCFHW = latents_BCFHW[:, :, acting_K]
    found = control.residuals(
        latents_BCFHW.transpose(1, 2).flatten(0, 1),
        timestep,
        told(control.network, condition.embeds_BTD[rows], len(acting_K)),
        condition.added(rows, len(acting_K)),
        frame_weight_F.repeat(batch),
    )
    if not some:
        return found
    apart = [unflatten(one, 0, (batch, -1)) for one in found]
    whole = [one.new_zeros(batch, frames, *one.shape[2:]) for one in apart]
    return [to.index_copy_(1, acting_K, one).flatten(0, 1) for to, one in zip(whole, apart, strict=True)]
