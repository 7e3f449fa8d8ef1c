"""Denoiser: latents at a step in, the guided prediction out; the sampler loop knows nothing else.

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from pokora_anime.networks.repeat_text_per_frame import told
from pokora_anime.stages.control.control_source import ControlSource, added_up, control_residuals
from pokora_anime.stages.denoising.anchor import Anchor, AnchorAtStep
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.guidance import combine
from pokora_anime.system.typed_tensors import Network

UNCONDITIONAL, CONDITIONAL, BOTH = slice(0, 1), slice(1, 2), slice(0, 2)


# What answers for latents at a step and rows of the batch, asking the network for them and others.
Beside = Callable[[Callable[[Tensor, slice], Tensor], Tensor, int, slice], Tensor]


class Denoiser(Protocol):
    """A network with all that it is told: the prediction for scaled latents at a step of the schedule.

    `noise` is what the denoising started from; the prediction has the latents' shape, in float32.
    """

    def __call__(self, latents: Tensor, step: int, noise: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDenoiser:
    """The motion UNet of one segment with its text, guidance, ControlNets and anchor.

    `timesteps` are the scheduler's; `frame_weight_F` says how strongly control acts on each frame;
    `windows` lists the frames of each window that is predicted by itself (none: all at once); `turn` is
    held while the networks compute.
    """

    unet: Network
    timesteps: Tensor
    condition: Condition
    guidance: Guidance
    frame_weight_F: Tensor
    controls: Sequence[ControlSource] = ()
    anchor: Anchor | None = None
    windows: Sequence[Sequence[int]] = ()
    turn: Callable[[], AbstractContextManager[object]] = nullcontext

    def __call__(self, latents: Tensor, step: int, noise: Tensor) -> Tensor:
        """The guided prediction of all frames: [1, C, F, H, W]."""
        seen = self.anchor and self.anchor.at(step, noise)
        with self.turn():
            return averaged(partial(self._predicted, step, seen), latents, self.frame_weight_F, self.windows)

    def __post_init__(self) -> None:
        if self.anchor is not None and self.anchor.reference is not None:
            self.anchor.reference.forget()  # what it has learnt bears another segment's noise

    def _predicted(
        self, step: int, seen: AnchorAtStep | None, latents: Tensor, weight_F: Tensor, frames_K: Tensor | None
    ) -> Tensor:
        """The guided prediction of those frames; all of them where none are named."""
        controls = self.controls
        if frames_K is not None:
            controls = [control.part(frames_K) for control in controls]
        ask = partial(self._anchored, step, seen, latents, weight_F, controls)
        return guided(ask, self.guidance, step, len(self.timesteps))

    def _anchored(
        self,
        step: int,
        seen: AnchorAtStep | None,
        latents: Tensor,
        weight_F: Tensor,
        controls: Sequence[ControlSource],
        rows: slice,
    ) -> Tensor:
        """The prediction beside the anchor, which is no frame of what comes out: [rows, C, F, H, W]."""
        ask, at = partial(self._network, rows, step / len(self.timesteps)), self.timesteps[step]
        if seen is None:
            return ask(at, latents, weight_F, controls)
        if seen.frame is not None:
            latents = torch.cat([seen.frame.to(latents), latents], dim=2)
            weight_F = torch.cat([weight_F.new_full((1,), float(seen.steered)), weight_F])
            controls = [control.led() for control in controls]
        if seen.reference is None:
            found = ask(at, latents, weight_F, controls)
        else:
            part, moment = (rows.start, rows.stop), float(seen.timestep)
            seen.reference.learn(part, moment, lambda: ask(seen.timestep, seen.picture, weight_F[:1], ()))
            found = seen.reference.used(lambda: ask(at, latents, weight_F, controls))
        return found if seen.frame is None else found[:, :, 1:]

    def _network(
        self,
        rows: slice,
        share: float,
        timestep: Tensor,
        latents: Tensor,
        weight_F: Tensor,
        controls: Sequence[ControlSource],
    ) -> Tensor:
        """One pass of the UNet, its ControlNets first."""
        text, condition = self.condition.embeds_BTD[rows], self.condition
        # The loop computes in float32; the networks' weights need not be.
        batch = latents.to(text.dtype).expand(len(text), -1, -1, -1, -1)
        residuals = control_residuals(controls, batch, timestep, condition, rows, share, weight_F)
        embeds, added = told(self.unet, condition.seen(rows), latents.shape[2]), condition.added(rows)
        return _answer(self.unet, batch, timestep, embeds, added, residuals)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureDenoiser:
    """The UNet of single pictures with its text, guidance and ControlNets; latents [1, C, H, W]."""

    unet: Network
    timesteps: Tensor
    condition: Condition
    guidance: Guidance
    controls: Sequence[ControlSource] = ()
    beside: Beside | None = None

    def __call__(self, latents: Tensor, step: int, noise: Tensor) -> Tensor:
        """The guided prediction of one picture, which sees what stands beside it."""

        def ask(rows: slice) -> Tensor:
            if self.beside is None:
                return self._network(latents, step, rows)
            return self.beside(lambda seen, part: self._network(seen, step, part), latents, step, rows)

        return guided(ask, self.guidance, step, len(self.timesteps))

    def _network(self, latents: Tensor, step: int, rows: slice) -> Tensor:
        text, timestep = self.condition.embeds_BTD[rows], self.timesteps[step]
        batch, added = latents.to(text.dtype).expand(len(text), -1, -1, -1), self.condition.added(rows)
        residuals: list[Tensor] | None = None
        for control in self.controls:
            if control.start <= step / len(self.timesteps) < control.end:
                weight = torch.ones(len(batch), device=batch.device)
                found = control.residuals(batch, timestep, text, added, weight)
                residuals = added_up(residuals, found)
        return _answer(self.unet, batch, timestep, text, added, residuals)


def _answer(
    unet: Network,
    batch: Tensor,
    timestep: Tensor,
    embeds: Tensor,
    added: dict[str, Tensor] | None,
    residuals: Sequence[Tensor] | None,
) -> Tensor:
    """What a UNet predicts for a batch, float32; `residuals` of ControlNets, the middle one last."""
    return unet(
        batch,
        timestep,
        encoder_hidden_states=embeds,
        added_cond_kwargs=added,
        down_block_additional_residuals=None if residuals is None else tuple(residuals[:-1]),
        mid_block_additional_residual=None if residuals is None else residuals[-1],
        return_dict=False,
    )[0].float()


def guided(ask: Callable[[slice], Tensor], guidance: Guidance, step: int, steps: int) -> Tensor:
    """The prediction with guidance batched, in sequence, or off at this step; `ask` predicts for rows."""
    if not guidance.on(step, steps):
        return ask(CONDITIONAL)
    if guidance.batched:
        unconditional, conditional = ask(BOTH).chunk(2)
    else:
        unconditional, conditional = ask(UNCONDITIONAL), ask(CONDITIONAL)
    return combine(unconditional, conditional, guidance.scale)


def averaged(
    ask: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    latents_1CFHW: Tensor,
    frame_weight_F: Tensor,
    windows: Sequence[Sequence[int]],
) -> Tensor:
    """The prediction of all frames, asked for one window (its frames) at a time: [1, C, F, H, W].

    A frame of several windows takes their mean, weighted by its distance from each window's edge
    (MultiDiffusion, arXiv 2302.08113, along time as FreeNoise, arXiv 2310.15169).
    """
    if not windows:
        return ask(latents_1CFHW, frame_weight_F, None)
    total = torch.zeros_like(latents_1CFHW)
    weights = latents_1CFHW.new_zeros(latents_1CFHW.shape[2])
    for window in windows:
        index = torch.tensor([*window], device=latents_1CFHW.device)
        place = torch.arange(1, len(index) + 1, device=index.device)
        weight = torch.minimum(place, place.flip(0)).to(total)
        found = ask(latents_1CFHW[:, :, index], frame_weight_F[index], index)
        total.index_add_(2, index, found * weight[:, None, None])
        weights.index_add_(0, index, weight)
    return total / weights[:, None, None]
