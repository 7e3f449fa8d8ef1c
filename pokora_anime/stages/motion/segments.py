"""Chained AnimateDiff segments: latents of the last frames are the first frames of the next."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor

from pokora_anime.catalogue import registry
from pokora_anime.choreography import skinning
from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.networks import schedulers
from pokora_anime.prompt import prompt_syntax, prompt_travel
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import (
    ControlTrack,
    ImageEmbedding,
    Keyframe,
    Noise,
    Prompt,
    Segment,
)
from pokora_anime.schema import curves, settings
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.cached_stage import cached_under_plan
from pokora_anime.stages.control import control_source, controlnets, map_embedding, map_fading
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising import (
    anchor,
    conditioning,
    denoiser,
    guidance,
    noise_levels,
    reference_attention,
    sampler_loop,
    segment_conditions,
)
from pokora_anime.stages.denoising.anchor import Anchor
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.noise_levels import NoiseFloor
from pokora_anime.stages.denoising.reference_attention import Reference
from pokora_anime.stages.denoising.sampler_loop import Chaining, sample
from pokora_anime.stages.denoising.segment_conditions import condition, middle, noise_floor, shared_noise
from pokora_anime.stages.motion import deflicker, feedback, pose_start, reroll
from pokora_anime.stages.motion.deflicker import finished
from pokora_anime.stages.motion.reroll import ONCE, Attempts, names
from pokora_anime.stages.picture import initial_noise
from pokora_anime.stages.picture.retry_smaller import Steps, with_less
from pokora_anime.stages.picture.sound_numbers import require_finite
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import Attending, from_array
from pokora_anime.timeline import (
    choreography_plan,
    draft_plan,
    frame_timing,
    hires_plan,
    join_plan,
    segment_plan,
)
from pokora_anime.timeline.effects import accents, effect_plan
from pokora_anime.timeline.segment_plan import Span

# What a segment is made from.
Sources = Sequence[Prompt | Noise | Keyframe | ImageEmbedding | ControlTrack | Segment | None]
# The maps of the segment with an index, told the segment before it.
Tracks = Callable[[int, Segment | None], ControlTrack | None]


_MODULES = (
    accents,
    anchor,
    choreography_plan,
    conditioning,
    control_source,
    controlnets,
    curves,
    deflicker,
    denoiser,
    draft_plan,
    effect_plan,
    feedback,
    frame_timing,
    guidance,
    hires_plan,
    join_plan,
    map_embedding,
    map_fading,
    noise_levels,
    pose_start,
    prompt_syntax,
    prompt_travel,
    reference_attention,
    reroll,
    sampler_loop,
    schedulers,
    segment_conditions,
    segment_plan,
    skinning,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over a clip: its operation, and what its caller counts beside a segment's steps."""

    op: str
    beside: int = 0


CLIP = Pass(op="motion")
DRAFT = Pass(op="draft", beside=1)  # the maps are read


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentJob:
    """One segment to denoise: its maps, its `attempt`-th noise, the known frames' latents at its ends."""

    op: str
    span: Span
    attempt: int
    control: ControlTrack | None
    noise: Noise
    known: Tensor | None
    tail: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSources:
    """What a clip is made from: its prompt, its keyframe and what an IP-Adapter sees of it, and maps for the
    whole clip or for each segment.
    """

    prompt: Prompt
    keyframe: Keyframe | None = None
    embedding: ImageEmbedding | None = None
    control: ControlTrack | Tracks | None = None

    def track(self, index: int, previous: Segment | None) -> ControlTrack | None:
        """The maps of a segment; `previous` is the one before it."""
        return self.control(index, previous) if callable(self.control) else self.control


def render(
    sources: ClipSources,
    config: VideoConfig,
    context: RunContext,
    total_frames: int,
    attempts: Attempts = ONCE,
    over: Pass = CLIP,
) -> Iterator[Segment]:
    """Yield the clip's segments in order; finished ones are read back instead of computed.

    `total_frames` generated frames at `shot.fps` are covered. A segment's node has the segment
    before as a parent, so a change anywhere upstream recomputes everything after it.
    """
    clip = _Clip(sources, config, context, total_frames, over)
    previous: Segment | None = None
    for span in clip.planned:
        make = partial(clip.segment, span, sources.track(span.index, previous), previous)
        previous = attempts.best(span.index, make, context.progress.note)
        clip.first = clip.first or previous
        yield previous


class _Clip:
    """One pass over a clip: its segments, the first one made, and how many were made again."""

    def __init__(
        self, sources: ClipSources, config: VideoConfig, context: RunContext, total_frames: int, over: Pass
    ) -> None:
        self.planned = segment_plan.of(config, total_frames)
        self.first: Segment | None = None
        self._sources, self._config, self._context, self._over = sources, config, context, over
        self._worker = _Worker(sources, config, context)
        self._made_again = 0
        self._count_steps()

    def _count_steps(self) -> None:
        steps = self._config.speed.steps + self._over.beside
        later = hires_plan.steps(self._config) if self._over is not DRAFT else 0
        total = len(self.planned) * (steps + later) + self._made_again * steps
        self._context.progress.stage(self._over.op, total=total)

    def segment(
        self, span: Span, maps: ControlTrack | None, previous: Segment | None, attempt: int
    ) -> Segment:
        """A segment's `attempt`, computed or read back."""
        config, context, over = self._config, self._context, self._over
        if attempt:
            self._made_again += 1
            self._count_steps()
        noise = initial_noise.for_frames(span.start, span.frames, config.motion.noise_share, context, attempt)
        job = SegmentJob(
            op=over.op,
            span=span,
            attempt=attempt,
            control=maps,
            noise=noise,
            known=_known(span, self._sources.keyframe, previous),
            tail=_tail(span, self.first),
        )
        beside, earlier = None if maps is None else maps.beside, _earlier(span, self.first, previous)
        clip = self._sources
        sources = [clip.prompt, noise, clip.keyframe, clip.embedding, maps, beside, *earlier]
        stage = cached_under_plan(
            partial(_node, job, sources, config, context), partial(self._computed, job), context
        )
        for _ in range(config.speed.steps if stage.kept else 0):
            context.progress.step(f"segment {span.index + 1}/{len(self.planned)}, kept")
        context.timeline.mark(f"{'segment' if over is CLIP else over.op} {span.index}")
        latents = from_array(stage.arrays["latents"])
        return Segment(
            index=span.index,
            start=span.start,
            known=span.known,
            latents=latents,
            node=stage.node,
            posed=None if maps is None else maps.posed,
        )

    def _computed(self, job: SegmentJob) -> Arrays:
        latents = self._worker.run(job, len(self.planned))
        if self._over is CLIP and hires_plan.asked(self._config):
            self._worker.rest()
        return {"latents": latents.cpu().numpy()}


def frame_weights(span: Span, frames: int, config: VideoConfig) -> Tensor:
    """How strongly control acts on each frame of a segment: 1 at the one that the maps show, fading to the
    floor.

    That is the keyframe or, where each segment has maps of its own, its last known frame; those before it
    are left alone. The maps of a draft or a choreography are each frame's own and hold all of them alike.
    All of it times what a timeline says.
    """
    strength = config.timeline.control
    led = torch.tensor([curves.value_at(strength, span.start + frame, 1.0) for frame in range(frames)])
    if draft_plan.wanted(config) or choreography_plan.wanted(config):
        return led
    first, over = span.start, config.control.fade_frames
    if span.index and join_plan.mapped(config):
        first, over = 1 - span.known, config.control.join_frames
    return led * torch.tensor(map_fading.faded(first, frames, over, config.control.fade_floor))


def lora_strengths(span: Span, config: VideoConfig) -> dict[str, float]:
    """By registry id, the weights that a timeline gives style LoRAs in the middle of a segment."""
    found: dict[str, float] = {}
    for name in curves.lora_names(config.timeline):
        row = registry.find_style(name, config.base.family)
        if row is not None:
            points = curves.points_of(config.timeline, name)
            found[row.id] = round(curves.value_at(points, middle(span), 1.0), 3)
    return found


def match_statistics(latents: Tensor, reference: Tensor, strength: float) -> Tensor:
    """Move each channel's mean over a segment towards the reference's: stops drift of colour.

    latents [C, F, H, W], reference [C, H, W]; strength 0 leaves all as it is, 1 locks.
    """
    drift = latents.mean(dim=(1, 2, 3)) - reference.mean(dim=(1, 2))
    return latents - strength * drift[:, None, None, None]


class _Worker:
    """Denoises segments; under each plan the networks are made ready once, when the first needs them."""

    def __init__(self, sources: ClipSources, config: VideoConfig, context: RunContext) -> None:
        self.sources, self.config, self.context = sources, config, context
        self.networks: _SegmentNetworks | None = None

    def run(self, job: SegmentJob, segments: int) -> Tensor:
        """Latents [C, F, H, W] float32 of one segment, with less memory where it runs out."""
        detail = f"segment {job.span.index + 1}/{segments}"
        steps = Steps(lambda: self._step(detail))
        return require_finite(with_less(detail, lambda: self._run(job, steps), self.context), detail)

    def rest(self) -> None:
        """Lets go of the networks until the next segment: others may hold them otherwise meanwhile."""
        if self.networks is not None and self.networks.anchor and self.networks.anchor.reference:
            self.networks.anchor.reference.forget()
        self.networks = None

    def _run(self, job: SegmentJob, steps: Steps) -> Tensor:
        plan = self.context.execution.plan
        strengths = lora_strengths(job.span, self.config)
        if strengths != self.context.models.strengths:
            self.rest()  # or two of everything would be held for a moment
            self.context.models.weigh(strengths)
        if self.networks is None or not self.networks.plan.holds_as(plan):
            self.networks = None  # or two of everything would be held for a moment
            self.networks = _SegmentNetworks(self.sources, self.config, self.context)
        return self.networks.run(job, steps)

    def _step(self, detail: str) -> None:
        self.context.timeline.mark("first step")
        self.context.progress.step(detail)


class _SegmentNetworks:
    """The networks and conditions that all segments share."""

    def __init__(self, sources: ClipSources, config: VideoConfig, context: RunContext) -> None:
        keyframe = sources.keyframe
        self.config, self.context, self.keyframe = config, context, keyframe
        self.plan, self.embedding = context.execution.plan, sources.embedding
        context.models.hold(self.plan)
        context.models.adapt(None if self.embedding is None else config.keyframe.identity_scale)
        self.unet = context.models.motion_unet()
        self.prompt = sources.prompt
        guidance = Guidance.of(config.speed, follows=keyframe is not None)
        self.guidance = replace(guidance, batched=guidance.batched and not self.plan.sequential)
        self.floor = noise_floor(config, context)
        self.anchor = _anchor(keyframe, config, self.unet, self.floor, context)
        self.steered: ControlTrack | None = None
        self.controls: Sequence[ControlSource] = ()

    def _steer(self, control: ControlTrack | None) -> None:
        """Make these maps ready; the ones before are let go first."""
        if control is self.steered:
            return
        self.steered, self.controls = None, ()
        with torch.inference_mode(), self.context.autocast():
            self.controls = controlnets.of(control, self.config, self.context)
        self.steered = control

    def run(self, job: SegmentJob, steps: Steps) -> Tensor:
        """Latents [C, F, H, W] float32 of one segment."""
        steps.begin()
        self._steer(job.control)
        context, config, span = self.context, self.config, job.span
        ends = (job.known, job.tail)
        known, tail = (None if end is None else end[None].to(context.device) for end in ends)
        frames, size = segment_plan.drawn(span, config), (config.base.height, config.base.width)
        windows = segment_plan.windows_of(span, config)
        start, skip = self._start(job, frames)
        text = prompt_travel.at(self.prompt, middle(span))
        chaining = Chaining(
            tail=tail,
            floor=self.floor,
            shared=shared_noise("motion", context.models.latent_size, config, context),
            skip=skip,
            start=start,
        )
        # A scheduler is a small object with state: each segment takes a new one.
        scheduler = context.models.motion_scheduler(config.motion.betas)
        scheduler.set_timesteps(config.speed.steps, device=context.device)
        scheduler.set_begin_index(chaining.skip)
        with torch.inference_mode(), context.autocast():
            denoiser = SegmentDenoiser(
                unet=self.unet,
                timesteps=scheduler.timesteps,
                condition=condition(text, size, context, self.embedding),
                guidance=self.guidance,
                frame_weight_F=frame_weights(span, frames, config).to(context.device),
                controls=self.controls,
                anchor=_followed(self.anchor, span, config) if span.index or windows else _led(self.anchor),
                windows=windows,
                turn=context.execution.turn,
            )
            latents = sample(
                denoiser,
                scheduler,
                job.noise.values[None, :, :frames].to(context.device),
                known,
                context.generator(*_steps(job.op, span, job.attempt)),
                partial(self._stepped, span, steps),
                chaining,
            )[0]
        if self.keyframe is not None and config.motion.color_lock > 0:
            end = latents.shape[1] - span.tail
            fresh = match_statistics(
                latents[:, span.known : end], self.keyframe.latent.to(latents), config.motion.color_lock
            )
            latents = torch.cat([latents[:, : span.known], fresh, latents[:, end:]], dim=1)
        return finished(latents, span, config)

    def _start(self, job: SegmentJob, frames: int) -> tuple[Tensor | None, int]:
        """What a segment starts from beside its last known frame, [1, C, F, H, W], and the steps left out.

        Where its poses are planned, that is the keyframe's latent brought into each; under an effect the last
        known latent after it, behind the figure.
        """
        config, span = self.config, job.span
        start, skip = None, int(config.motion.carry * config.speed.steps) if span.known else 0
        posed = None if job.control is None else job.control.posed
        if posed is not None and self.keyframe is not None and choreography_plan.skipped(config):
            start, skip = (
                pose_start.posed(self.keyframe.latent, posed, frames),
                choreography_plan.skipped(config),
            )
        moved = [] if job.known is None else effect_plan.moved(span, config)
        if job.known is not None and moved:
            behind = feedback.fed_back(job.known[:, -1], moved[:frames], config.motion.effect)
            start = behind if start is None or posed is None else pose_start.before(start, behind, posed)
            skip = effect_plan.skipped(config)
        return None if start is None else start[None].to(self.context.device), skip

    def _stepped(self, span: Span, steps: Steps, seen: Tensor) -> None:
        if self.context.preview is not None:
            self.context.preview(span.start, seen[0])
        steps.step()


def _known(span: Span, keyframe: Keyframe | None, previous: Segment | None) -> Tensor | None:
    """The known frames' latents [C, known, H, W] of a segment."""
    if span.known == 0:
        return None
    if previous is None:
        assert keyframe is not None
        return keyframe.latent[:, None]
    return previous.latents[:, -span.known :]


def _tail(span: Span, first: Segment | None) -> Tensor | None:
    """The known frames' latents [C, tail, H, W] at the end of a loop's last segment."""
    return first.latents[:, : span.tail] if first is not None and span.tail else None


def _earlier(span: Span, first: Segment | None, previous: Segment | None) -> list[Segment]:
    """The segments that a segment is made from."""
    found = [first] if first is not None and span.tail else []
    return found if previous is None or (previous is first and found) else [*found, previous]


def _anchor(
    keyframe: Keyframe | None, config: VideoConfig, unet: Attending, floor: NoiseFloor, context: RunContext
) -> Anchor | None:
    motion = config.motion
    if keyframe is None or motion.anchor is settings.Anchor.none:
        return None
    attends = motion.anchor in (settings.Anchor.attention, settings.Anchor.both)
    return Anchor(
        latent=keyframe.latent[None, :, None].to(context.device),
        frame=floor if motion.anchor in (settings.Anchor.frame, settings.Anchor.both) else None,
        reference=Reference(unet, motion.anchor_weight) if attends else None,
        ahead=int(motion.anchor_ahead * config.speed.steps),
        levels=floor.levels,
    )


def _led(anchor: Anchor | None) -> Anchor | None:
    """The anchor of a segment whose first frame is the keyframe: it needs no other copy of it."""
    return replace(anchor, frame=None) if anchor is not None else None


def _followed(anchor: Anchor | None, span: Span, config: VideoConfig) -> Anchor | None:
    """The anchor of a segment whose maps may be another frame's than the keyframe's."""
    own = span.index > 0 and join_plan.mapped(config)
    return replace(anchor, steered=not own) if anchor is not None else None


def _steps(op: str, span: Span, attempt: int) -> tuple[str | int, ...]:
    """The names of the generator that the steps of this segment draw from."""
    return names((op, span.index), attempt)


def _node(job: SegmentJob, sources: Sources, config: VideoConfig, context: RunContext, plan: Plan) -> Node:
    speed = asdict(config.speed) | {"sampler": config.speed.sampler.value}
    params: dict[str, Json] = {
        "span": asdict(job.span),
        "seed": context.seed,
        "generator": list[Json](_steps(job.op, job.span, job.attempt)),
        "motion": part(config.motion),
        "speed": speed,
        "size": [config.base.width, config.base.height],
        "loras": dict(context.models.motion_lora_weights),
        "timeline": part(config.timeline),
        **accents.recorded(config.shot),
    }
    if job.control is not None:
        params["control"] = controlnets.recorded(job.control, config)
    weights = context.models.weights_hash("motion")
    adapted = any(isinstance(source, ImageEmbedding) for source in sources)
    for role in [*controlnets.roles(job.control, config), *(["ip_adapter"] if adapted else [])]:
        weights |= context.models.weights_hash(role)
    return Node.after(
        [record.node for record in sources if record is not None],
        job.op,
        params,
        weights=weights,
        code=code_hash(sys.modules[__name__], *_MODULES),
        environment=environment(context) | plan.moving,
    )
