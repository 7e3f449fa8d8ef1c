"""The stages in order and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from PIL import Image as Picture
from torch import Tensor

from pokora_anime.catalogue.registry import JUDGE
from pokora_anime.errors import ConfigError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_layout import CANDIDATES, REPORTS
from pokora_anime.provenance.stage_records import ControlTrack, Image, Keyframe, Prompt, Segment, Video
from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.quality.joining import JoinJudge
from pokora_anime.quality.metrics.clip_scorer import ClipScorer
from pokora_anime.quality.metrics.metric_table import GENERATED
from pokora_anime.quality.metrics.optical_flow import DisFlow
from pokora_anime.quality.metrics.scorer_backends import light_describer
from pokora_anime.quality.overall import of_score
from pokora_anime.render.run import Run, open_run
from pokora_anime.schema.settings import StillsConfig, VideoConfig
from pokora_anime.stages.control import choreography_stage, control_maps, draft_maps, join_maps
from pokora_anime.stages.delivery import encode, finish
from pokora_anime.stages.motion import hires, segments
from pokora_anime.stages.motion.reroll import ONCE, Attempts
from pokora_anime.stages.picture import identity, image_embedding, keyframe, selection
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.picture.identity import Identity
from pokora_anime.stages.picture.selection import Selected
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.system.bounded_worker import Background
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.timeline import (
    camera_choice,
    choreography_plan,
    draft_plan,
    hires_plan,
    join_plan,
    segment_plan,
    shot_plan,
)
from pokora_anime.timeline.frame_timing import frames_delivered, frames_generated
from pokora_anime.timeline.still_seeds import of_still

EXTRACTORS = ("pose_extractor", "depth_extractor", "lineart_extractor")


def render_video(
    config: VideoConfig,
    root: Path,
    guard: Mapping[str, Json] | None = None,
    first: Callable[[float], None] | None = None,
) -> Path:
    """Render the clip that `config` describes; returns its run folder.

    A finished run is returned as it is, an unfinished one goes on from its last finished segment.
    `guard` is what held this process in while it rendered; it goes into the record. `first` is told the
    score of the first segment, once it is there.
    Raises PokoraError children; what is finished stays on disk.
    """
    with open_run("video", config, root, guard) as run:
        if not run.folder.finished:
            _render(config, run, first)
        return run.folder.path


def render_stills(config: StillsConfig, root: Path, guard: Mapping[str, Json] | None = None) -> Path:
    """Render images, each with the next seed; returns the run folder. `guard` as for a video."""
    with open_run("stills", config, root, guard) as run:
        if not run.folder.finished:
            own = [of_still(config, index) for index in range(config.count)]
            texts = [prompt_embeddings.encode(one.shot, one, run.context) for one in own]
            run.context.models.free_text()
            images = [
                keyframe.render_still(text, one, replace(run.context, seed=one.seed))
                for text, one in zip(texts, own, strict=True)
            ]
            run.finish_stills([keyframe.deliver(image, config, run.context) for image in images])
        return run.folder.path


def clip_segments(
    config: VideoConfig, context: RunContext, likeness: Likeness | None = None
) -> Iterator[Segment]:
    """The denoised segments of a clip, in order, without what delivers them.

    A later shot's keyframe is drawn by the `likeness` to the first one's, which the first one gives.
    """
    text = prompt_embeddings.encode(config.shot, config, context)
    context.models.free_text()
    like = None if likeness is None else likeness.identity
    maps: ControlTrack | segments.Tracks | None
    if choreography_plan.wanted(config):
        control = None
        first, maps = _choreographed(text, config, context, like)
    else:
        first, control = (
            _first_frame(text, config, context, like) if config.keyframe.enabled else (None, None)
        )
        maps = control
    if likeness is not None and first is not None and likeness.identity is None:
        likeness.identity = identity.of(first, config, context)
    # What only the keyframe needed would cost a small GPU half its memory during the motion.
    context.models.free("unet", *EXTRACTORS)
    sources = segments.ClipSources(prompt=text, keyframe=first)
    if first is not None and shot_plan.adapted(config):
        sources = replace(sources, embedding=image_embedding.of(first, config, context))
    if draft_plan.wanted(config):
        maps = _drafted(sources, config, context)
        context.models.free(*EXTRACTORS)
    elif join_plan.mapped(config):
        maps = _joined(control, config, context)
    total = frames_generated(config)
    clip = segments.render(replace(sources, control=maps), config, context, total, _attempts(config, context))
    if not hires_plan.asked(config):
        return clip
    return hires.render(clip, text, config, context, total, sources.embedding)


def _drafted(sources: segments.ClipSources, config: VideoConfig, context: RunContext) -> segments.Tracks:
    """The clip drafted without maps, and what tells the maps of each of its segments.

    They stay in the run folder until a segment needs them. A draft is made once: a segment that is made
    again is made under the same maps.
    """
    unseen = replace(context, preview=None)
    drafted = segments.render(
        sources,
        draft_plan.settings(config),
        unseen,
        frames_generated(config),
        over=segments.DRAFT,
    )
    nodes = [draft_maps.read(segment, config, context) for segment in drafted]
    return lambda index, _: draft_maps.track(nodes[index], config, context)


def _choreographed(
    text: Prompt, config: VideoConfig, context: RunContext, like: Identity | None
) -> tuple[Keyframe, segments.Tracks]:
    """A keyframe, and what tells each segment its frames of the poses planned for whom it shows.

    Its other maps are every segment's too.
    """
    first, node, alone = posed_keyframe(text, config, context, like)
    choreography_stage.show(node, config, context)
    still: ControlTrack | control_maps.NobodyFound | None = None
    if choreography_plan.read_kinds(config):
        still = control_maps.extract(first, config, context, last_attempt=alone)
        assert isinstance(still, ControlTrack)  # no pose is read
    context.models.free(choreography_stage.ROLE)
    return first, lambda index, _: choreography_stage.track(node, index, still, config, context)


def posed_keyframe(
    text: Prompt, config: VideoConfig, context: RunContext, like: Identity | None = None
) -> tuple[Keyframe, Node, bool]:
    """A keyframe, the node of the poses planned for whom it shows, whether no other may take its place.

    It is drawn again in the first of them where keyframe.posed says so, or where it shows nobody. Raises
    ConfigError CFG-NOBODY.
    """
    first, attempt = _best_keyframe(text, config, context, like=like)
    node = choreography_stage.plan(text, first, config, context)
    opening, alone = choreography_stage.opening(node, config, context), config.control.attempts == 1
    nobody = opening is not None and choreography_stage.shows_nobody(node, context)
    if nobody and alone:
        raise ConfigError(
            "CFG-NOBODY",
            "the keyframe shows nobody, and with control.attempts=1 no other may take its place",
            expected="somebody whose poses can be planned",
            fix="control=segment reads what the picture shows; control.attempts=3 lets it be drawn again",
        )
    if nobody:
        context.progress.note(choreography_stage.NOBODY)
    if opening is not None:
        return keyframe.redraw(text, opening, config, context, attempt, like), node, alone
    return first, node, alone


def _joined(first: ControlTrack | None, config: VideoConfig, context: RunContext) -> segments.Tracks:
    """What reads the maps of the frame that each segment starts from; the first one's are the keyframe's."""

    def track(_: int, before: Segment | None) -> ControlTrack | None:
        if before is None:
            return first
        found = join_maps.read(before, config, context)
        with context.execution.turn():  # freeing moves what shares a small GPU
            context.models.free(*EXTRACTORS)
        return found

    return track


def _attempts(config: VideoConfig, context: RunContext) -> Attempts:
    """As many as quality.reroll allows at a segment that the judge of joins refuses."""
    if not config.quality.reroll:
        return ONCE

    def shown(segment: Segment) -> Iterator[Image]:
        return decode_chunks(
            segment.latents[:, max(0, segment.known - 1) :], config.finish.decode_chunk, context
        )

    judge = JoinJudge(shown, DisFlow())
    return Attempts(of=lambda _: range(config.quality.reroll + 1), failing=judge)


def _render(config: VideoConfig, run: Run, first: Callable[[float], None] | None) -> None:
    find_ffmpeg()  # before anything is computed, not after
    run.display.plan(_steps(config))
    for warning in (hires_plan.warning(config), camera_choice.note(config)):
        if warning:
            run.display.note(warning)
    shots = shot_plan.each(config)
    run.begin_score(shots, [_joins(one) for one in shots])
    run.begin_preview()
    run.finish_video(_deliver(_arriving(config, shots, run.context, first), shots, run))


@dataclass(slots=True)
class Likeness:
    """What the first shot of a list hands to those after it, once its keyframe is there."""

    identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """A segment of the shot with this index."""

    shot: int
    segment: Segment


def _arriving(
    config: VideoConfig,
    shots: Sequence[VideoConfig],
    context: RunContext,
    first: Callable[[float], None] | None,
) -> Iterator[_Arrived]:
    """The segments of all shots, one shot after the other."""
    likeness = Likeness() if shot_plan.likened(config) else None
    for index, one in enumerate(shots):
        own = _in_shot(context, one, sum(frames_generated(before) for before in shots[:index]))
        if len(shots) > 1:
            context.progress.note(f"shot {index + 1} of {len(shots)}: {one.shot.prompt}")
        for segment in clip_segments(one, own, likeness):
            if first is not None:
                first(_first_score(segment, one, own))
                first = None
            yield _Arrived(shot=index, segment=segment)


def _first_score(segment: Segment, config: VideoConfig, context: RunContext) -> float:
    """The overall score of a segment's frames, 0 where nothing can be measured."""
    describer = light_describer(config.base.family, config.shot.prompt, context.device.type)
    scorer = ClipScorer(joins=(), fps=config.shot.fps, flows=DisFlow(), describer=describer)
    for frame in decode_chunks(segment.latents, config.finish.decode_chunk, context):
        scorer.push(frame)
    return of_score(scorer.result(), GENERATED) or 0.0


def _in_shot(context: RunContext, config: VideoConfig, first: int) -> RunContext:
    """The context of a shot: its own seed, and a preview that begins at its first generated frame."""
    show = context.preview
    if show is None or not first:
        return replace(context, seed=config.seed)

    def later(start: int, latents: Tensor) -> None:
        show(start + first, latents)

    return replace(context, seed=config.seed, preview=later)


def _joins(config: VideoConfig) -> list[int]:
    """The first new frame of every generated segment but the first, within the clip."""
    total = frames_generated(config)
    planned = segment_plan.of(config, total)
    return [span.start + span.known for span in planned[1:] if span.start + span.known < total]


def _steps(config: VideoConfig) -> dict[str, int]:
    """Denoising steps of the stages to come, of all shots, for the estimate of the time left."""
    found: dict[str, int] = {}
    for one in shot_plan.each(config):
        for stage, steps in _steps_of(one).items():
            found[stage] = found.get(stage, 0) + steps
    return found


def _steps_of(config: VideoConfig) -> dict[str, int]:
    count = len(segment_plan.of(config, frames_generated(config)))
    drawn = config.best_of + choreography_plan.redraws(config)
    steps = {"keyframe": drawn * config.speed.steps} if config.keyframe.enabled else {}
    if draft_plan.wanted(config):
        steps["draft"] = count * (draft_plan.settings(config).speed.steps + segments.DRAFT.beside)
    return {**steps, "motion": count * (config.speed.steps + hires_plan.steps(config))}


def _best_keyframe(
    text: Prompt, config: VideoConfig, context: RunContext, attempt: int = 0, like: Identity | None = None
) -> tuple[Keyframe, int]:
    """The keyframe of an attempt, or the best of as many as best_of says; and which attempt it is."""
    if config.best_of == 1:
        return keyframe.render(text, config, context, attempt, like), attempt
    numbers = range(config.best_of)
    candidates = [keyframe.render(text, config, context, number, like) for number in numbers]
    found = selection.select(text, candidates, config, context)
    context.models.free(JUDGE)
    _show_candidates(candidates, found, context)
    return found.keyframe, found.index


def _show_candidates(candidates: Sequence[Keyframe], found: Selected, context: RunContext) -> None:
    """Say which keyframe was taken; all of them with their scores are a picture among the reports."""
    told = [f"{score:.3f}" for score in found.scores]
    context.progress.note(f"keyframe {found.index + 1} of {len(candidates)} goes on: scores {' '.join(told)}")
    labels = [f"{number}: {score}" for number, score in enumerate(told, 1)]
    labels[found.index] += ", taken"
    sheet = contact_sheet([one.image for one in candidates], min(4, len(candidates)), labels)
    path = context.folder.path / REPORTS / CANDIDATES
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(sheet).save(path)


def _first_frame(
    text: Prompt, config: VideoConfig, context: RunContext, like: Identity | None
) -> tuple[Keyframe, ControlTrack | None]:
    """A keyframe and its control maps; another seed where nobody is found for the pose.

    The best of several is taken whether it shows somebody or not.
    """
    attempts = config.control.attempts if config.best_of == 1 else 1
    for attempt in range(attempts):
        first, _ = _best_keyframe(text, config, context, attempt, like)
        if not config.control.kinds or draft_plan.wanted(config):
            return first, None
        last = attempt == attempts - 1
        found = control_maps.extract(first, config, context, last_attempt=last)
        if isinstance(found, ControlTrack):
            return first, found
        context.progress.note(f"nobody found in keyframe {attempt + 1}: trying the next seed")
    raise AssertionError("the last attempt yields a control track")


def _deliver(arriving: Iterator[_Arrived], shots: Sequence[VideoConfig], run: Run) -> Video:
    """Finish and encode in one worker thread while the next segment is denoised here.

    Every shot is finished by itself, so that nothing is blended across a cut.
    """
    nodes: list[list[Node]] = [[] for _ in shots]

    def finished(arriving: Iterator[_Arrived]) -> Iterator[Image]:
        for index, group in groupby(arriving, key=lambda one: one.shot):
            arrived = (run.planned(one.segment, shot=one.shot) for one in group)
            generated = partial(run.watch_generated, shot=index)
            yield from run.watch(finish.frames(arrived, shots[index], run.context, generated), shot=index)

    def sources(hashes: Sequence[str]) -> list[Node]:
        found: list[Node] = []
        first = 0
        for made, one in zip(nodes, shots, strict=True):
            count = frames_delivered(one.shot.seconds, one.finish.fps)
            found.append(finish.record(made, hashes[first : first + count], one, run.context))
            first += count
        return found

    def consume(arriving: Iterator[_Arrived]) -> Video:
        assert isinstance(run.config, VideoConfig)
        return encode.write(finished(arriving), run.config, run.context, sources, run.show_decoded)

    with Background(consume, depth=1) as worker:
        for one in arriving:
            nodes[one.shot].append(one.segment.node)
            worker.put(one)
        return worker.close()
