"""The stages in order and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pokora_anime.errors import ConfigError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.stage_records import ControlTrack, Image, Keyframe, Prompt, Segment, Video
from pokora_anime.quality.joining import JoinJudge
from pokora_anime.quality.metrics.optical_flow import DisFlow
from pokora_anime.render.run import Run, open_run
from pokora_anime.schema.settings import StillsConfig, VideoConfig
from pokora_anime.stages.control import choreography_stage, control_maps, draft_maps, join_maps
from pokora_anime.stages.delivery import encode, finish
from pokora_anime.stages.motion import hires, segments
from pokora_anime.stages.motion.reroll import ONCE, Attempts
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.system.bounded_worker import Background
from pokora_anime.timeline import (
    camera_choice,
    choreography_plan,
    draft_plan,
    hires_plan,
    join_plan,
    segment_plan,
)
from pokora_anime.timeline.frame_timing import frames_generated
from pokora_anime.timeline.still_seeds import of_still

EXTRACTORS = ("pose_extractor", "depth_extractor", "lineart_extractor")


def render_video(config: VideoConfig, root: Path, guard: Mapping[str, Json] | None = None) -> Path:
    """Render the clip that `config` describes; returns its run folder.

    A finished run is returned as it is, an unfinished one goes on from its last finished segment.
    `guard` is what held this process in while it rendered; it goes into the record.
    Raises PokoraError children; what is finished stays on disk.
    """
    with open_run("video", config, root, guard) as run:
        if not run.folder.finished:
            _render(config, run)
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


def clip_segments(config: VideoConfig, context: RunContext) -> Iterator[Segment]:
    """The denoised segments of a clip, in order, without what delivers them."""
    text = prompt_embeddings.encode(config.shot, config, context)
    context.models.free_text()
    maps: ControlTrack | segments.Tracks | None
    if choreography_plan.wanted(config):
        control = None
        first, maps = _choreographed(text, config, context)
    else:
        first, control = _first_frame(text, config, context) if config.keyframe.enabled else (None, None)
        maps = control
    # What only the keyframe needed would cost a small GPU half its memory during the motion.
    context.models.free("unet", *EXTRACTORS)
    if draft_plan.wanted(config):
        maps = _drafted(text, first, config, context)
        context.models.free(*EXTRACTORS)
    elif join_plan.mapped(config):
        maps = _joined(control, config, context)
    total = frames_generated(config)
    clip = segments.render(
        segments.ClipSources(prompt=text, keyframe=first, control=maps),
        config,
        context,
        total,
        _attempts(config, context),
    )
    return hires.render(clip, text, config, context, total) if hires_plan.asked(config) else clip


def _drafted(
    text: Prompt, first: Keyframe | None, config: VideoConfig, context: RunContext
) -> segments.Tracks:
    """The clip drafted without maps, and what tells the maps of each of its segments.

    They stay in the run folder until a segment needs them. A draft is made once: a segment that is made
    again is made under the same maps.
    """
    unseen = replace(context, preview=None)
    drafted = segments.render(
        segments.ClipSources(prompt=text, keyframe=first),
        draft_plan.settings(config),
        unseen,
        frames_generated(config),
        over=segments.DRAFT,
    )
    nodes = [draft_maps.read(segment, config, context) for segment in drafted]
    return lambda index, _: draft_maps.track(nodes[index], config, context)


def _choreographed(
    text: Prompt, config: VideoConfig, context: RunContext
) -> tuple[Keyframe, segments.Tracks]:
    """A keyframe, and what tells each segment its frames of the poses planned for whom it shows.

    One that shows nobody is drawn again under the first of them. Its other maps are every segment's too.
    """
    first = keyframe.render(text, config, context)
    node = choreography_stage.plan(text, first, config, context)
    choreography_stage.show(node, config, context)
    opening, alone = choreography_stage.opening(node, config, context), config.control.attempts == 1
    if opening is not None and alone:
        raise ConfigError(
            "CFG-NOBODY",
            "the keyframe shows nobody, and with control.attempts=1 no other may take its place",
            expected="somebody whose poses can be planned",
            fix="control=segment reads what the picture shows; control.attempts=3 lets it be drawn again",
        )
    if opening is not None:
        context.progress.note(choreography_stage.NOBODY)
        first, alone = keyframe.redraw(text, opening, config, context), False
    still: ControlTrack | control_maps.NobodyFound | None = None
    if choreography_plan.read_kinds(config):
        still = control_maps.extract(first, config, context, last_attempt=alone)
        assert isinstance(still, ControlTrack)  # no pose is read
    context.models.free(choreography_stage.ROLE)
    return first, lambda index, _: choreography_stage.track(node, index, still, config, context)


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


def _render(config: VideoConfig, run: Run) -> None:
    find_ffmpeg()  # before anything is computed, not after
    run.display.plan(_steps(config))
    for warning in (hires_plan.warning(config), camera_choice.note(config)):
        if warning:
            run.display.note(warning)
    run.begin_score(_joins(config))
    run.begin_preview()
    run.finish_video(_deliver(clip_segments(config, run.context), config, run))


def _joins(config: VideoConfig) -> list[int]:
    """The first new frame of every generated segment but the first, within the clip."""
    total = frames_generated(config)
    planned = segment_plan.of(config, total)
    return [span.start + span.known for span in planned[1:] if span.start + span.known < total]


def _steps(config: VideoConfig) -> dict[str, int]:
    """Denoising steps of the stages to come, for the estimate of the time left."""
    count = len(segment_plan.of(config, frames_generated(config)))
    steps = {"keyframe": config.speed.steps} if config.keyframe.enabled else {}
    if draft_plan.wanted(config):
        steps["draft"] = count * (draft_plan.settings(config).speed.steps + segments.DRAFT.beside)
    return {**steps, "motion": count * (config.speed.steps + hires_plan.steps(config))}


def _first_frame(
    text: Prompt, config: VideoConfig, context: RunContext
) -> tuple[Keyframe, ControlTrack | None]:
    """A keyframe and its control maps; another seed where nobody is found for the pose."""
    for attempt in range(config.control.attempts):
        first = keyframe.render(text, config, context, attempt)
        if not config.control.kinds or draft_plan.wanted(config):
            return first, None
        last = attempt == config.control.attempts - 1
        found = control_maps.extract(first, config, context, last_attempt=last)
        if isinstance(found, ControlTrack):
            return first, found
        context.progress.note(f"nobody found in keyframe {attempt + 1}: trying the next seed")
    raise AssertionError("the last attempt yields a control track")


def _deliver(segments: Iterator[Segment], config: VideoConfig, run: Run) -> Video:
    """Finish and encode in one worker thread while the next segment is denoised here."""
    nodes: list[Node] = []

    def consume(arriving: Iterator[Segment]) -> Video:
        frames = run.watch(finish.frames(arriving, config, run.context, run.watch_generated))
        return encode.write(
            frames,
            config,
            run.context,
            lambda hashes: finish.record(nodes, hashes, config, run.context),
            run.show_decoded,
        )

    with Background(consume, depth=1) as worker:
        for segment in segments:
            nodes.append(segment.node)
            worker.put(segment)
        return worker.close()
