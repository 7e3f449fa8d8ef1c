"""One segment of a live clip: few LCM steps from the look in its poses, tied to the frames before it.

Shape suffixes: C channels, F frames, H W latent height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pokora_anime.live.generation.look import Joints, Look
from pokora_anime.live.live_settings import LiveConfig
from pokora_anime.provenance.stage_records import ControlTrack, Image
from pokora_anime.quality.preview import NANO
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control import choreography_stage, control_maps, controlnets
from pokora_anime.stages.delivery.color_match import Palette
from pokora_anime.stages.denoising.anchor import Anchor
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.noise_levels import NoiseFloor, NoiseLevels, SharedNoise
from pokora_anime.stages.denoising.reference_attention import Reference
from pokora_anime.stages.denoising.sampler_loop import Chaining, sample
from pokora_anime.stages.denoising.segment_conditions import condition
from pokora_anime.stages.motion.deflicker import held_to_known, steadied
from pokora_anime.stages.picture import initial_noise
from pokora_anime.stages.picture.initial_noise import CHANNELS
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import Vae, split

CHUNK = 2  # frames that are decoded at once: what lies in the processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOrder:
    """A segment to make: its first frame's number `start`, the poses of all its frames, the latents
    [C,K,H,W] of its first ones that are known, and the look.
    """

    start: int
    joints: Joints
    known: Tensor | None
    look: Look


class SegmentEngine:
    """The networks of a session, ready for one segment after the other."""

    def __init__(self, context: RunContext, config: VideoConfig, live: LiveConfig) -> None:
        self._context, self._config, self._live = context, config, live
        self._unet: Any = context.models.motion_unet()
        self._reference = Reference(self._unet, config.motion.anchor_weight)
        self._levels = NoiseLevels(scheduler=self._scheduler())
        shape = (CHANNELS, *context.models.latent_size)
        self._shared = SharedNoise(
            share=config.motion.step_share,
            common=lambda step: torch.randn(shape, generator=context.generator("live", "common", step)),
        )

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
        frames = len(order.joints)
        shape = (CHANNELS, frames, *context.models.latent_size)
        noise = initial_noise.base_noise(context, order.start, shape, live.fixed_noise)
        with torch.inference_mode(), context.autocast():
            found = sample(
                self._denoiser(order, scheduler, frames),
                scheduler,
                noise[None].to(context.device),
                known,
                context.generator("live", "steps", order.start),
                lambda _: on_step(),
                chaining,
            )[0]
        return self._calmed(found.float().cpu(), order)

    def _denoiser(self, order: SegmentOrder, scheduler: Any, frames: int) -> SegmentDenoiser:
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
            frame_weight_F=torch.ones(frames, device=context.device),
            controls=controlnets.of(track, config, context),
            anchor=self._anchor(order.look),
        )

    def _anchor(self, look: Look) -> Anchor:
        return Anchor(
            latent=look.latent[None, :, None].to(self._context.device),
            frame=self._floor,
            reference=self._reference,
            ahead=int(self._config.motion.anchor_ahead * self._live.schedule),
            levels=self._levels,
        )

    def _start(self, order: SegmentOrder) -> Tensor:
        """What the denoising starts from [C,F,H,W]: the look in each pose, and the last latent as asked."""
        start = order.look.in_poses(order.joints)
        if order.known is not None and self._live.latent_feedback:
            last = order.known[:, -1:].float().expand_as(start)
            start = torch.lerp(start, last, self._live.latent_feedback)
        return start

    def _calmed(self, latents_CFHW: Tensor, order: SegmentOrder) -> Tensor:
        motion, known = self._config.motion, 0 if order.known is None else order.known.shape[1]
        steady = steadied(latents_CFHW, motion.deflicker, known, 0)
        if not known or not motion.hold:
            return steady
        return steadied(held_to_known(steady, motion.hold, known, 0), motion.deflicker, known, 0)

    @property
    def _floor(self) -> NoiseFloor:
        return NoiseFloor(
            step=int(self._config.motion.known_ahead * self._live.schedule), levels=self._levels
        )

    def _scheduler(self) -> Any:
        scheduler: Any = self._context.models.motion_scheduler(self._config.motion.betas)
        scheduler.set_timesteps(self._live.schedule, device=self._context.device)
        return scheduler


class Decoder:
    """Latents to pictures: the family's tiny VAE, then the look's own colours."""

    def __init__(self, context: RunContext) -> None:
        from diffusers import AutoencoderTiny

        loader: Any = AutoencoderTiny
        self._context = context
        vae = loader.from_pretrained(NANO, local_files_only=True).eval().requires_grad_(False)
        self._vae: Vae = vae.to(context.device, memory_format=torch.channels_last)
        self._palette: tuple[Tensor, Palette] | None = None

    def frames(self, latents_CFHW: Tensor, look: Look, joints: Joints) -> list[Image]:
        """Pictures uint8 [height,width,3] of frames, whose poses are given, in the colours of their look."""
        pictures = self._decoded(latents_CFHW)
        palette = self._of(look)
        return [palette.matched(one, pose) for one, pose in zip(pictures, joints, strict=True)]

    def _of(self, look: Look) -> Palette:
        if self._palette is None or self._palette[0] is not look.latent:
            (picture,) = self._decoded(look.latent[:, None])
            self._palette = (look.latent, Palette.of(picture, look.joints))
        return self._palette[1]

    def _decoded(self, latents_CFHW: Tensor) -> list[Image]:
        found: list[Image] = []
        for part in split(latents_CFHW.transpose(0, 1), CHUNK):
            with torch.inference_mode(), self._context.autocast():
                scaled = part.to(self._vae.device) / self._vae.config["scaling_factor"]
                scaled = scaled.contiguous(memory_format=torch.channels_last)
                decoded = self._vae.decode(scaled, return_dict=False)[0].float()
                levels = (decoded * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
            found += [*levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()]
        return found
