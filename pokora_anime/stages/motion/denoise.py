"""The denoising loop of one segment: guidance, control residuals and known frames on any scheduler.

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from pokora_anime.networks.repeat_text_per_frame import told
from pokora_anime.schema.settings import SpeedConfig
from pokora_anime.stages.control.map_embedding import Hints, hint_embedded
from pokora_anime.stages.motion.guidance import combine, guidance_on
from pokora_anime.stages.motion.reference_attention import Reference


class StepScheduler(Protocol):
    """The part of a diffusers scheduler that the loop needs."""

    timesteps: Tensor
    init_noise_sigma: float

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor: ...
    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor: ...
    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, **kwargs: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Classifier-free guidance on the steps whose share of the schedule lies in [start, end)."""

    scale: float
    start: float = 0.0
    end: float = 1.0
    batched: bool = True

    @classmethod
    def of(cls, speed: SpeedConfig) -> Guidance:
        """The guidance of a speed mode."""
        return cls(
            scale=speed.guidance_scale,
            start=speed.guidance_start,
            end=speed.guidance_end,
            batched=speed.guidance_batched,
        )

    def on(self, step: int, steps: int) -> bool:
        """Whether this step runs the unconditional branch too."""
        return self.scale > 1.0 and guidance_on(step, steps, self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Text and size conditioning, unconditional row first.

    `embeds_BTD` [2, tokens, channels]; `pooled_BD`, `time_ids_BD` [2, ...] or None without them.
    """

    embeds_BTD: Tensor
    pooled_BD: Tensor | None
    time_ids_BD: Tensor | None

    def added(self, rows: slice, repeat: int = 1) -> dict[str, Tensor] | None:
        """`added_cond_kwargs` for those rows, each repeated (ControlNets want one a frame)."""
        if self.pooled_BD is None or self.time_ids_BD is None:
            return None
        return {
            "text_embeds": self.pooled_BD[rows].repeat_interleave(repeat, dim=0),
            "time_ids": self.time_ids_BD[rows].repeat_interleave(repeat, dim=0),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Pictures with the noise of any step, scaled as the network takes them; past the last step there is
    none. `scheduler` is one that makes no steps.
    """

    scheduler: StepScheduler

    def noised(self, picture: Tensor, noise: Tensor, step: int) -> Tensor:
        """The picture at a step, of the shape of the noise."""
        if step >= len(self.scheduler.timesteps):
            return picture
        timestep = self.scheduler.timesteps[step]
        fresh = copy(self.scheduler)  # some remember the first timestep that they scale for
        return fresh.scale_model_input(fresh.add_noise(picture, noise, timestep.reshape(1)), timestep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is known of a clip is never shown noisier than at `step`."""

    step: int
    levels: Levels

    def shown(self, step: int, picture: Tensor, noise: Tensor) -> Tensor:
        """Known frames as the network is to see them at a step."""
        return self.levels.noised(picture, noise, max(step, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The keyframe's latent [1, C, 1, H, W] as every segment sees it: as a frame of its own before the
    others (`frame` tells how), through reference attention, or both. It is no frame of what comes out.
    `steered`: whether maps that all frames share are its own.

    Attention never sees it noisier than at step `ahead`: at the first steps, which decide about colours,
    it would see nothing but noise.
    """

    latent: Tensor
    frame: Ahead | None
    reference: Reference | None
    ahead: int
    levels: Levels
    steered: bool = True

    def at(self, step: int, noise_1CFHW: Tensor) -> Seen:
        """The anchor as the network is to see it at a step, with the noise of the first frame."""
        later, noise = max(step, self.ahead), noise_1CFHW[:, :, :1]
        return Seen(
            frame=self.frame.shown(step, self.latent, noise) if self.frame else None,
            reference=self.reference,
            picture=self.levels.noised(self.latent, noise, later),
            timestep=self.levels.scheduler.timesteps[later],
            steered=self.steered,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An anchor at one step: `frame` stands before the others, `picture` at `timestep` is attended to."""

    frame: Tensor | None
    reference: Reference | None
    picture: Tensor
    timestep: Tensor
    steered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedNoise:
    """`share` of the variance of the noise that a stochastic sampler draws at each step is common to all
    frames of the clip; `common` gives that of a step, [C, H, W].
    """

    share: float
    common: Callable[[int], Tensor]

    def drawn(self, step: int, like_1CFHW: Tensor, generator: torch.Generator) -> Tensor:
        """The noise of a step."""
        own = torch.randn(like_1CFHW.shape, generator=generator)
        common = self.common(step)[None, :, None]
        return (self.share**0.5 * common + (1.0 - self.share) ** 0.5 * own).to(like_1CFHW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaining:
    """What a segment is tied to beside its known frames.

    `tail` [1, C, K, H, W] are known frames at its end; `ahead` tells how the network sees known frames
    (none: as noisy as the others); the first `skip` steps are left out, and the denoising starts from
    `start` [1, C, F, H, W] (None: the last known frame), noised; `windows` lists the frames of each window
    that is predicted by itself (none: all at once).
    """

    tail: Tensor | None = None
    ahead: Ahead | None = None
    anchor: Anchor | None = None
    shared: SharedNoise | None = None
    skip: int = 0
    start: Tensor | None = None
    windows: Sequence[Sequence[int]] = ()


ALONE = Chaining()


class ControlSource:
    """A ControlNet with its maps, whose embeddings are computed once.

    `hint` [3, height, width] in 0..1 is a static map for all frames, or [frames, 3, height, width] those of
    each frame, of which one that shows nothing leaves its frame alone. `frame_weight_F` scales the residuals
    of each frame, and so does `fading` [frames] where this source has its own; the ControlNet acts on the
    steps whose share lies in [start, end).
    """

    def __init__(
        self,
        network: Any,
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
        self, latents_NCHW: Tensor, timestep: Tensor, embeds_MTD: Tensor, added: Any, weight_N: Tensor
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
        total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
    return total


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
    apart = [one.unflatten(0, (batch, -1)) for one in found]
    whole = [one.new_zeros(batch, frames, *one.shape[2:]) for one in apart]
    return [to.index_copy_(1, acting_K, one).flatten(0, 1) for to, one in zip(whole, apart, strict=True)]


def predict(
    unet: Any,
    latents_1CFHW: Tensor,
    timestep: Tensor,
    condition: Condition,
    rows: slice,
    controls: Sequence[ControlSource],
    share: float,
    frame_weight_F: Tensor,
    anchor: Seen | None = None,
) -> Tensor:
    """The motion UNet's prediction for those rows of the condition: [rows, C, F, H, W]."""

    def ask(at: Tensor, latents: Tensor, weight_F: Tensor, given: Sequence[ControlSource]) -> Tensor:
        return _ask(unet, latents, at, condition, rows, given, share, weight_F)

    whole, weight = latents_1CFHW, frame_weight_F
    if anchor is None:
        return ask(timestep, whole, weight, controls)
    if anchor.frame is not None:
        whole = torch.cat([anchor.frame.to(whole), whole], dim=2)
        weight = torch.cat([weight.new_full((1,), float(anchor.steered)), weight])
        controls = [control.led() for control in controls]
    if anchor.reference is None:
        found = ask(timestep, whole, weight, controls)
    else:
        part, moment = (rows.start, rows.stop), float(anchor.timestep)
        anchor.reference.learn(part, moment, lambda: ask(anchor.timestep, anchor.picture, weight[:1], ()))
        found = anchor.reference.used(lambda: ask(timestep, whole, weight, controls))
    return found if anchor.frame is None else found[:, :, 1:]


def _ask(
    unet: Any,
    latents_1CFHW: Tensor,
    timestep: Tensor,
    condition: Condition,
    rows: slice,
    controls: Sequence[ControlSource],
    share: float,
    frame_weight_F: Tensor,
) -> Tensor:
    count = condition.embeds_BTD[rows].shape[0]
    frames = latents_1CFHW.shape[2]
    # The loop computes in float32; the networks' weights need not be.
    batch = latents_1CFHW.to(condition.embeds_BTD.dtype).expand(count, -1, -1, -1, -1)
    residuals = control_residuals(controls, batch, timestep, condition, rows, share, frame_weight_F)
    return unet(
        batch,
        timestep,
        encoder_hidden_states=told(unet, condition.embeds_BTD[rows], frames),
        added_cond_kwargs=condition.added(rows),
        down_block_additional_residuals=None if residuals is None else tuple(residuals[:-1]),
        mid_block_additional_residual=None if residuals is None else residuals[-1],
        return_dict=False,
    )[0].float()


def guided(
    unet: Any,
    latents: Tensor,
    timestep: Tensor,
    condition: Condition,
    guidance: Guidance,
    controls: Sequence[ControlSource],
    step: int,
    steps: int,
    frame_weight_F: Tensor,
    anchor: Seen | None = None,
) -> Tensor:
    """The prediction with guidance batched, in sequence, or off at this step: [1, C, F, H, W]."""
    share = step / steps
    ask: Callable[[slice], Tensor] = lambda rows: predict(  # noqa: E731
        unet, latents, timestep, condition, rows, controls, share, frame_weight_F, anchor
    )
    if not guidance.on(step, steps):
        return ask(slice(1, 2))
    if guidance.batched:
        unconditional, conditional = ask(slice(0, 2)).chunk(2)
    else:
        unconditional, conditional = ask(slice(0, 1)), ask(slice(1, 2))
    return combine(unconditional, conditional, guidance.scale)


def denoise_segment(
    unet: Any,
    scheduler: StepScheduler,
    noise_1CFHW: Tensor,
    known_1CKHW: Tensor | None,
    condition: Condition,
    guidance: Guidance,
    controls: Sequence[ControlSource],
    frame_weight_F: Tensor,
    generator: torch.Generator,
    on_step: Callable[[Tensor], None],
    chaining: Chaining = ALONE,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tensor:
    """Denoise one segment whose first K frames are known; returns [1, C, F, H, W].

    At each step the known frames are replaced with their selves noised to that step's level, or to that of
    a later one, by the very noise that the segment started from, so that the temporal layers see them as
    they will be; at the end they are put back exactly. `on_step` sees the frames as the step leaves them,
    without the noise that LCM draws anew. `turn` is held while the networks compute.
    """
    steps = len(scheduler.timesteps)
    extra = {"generator": generator} if _draws_noise(scheduler) else {}
    latents = noise_1CFHW * scheduler.init_noise_sigma
    if chaining.anchor is not None and chaining.anchor.reference is not None:
        chaining.anchor.reference.forget()  # its noise is this segment's
    start = chaining.start
    if start is None and known_1CKHW is not None:
        start = known_1CKHW[:, :, -1:].expand_as(noise_1CFHW)
    if chaining.skip and start is not None:
        latents = scheduler.add_noise(start, noise_1CFHW, scheduler.timesteps[chaining.skip].reshape(1))
    for step, timestep in enumerate(scheduler.timesteps):
        if step >= chaining.skip:

            def noised(part: Tensor, noise: Tensor, at: Tensor = timestep) -> Tensor:
                return scheduler.add_noise(part, noise, at.reshape(1))

            latents = _held(latents, known_1CKHW, chaining.tail, noise_1CFHW, noised)
            scaled = scheduler.scale_model_input(latents, timestep)
            if chaining.ahead is not None and chaining.ahead.step > step:
                shown = partial(chaining.ahead.shown, step)
                scaled = _held(scaled, known_1CKHW, chaining.tail, noise_1CFHW, shown)
            anchor = chaining.anchor and chaining.anchor.at(step, noise_1CFHW)
            ask = partial(_guided, unet, timestep, condition, guidance, controls, step, steps, anchor)
            with turn():
                prediction = averaged(ask, scaled, frame_weight_F, chaining.windows)
            latents, *clean = scheduler.step(prediction, timestep, latents, return_dict=False, **extra)
            shown = clean[0] if clean else latents
            if clean and chaining.shared and step + 1 < steps:  # the same step, with noise of our own
                drawn = chaining.shared.drawn(step, latents, generator)
                latents = scheduler.add_noise(clean[0], drawn, scheduler.timesteps[step + 1].reshape(1))
        else:
            shown = latents
        on_step(shown)
    return _held(latents, known_1CKHW, chaining.tail, noise_1CFHW, lambda part, _: part)


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


def _held(
    latents: Tensor,
    known: Tensor | None,
    tail: Tensor | None,
    noise: Tensor,
    noised: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Latents whose ends are the known frames, noised."""
    if known is not None:
        count = known.shape[2]
        latents = torch.cat([noised(known, noise[:, :, :count]), latents[:, :, count:]], dim=2)
    if tail is not None:
        count = tail.shape[2]
        latents = torch.cat([latents[:, :, :-count], noised(tail, noise[:, :, -count:])], dim=2)
    return latents


def _guided(
    unet: Any,
    timestep: Tensor,
    condition: Condition,
    guidance: Guidance,
    controls: Sequence[ControlSource],
    step: int,
    steps: int,
    anchor: Seen | None,
    latents: Tensor,
    frame_weight_F: Tensor,
    frames_K: Tensor | None,
) -> Tensor:
    if frames_K is not None:
        controls = [control.part(frames_K) for control in controls]
    return guided(unet, latents, timestep, condition, guidance, controls, step, steps, frame_weight_F, anchor)


def _draws_noise(scheduler: StepScheduler) -> bool:
    """Whether `step` takes a generator (LCM draws fresh noise at every step)."""
    return "generator" in type(scheduler).step.__code__.co_varnames
