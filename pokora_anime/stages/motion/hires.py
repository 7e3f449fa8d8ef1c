"""The second pass: a clip's latents enlarged, noised a little, and denoised again by the same networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from diffusers import UNetMotionModel
from torch import Tensor
from torch.nn import functional

from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.networks import schedulers
from pokora_anime.prompt import prompt_syntax, prompt_travel
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import ImageEmbedding, Noise, Prompt, Segment
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.cached_stage import cached_under_plan
from pokora_anime.stages.control import control_source
from pokora_anime.stages.denoising import (
    anchor,
    conditioning,
    denoiser,
    guidance,
    noise_levels,
    sampler_loop,
    segment_conditions,
    tiles,
)
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.sampler_loop import Chaining, sample
from pokora_anime.stages.denoising.segment_conditions import condition, middle, noise_floor, shared_noise
from pokora_anime.stages.denoising.tiles import Tiled, cover
from pokora_anime.stages.motion import deflicker
from pokora_anime.stages.motion.deflicker import finished
from pokora_anime.stages.picture import initial_noise
from pokora_anime.stages.picture.retry_smaller import Steps, with_less
from pokora_anime.stages.picture.sound_numbers import require_finite
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array
from pokora_anime.timeline import hires_plan, segment_plan
from pokora_anime.timeline.segment_plan import Span

_MODULES = (
    anchor,
    conditioning,
    control_source,
    deflicker,
    denoiser,
    guidance,
    hires_plan,
    noise_levels,
    prompt_syntax,
    prompt_travel,
    sampler_loop,
    schedulers,
    segment_conditions,
    segment_plan,
    tiles,
)


def render(
    segments: Iterator[Segment],
    prompt: Prompt,
    config: VideoConfig,
    context: RunContext,
    total_frames: int,
    embedding: ImageEmbedding | None = None,
) -> Iterator[Segment]:
    """Yield each segment of the clip again, `finish.hires.scale` times larger, as it arrives.

    `embedding`: what an IP-Adapter sees of the keyframe.

    Joins are kept as in the motion: the last frames of one segment are the first ones of the next, known
    and held at every step, and each frame's noise depends on its place in the clip alone. Finished segments
    are read back instead of computed.
    """
    planned = hires_plan.spans_of(config, total_frames)
    again = _SecondPass(prompt, embedding, config, context, len(planned))
    first: Segment | None = None
    previous: Segment | None = None
    for span, segment in zip(planned, segments, strict=True):
        closing = [first] if first is not None and span.tail else []
        before = [] if previous is None or previous in closing else [previous]
        sources = _Sources(segment=segment, first=first, previous=previous, nodes=(*closing, *before))
        previous = again.segment(span, sources)
        first = first or previous
        yield previous


def enlarged(latents: Tensor, size: tuple[int, int]) -> Tensor:
    """Latents [C, F, H, W] of another height and width, by bicubic interpolation of each frame."""
    return functional.interpolate(latents.transpose(0, 1), size=size, mode="bicubic").transpose(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    """The motion's segment, and what there is of the second pass: its first and its latest segment.

    `nodes`: those of them that the segment is made from.
    """

    segment: Segment
    first: Segment | None
    previous: Segment | None
    nodes: tuple[Segment, ...]

    def ends(self, span: Span) -> tuple[Tensor | None, Tensor | None]:
        """The known latents [C, K, H, W] at a segment's head and tail."""
        head = self.previous.latents[:, -span.known :] if self.previous and span.known else None
        return head, self.first.latents[:, : span.tail] if self.first and span.tail else None


class _SecondPass:
    def __init__(
        self,
        prompt: Prompt,
        embedding: ImageEmbedding | None,
        config: VideoConfig,
        context: RunContext,
        count: int,
    ) -> None:
        self._prompt, self._config, self._context, self._count = prompt, config, context, count
        self._embedding = embedding
        self._size, self._skip = hires_plan.latent_size(config), hires_plan.skipped(config)

    def segment(self, span: Span, sources: _Sources) -> Segment:
        """One segment, computed or read back."""
        config, context = self._config, self._context
        share = config.motion.noise_share
        noise = initial_noise.for_hires(span.start, span.frames, share, self._size, context)
        shown = [] if self._embedding is None else [self._embedding]
        records = [self._prompt, noise, *shown, sources.segment, *sources.nodes]
        under = partial(_node, span, records, config, context)
        detail = f"segment {span.index + 1}/{self._count}, second pass"

        def compute() -> Arrays:
            told = Steps(lambda: context.progress.step(detail))
            latents = with_less(detail, lambda: self._denoised(span, sources, noise, told), context)
            return {"latents": require_finite(latents, detail).numpy()}

        stage = cached_under_plan(under, compute, context)
        for _ in range(hires_plan.steps(config) if stage.kept else 0):
            context.progress.step(f"{detail}, kept")
        context.timeline.mark(f"second pass {span.index}")
        latents = from_array(stage.arrays["latents"])
        return replace(sources.segment, known=span.known, latents=latents, node=stage.node)

    def _denoised(self, span: Span, sources: _Sources, noise: Noise, told: Steps) -> Tensor:
        """Latents [C, F, H, W] float32."""
        config, context, device = self._config, self._context, self._context.device
        told.begin()
        context.models.hold(context.execution.plan)
        context.models.adapt(None if self._embedding is None else config.keyframe.identity_scale)
        frames = segment_plan.drawn(span, config)
        known, tail = (None if end is None else end[None].to(device) for end in sources.ends(span))
        chaining = Chaining(
            tail=tail,
            floor=noise_floor(config, context),
            shared=shared_noise("hires", self._size, config, context),
            skip=self._skip,
            start=enlarged(sources.segment.latents[:, :frames], self._size)[None].to(device),
        )
        scheduler = context.models.motion_scheduler(config.motion.betas)
        scheduler.set_timesteps(config.speed.steps, device=device)
        scheduler.set_begin_index(self._skip)
        guided = Guidance.of(config.speed)
        with torch.inference_mode(), context.autocast():
            denoiser = SegmentDenoiser(
                unet=self._network(),
                timesteps=scheduler.timesteps,
                condition=self._condition(span),
                guidance=replace(guided, batched=guided.batched and not context.execution.plan.sequential),
                frame_weight_F=torch.ones(frames, device=device),
                windows=segment_plan.windows_of(span, config),
                turn=context.execution.turn,
            )
            latents = sample(
                denoiser,
                scheduler,
                noise.values[None, :, :frames].to(device),
                known,
                context.generator(*_steps(span)),
                self._counted(told),
                chaining,
            )[0]
        return finished(latents, span, config)

    def _condition(self, span: Span) -> Condition:
        size, text = hires_plan.frame_size(self._config), prompt_travel.at(self._prompt, middle(span))
        return condition(text, size, self._context, self._embedding)

    def _network(self) -> UNetMotionModel | Tiled:
        """The motion UNet, which sees whole frames or tiles of the base's size."""
        models = self._context.models
        if not (self._config.finish.hires.tiled or self._context.execution.plan.tiled):
            return models.motion_unet()
        return Tiled(models.motion_unet(), cover(self._size, models.latent_size))

    def _counted(self, told: Steps) -> Callable[[Tensor], None]:
        """Tells the steps that are not left out."""
        steps = iter(range(self._config.speed.steps))

        def stepped(_: Tensor) -> None:
            if next(steps) >= self._skip:
                told.step()

        return stepped


def _steps(span: Span) -> tuple[str | int, ...]:
    """The names of the generator that the steps of this segment draw from."""
    return ("hires", span.index)


def _node(
    span: Span,
    sources: Sequence[Prompt | Noise | ImageEmbedding | Segment],
    config: VideoConfig,
    context: RunContext,
    plan: Plan,
) -> Node:
    height, width = hires_plan.frame_size(config)
    params: dict[str, Json] = {
        "span": asdict(span),
        "seed": context.seed,
        "generator": list[Json](_steps(span)),
        "motion": part(config.motion),
        "hires": part(config.finish.hires),
        "speed": part(config.speed),
        "size": [width, height],
        "loras": dict(context.models.motion_lora_weights),
        "timeline": part(config.timeline),
    }
    weights = context.models.weights_hash("motion")
    if any(isinstance(source, ImageEmbedding) for source in sources):
        weights |= context.models.weights_hash("ip_adapter")
    return Node.after(
        [record.node for record in sources],
        "hires",
        params,
        weights=weights,
        code=code_hash(sys.modules[__name__], *_MODULES),
        environment=environment(context) | plan.moving | plan.enlarging,
    )
