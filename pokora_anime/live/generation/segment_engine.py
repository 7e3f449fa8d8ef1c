"""One segment of a live clip: few LCM steps from the look in its poses, tied to the frames before it.

Shape suffixes: C channels, F frames, H W latent height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pokora_anime.live.generation.kept_answers import FirstStepControl, LookReference
from pokora_anime.live.generation.look import Joints, Look
from pokora_anime.live.live_settings import LiveConfig
from pokora_anime.provenance.stage_records import ControlTrack, Image
from pokora_anime.quality import tiny_vae
from pokora_anime.quality.preview import NANO
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control import choreography_stage, control_maps, controlnets
from pokora_anime.stages.delivery.color_match import QUICK, Palette
from pokora_anime.stages.denoising.anchor import Anchor
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.sampler_loop import Chaining, sample
from pokora_anime.stages.denoising.segment_conditions import condition, noise_floor, shared_noise
from pokora_anime.stages.motion import deflicker
from pokora_anime.stages.picture import initial_noise
from pokora_anime.stages.picture.initial_noise import CHANNELS
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline.segment_plan import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOrder:
    """A segment to make: its first frame's number `start`, the poses of all its frames, the latents
    [C,K,H,W] of its first ones that are known, and the look.
    """

    start: int
    joints: Joints
    known: Tensor | None
    look: Look

    @property
    def span(self) -> Span:
        """Where it lies in the clip."""
        known = 0 if self.known is None else self.known.shape[1]
        return Span(index=0, start=self.start, frames=len(self.joints), known=known)


class SegmentEngine:
    """The networks of a session, ready for one segment after the other."""

    def __init__(self, context: RunContext, config: VideoConfig, live: LiveConfig) -> None:
        self._context, self._live = context, live
        self._config = replace(config, speed=replace(config.speed, steps=live.schedule))
        self._unet: Any = context.models.motion_unet()
        self._reference = LookReference(self._unet, config.motion.anchor_weight)
        self._floor = noise_floor(self._config, context)
        self._shared = shared_noise("live", context.models.latent_size, config, context)

    def latents(self, order: SegmentOrder, on_step: Callable[[], None] = lambda: None) -> Tensor:
        """The latents float32 [C,F,H,W] of a segment, its known frames included; `on_step` may raise."""
        context, live = self._context, self._live
        known = None if order.known is None else order.known[None].to(context.device)
        chaining = Chaining(
            floor=self._floor,
            shared=self._shared,
            skip=live.schedule - live.steps,
            start=self._start(order)[None].to(context.device),
        )
        scheduler: Any = self._scheduler()
        scheduler.set_begin_index(chaining.skip)
        shape = (CHANNELS, len(order.joints), *context.models.latent_size)
        noise = initial_noise.base_noise(context, order.start, shape, live.fixed_noise)
        with torch.inference_mode(), context.autocast():
            found = sample(
                self._denoiser(order, scheduler),
                scheduler,
                noise[None].to(context.device),
                known,
                context.generator("live", "steps", order.start),
                lambda _: on_step(),
                chaining,
            )[0]
        return deflicker.finished(found, order.span, self._config)

    def _denoiser(self, order: SegmentOrder, scheduler: Any) -> SegmentDenoiser:
        context, config = self._context, self._config
        size = (config.base.height, config.base.width)
        wide = choreography_stage.half_width(config)
        drawn = [
            control_maps.black_for_nobody(control_maps.pose_map(one, size, wide), size)
            for one in order.joints
        ]
        prompt = order.look.prompt
        track = ControlTrack(maps={"pose": np.stack(drawn)}, notes=(), node=prompt.node)
        return SegmentDenoiser(
            unet=self._unet,
            timesteps=scheduler.timesteps,
            condition=condition(prompt, size, context),
            guidance=Guidance(scale=1.0),
            frame_weight_F=torch.ones(len(order.joints), device=context.device),
            controls=[FirstStepControl(one) for one in controlnets.of(track, config, context)],
            anchor=self._anchor(order.look),
        )

    def _anchor(self, look: Look) -> Anchor:
        self._reference.turn_to(look.latent)
        return Anchor(
            latent=look.latent[None, :, None].to(self._context.device),
            frame=None,  # costs as much as a frame and changes nothing that was measured
            reference=self._reference,
            ahead=int(self._config.motion.anchor_ahead * self._live.schedule),
            levels=self._floor.levels,
        )

    def _start(self, order: SegmentOrder) -> Tensor:
        """What the denoising starts from [C,F,H,W]: the look in each pose, and the last latent as asked."""
        start = order.look.in_poses(order.joints)
        if order.known is not None and self._live.latent_feedback:
            last = order.known[:, -1:].float().expand_as(start)
            start = torch.lerp(start, last, self._live.latent_feedback)
        return start

    def _scheduler(self) -> Any:
        scheduler: Any = self._context.models.motion_scheduler(self._config.motion.betas)
        scheduler.set_timesteps(self._live.schedule, device=self._context.device)
        return scheduler


class Decoder:
    """Latents to pictures: the family's tiny VAE, then the look's own colours."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._vae = tiny_vae.load(NANO, context.device)
        self._palette: tuple[Tensor, Palette] | None = None

    def frames(self, latents_CFHW: Tensor, look: Look, joints: Joints) -> list[Image]:
        """Pictures uint8 [height,width,3] of frames, whose poses are given, in the colours of their look."""
        palette = self._of(look)
        pictures = self._pictures(latents_CFHW)
        return [palette.matched(one, pose) for one, pose in zip(pictures, joints, strict=True)]

    def _of(self, look: Look) -> Palette:
        if self._palette is None or self._palette[0] is not look.latent:
            (picture,) = self._pictures(look.latent[:, None])
            self._palette = (look.latent, Palette.of(picture, look.joints, QUICK))
        return self._palette[1]

    def _pictures(self, latents_CFHW: Tensor) -> list[Image]:
        with self._context.autocast():
            return [*tiny_vae.pictures(self._vae, latents_CFHW)]
