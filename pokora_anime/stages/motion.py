"""Chained AnimateDiff segments: latents of the last frames are the first frames of the next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pokora_anime.config.schema import MotionConfig, VideoConfig
from pokora_anime.context import RunContext
from pokora_anime.devices.plan import Plan
from pokora_anime.provenance.code import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.records import ControlTrack, Keyframe, Noise, Prompt, Segment
from pokora_anime.stages import denoise, guidance
from pokora_anime.stages import noise as noises
from pokora_anime.stages.denoise import Condition, ControlSource, Guidance
from pokora_anime.stages.less import Steps, with_less

# What a segment is made from.
Sources = tuple[Prompt, Noise, Keyframe | None, ControlTrack | None, Segment | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a segment lies in the clip: frame 0's clip index and how many frames are known."""

    index: int
    start: int
    known: int


def plan(total: int, config: MotionConfig, *, has_keyframe: bool) -> tuple[Span, ...]:
    """The segments that cover `total` generated frames, each sharing `overlap` with the one before."""
    spans = [Span(index=0, start=0, known=1 if has_keyframe else 0)]
    while spans[-1].start + config.frames < total:
        start = spans[-1].start + config.frames - config.overlap
        spans.append(Span(index=len(spans), start=start, known=config.overlap))
    return tuple(spans)


def render(
    prompt: Prompt,
    keyframe: Keyframe | None,
    control: ControlTrack | None,
    config: VideoConfig,
    context: RunContext,
    total_frames: int,
) -> Iterator[Segment]:
    """Yield the clip's segments in order; finished ones are read back instead of computed.

    `total_frames` generated frames at `shot.fps` are covered. A segment's node has the segment
    before as a parent, so a change anywhere upstream recomputes everything after it.
    """
    spans = plan(total_frames, config.motion, has_keyframe=keyframe is not None)
    context.progress.stage("motion", total=len(spans) * config.speed.steps)
    worker = _Worker(prompt, keyframe, control, config, context)
    previous: Segment | None = None
    for span in spans:
        noise = noises.for_frames(span.start, config.motion.frames, config.motion.noise_share, context)
        sources = (prompt, noise, keyframe, control, previous)
        under = partial(_node, span, sources, config, context)
        node, stored = context.execution.stored(context.folder, under)
        if stored is None:
            latents = worker.run(span, noise, _known(span, keyframe, previous), len(spans))
            node = under(context.execution.plan)
            node = context.folder.save(node, {"latents": latents.cpu().numpy()})
        else:
            latents, node = torch.from_numpy(stored["latents"]), context.folder.recorded(node)
            for _ in range(config.speed.steps):
                context.progress.step(f"segment {span.index + 1}/{len(spans)}, kept")
        context.timeline.mark(f"segment {span.index}")
        previous = Segment(index=span.index, start=span.start, known=span.known, latents=latents, node=node)
        yield previous


def frame_weights(start: int, config: VideoConfig) -> Tensor:
    """How strongly control acts on each frame of a segment: 1 at the keyframe, fading to the floor."""
    clip_index = start + torch.arange(config.motion.frames, dtype=torch.float32)
    fade = 1.0 - clip_index / max(config.control.fade_frames, 1)
    floor = config.control.fade_floor
    return floor + (1.0 - floor) * fade.clamp(0.0, 1.0)


def match_statistics(latents: Tensor, reference: Tensor, strength: float) -> Tensor:
    """Move each channel's mean over a segment towards the reference's: stops drift of colour.

    latents [C, F, H, W], reference [C, H, W]; strength 0 leaves all as it is, 1 locks.
    """
    drift = latents.mean(dim=(1, 2, 3)) - reference.mean(dim=(1, 2))
    return latents - strength * drift[:, None, None, None]


class _Worker:
    """Denoises segments; under each plan the networks are made ready once, when the first needs them."""

    def __init__(
        self,
        prompt: Prompt,
        keyframe: Keyframe | None,
        control: ControlTrack | None,
        config: VideoConfig,
        context: RunContext,
    ) -> None:
        self.sources, self.config, self.context = (prompt, keyframe, control), config, context
        self.denoiser: _Denoiser | None = None

    def run(self, span: Span, noise: Noise, known: Tensor | None, segments: int) -> Tensor:
        """Latents [C, F, H, W] float32 of one segment, with less memory where it runs out."""
        detail = f"segment {span.index + 1}/{segments}"
        steps = Steps(lambda: self._step(detail))
        return with_less(detail, lambda: self._run(span, noise, known, steps), self.context)

    def _run(self, span: Span, noise: Noise, known: Tensor | None, steps: Steps) -> Tensor:
        plan = self.context.execution.plan
        if self.denoiser is None or not self.denoiser.plan.holds_as(plan):
            self.denoiser = None  # or two of everything would be held for a moment
            self.denoiser = _Denoiser(*self.sources, self.config, self.context)
        return self.denoiser.run(span, noise, known, steps)

    def _step(self, detail: str) -> None:
        self.context.timeline.mark("first step")
        self.context.progress.step(detail)


class _Denoiser:
    """The networks and conditions that all segments share."""

    def __init__(
        self,
        prompt: Prompt,
        keyframe: Keyframe | None,
        control: ControlTrack | None,
        config: VideoConfig,
        context: RunContext,
    ) -> None:
        self.config, self.context, self.keyframe = config, context, keyframe
        self.plan = context.execution.plan
        context.models.hold(self.plan)
        self.unet = context.models.motion_unet()
        self.condition = _condition(prompt, config, context)
        guidance = Guidance.of(config.speed)
        self.guidance = replace(guidance, batched=guidance.batched and not self.plan.sequential)
        with context.autocast():
            self.controls = [_control_source(kind, hint, config, context) for kind, hint in _maps(control)]

    def run(self, span: Span, noise: Noise, known: Tensor | None, steps: Steps) -> Tensor:
        """Latents [C, F, H, W] float32 of one segment."""
        steps.begin()
        context, config = self.context, self.config
        # A scheduler is a small object with state: each segment takes a new one.
        scheduler: Any = context.models.scheduler()
        scheduler.set_timesteps(config.speed.steps, device=context.device)
        scheduler.set_begin_index(0)
        with torch.inference_mode(), context.autocast():
            latents = denoise.denoise_segment(
                self.unet,
                scheduler,
                noise.values[None].to(context.device),
                None if known is None else known[None].to(context.device),
                self.condition,
                self.guidance,
                self.controls,
                frame_weights(span.start, config).to(context.device),
                context.generator(*_steps(span)),
                lambda _: steps.step(),
                context.execution.turn,
            )[0]
        if self.keyframe is not None and config.motion.color_lock > 0:
            fresh = match_statistics(
                latents[:, span.known :], self.keyframe.latent.to(latents), config.motion.color_lock
            )
            latents = torch.cat([latents[:, : span.known], fresh], dim=1)
        return latents.float().cpu().clone()


def _known(span: Span, keyframe: Keyframe | None, previous: Segment | None) -> Tensor | None:
    """The known frames' latents [C, known, H, W] of a segment."""
    if span.known == 0:
        return None
    if previous is None:
        assert keyframe is not None
        return keyframe.latent[:, None]
    return previous.latents[:, -span.known :]


def _maps(control: ControlTrack | None) -> list[tuple[str, Tensor]]:
    if control is None:
        return []
    return [
        (kind, torch.from_numpy(hint).permute(2, 0, 1).float() / 255)
        for kind, hint in sorted(control.maps.items())
    ]


def _control_source(kind: str, hint: Tensor, config: VideoConfig, context: RunContext) -> ControlSource:
    from pokora_anime.config.schema import ControlKind

    network = context.models.controlnet(ControlKind(kind))
    return ControlSource(
        network,
        hint.to(context.device),
        scale=config.control.scale.get(kind, 1.0),
        start=config.control.start,
        end=config.control.end,
        dtype=context.models.dtype,
    )


def _condition(prompt: Prompt, config: VideoConfig, context: RunContext) -> Condition:
    device, dtype = context.device, context.models.dtype
    embeds = torch.stack([prompt.negative_embeds, prompt.embeds]).to(device, dtype)
    if prompt.pooled is None or prompt.negative_pooled is None:
        return Condition(embeds_BTD=embeds, pooled_BD=None, time_ids_BD=None)
    size = [config.base.height, config.base.width]
    time_ids = torch.tensor([[*size, 0, 0, *size]], dtype=torch.float32).repeat(2, 1)
    pooled = torch.stack([prompt.negative_pooled, prompt.pooled])
    return Condition(
        embeds_BTD=embeds, pooled_BD=pooled.to(device, dtype), time_ids_BD=time_ids.to(device, dtype)
    )


def _steps(span: Span) -> tuple[str | int, ...]:
    """The names of the generator that the steps of this segment draw from."""
    return ("motion", span.index)


def _node(
    span: Span,
    sources: Sources,
    config: VideoConfig,
    context: RunContext,
    plan: Plan,
) -> Node:
    control = sources[3]
    speed = asdict(config.speed) | {"sampler": config.speed.sampler.value}
    params: dict[str, Json] = {
        "span": asdict(span),
        "seed": context.seed,
        "generator": list[Json](_steps(span)),
        "motion": asdict(config.motion),
        "speed": speed,
        "size": [config.base.width, config.base.height],
        "loras": dict(context.models.lora_weights),
    }
    if control is not None:
        params["control"] = asdict(config.control) | {"kinds": list[Json](sorted(control.maps))}
    weights = context.models.weights_hash("motion")
    for kind in sorted(control.maps) if control is not None else ():
        weights |= context.models.weights_hash(f"controlnet_{kind}")
    return Node.after(
        [record.node for record in sources if record is not None],
        "motion",
        params,
        weights=weights,
        code=code_hash(sys.modules[__name__], denoise, guidance),
        environment=environment(context) | plan.denoising,
    )
