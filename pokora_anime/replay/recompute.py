"""Single nodes through the very stages that rendered them, their parents read back from the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from pokora_anime.errors import RecordError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance import operations, seed_noise
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import Makes, Operation, of
from pokora_anime.provenance.stage_records import (
    ControlTrack,
    Image,
    ImageEmbedding,
    Keyframe,
    Prompt,
    Segment,
    Still,
)
from pokora_anime.replay.replay_parts import FRAMES, Unit, attempt, delivered_segments, span
from pokora_anime.replay.segment_frames import Delivered, Stored, segment_frames, shared
from pokora_anime.replay.stored_run import Shelf
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.stages.control import choreography_stage, control_maps, draft_maps, join_maps
from pokora_anime.stages.delivery import encode, finish
from pokora_anime.stages.motion import hires, segments
from pokora_anime.stages.motion.reroll import Attempts
from pokora_anime.stages.picture import identity, image_embedding, initial_noise, keyframe, selection
from pokora_anime.stages.picture.identity import Identity
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.system.typed_tensors import from_array
from pokora_anime.timeline import draft_plan, hires_plan, join_plan, shot_plan
from pokora_anime.timeline.frame_timing import frames_generated
from pokora_anime.verify.policy.node_settings import configs
from pokora_anime.verify.record import shot_records
from pokora_anime.verify.record.claimed_record import Record, Step
from pokora_anime.verify.record.stored_contents import Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Redone:
    """A node as this install makes it, and its arrays (a still's picture as `image`)."""

    node: Node
    arrays: Mapping[str, npt.NDArray[np.generic]]


_Method = Callable[["Replayer", Step, RunContext], object]
_M = TypeVar("_M", bound=_Method)
METHODS: dict[str, _Method] = {}  # of the operations that are replayed


def _replays(operation: Operation) -> Callable[[_M], _M]:
    """The method that computes a node of this operation again."""

    def entered(method: _M) -> _M:
        METHODS[operation.name] = method
        return method

    return entered


class Replayer:
    """Computes parts of one run again with this install's code and weights."""

    def __init__(
        self,
        record: Record,
        arrays: Arrays,
        config: RunConfig,
        context: RunContext,
        whole: Record | None = None,
    ) -> None:
        self._record, self._arrays, self._config, self._context = record, arrays, config, context
        self._whole = whole or record  # that `record` is a shot of

    def node(self, unit: Unit) -> Redone:
        """A node computed from its stored parents.

        Raises RecordError RPL-* where the stage does not come to the node, and what torch raises.
        """
        own = self._drawing(unit.step)
        shelf = Shelf(own._record, self._arrays, unit.step)
        result = METHODS[unit.kind](own, unit.step, own._on(shelf))
        if shelf.made is None:
            raise RecordError("RPL-PLACE", "the stage makes no such node")
        pictures = {"image": result.image} if isinstance(result, Still) else {}
        return Redone(node=shelf.made, arrays=shelf.arrays or pictures)

    def frames(self, unit: Unit) -> Delivered:
        """The delivered frames of one segment, from its latents and those around them."""
        assert unit.kind == FRAMES and unit.segment is not None and isinstance(self._config, VideoConfig)
        own = self._drawing(unit.segment)
        made = own._shown(unit.segment)
        return replace(made, first=made.first + self._start(unit.segment))

    def _shown(self, segment: Step) -> Delivered:
        assert isinstance(self._config, VideoConfig)
        steps = self._segments()
        at = [step.id for step in steps].index(segment.id)
        return segment_frames([self._stored(step) for step in steps], at, self._config, self._context)

    def _start(self, step: Step) -> int:
        """The first delivered frame of the shot that a node belongs to."""
        if not (isinstance(self._config, VideoConfig) and self._config.shots):
            return 0
        return shot_plan.starts(self._config)[shot_records.owner(shot_records.split(self._record), step)]

    def _stored(self, step: Step) -> Stored:
        """A delivered segment, with the poses that it was made under."""
        assert isinstance(self._config, VideoConfig)
        latents = cast(npt.NDArray[np.float32], self._arrays.of(step)["latents"])
        place = span(step)
        posed = None
        for planned in (one for one in self._record.steps if of(one.op).makes is Makes.poses):
            joints = self._arrays.of(planned)["pose"].astype(np.float32)
            posed = choreography_stage.of_frames(joints, place["start"], latents.shape[1], self._config)
        return Stored(latents=latents, start=place["start"], shared=shared(place), posed=posed)

    def finish_node(self, unit: Unit, hashes: list[str]) -> Node:
        """The finish node as this install enters it for these frames."""
        own = self._drawing(unit.step)
        assert isinstance(own._config, VideoConfig)
        shelf = Shelf(own._record, self._arrays, unit.step)
        nodes = [Node.from_json(step.raw) for step in own._segments()]
        first, count = self._start(unit.step), sum(shot_plan.frames_of(own._config))
        return finish.record(nodes, hashes[first : first + count], own._config, own._on(shelf))

    def rgb_hash(self, frame: Image) -> str:
        """The hash that `encode` lists of a frame before it encodes it."""
        return encode.rgb_hash(frame)

    def encoder(self, path: Path) -> list[str]:
        """The command line that encodes this run's raw frames into a file."""
        assert isinstance(self._config, VideoConfig)
        finish = self._config.finish
        return encode.command(find_ffmpeg(), (finish.width, finish.height), finish.fps, self._config, path)

    def _drawing(self, step: Step) -> Replayer:
        """The same under the config that drew the node: a still has a seed of its own, a shot a clip's."""
        if isinstance(self._config, VideoConfig) and self._config.shots:
            parts = shot_records.split(self._record)
            index = shot_records.owner(parts, step)
            plan = shot_plan.each(self._config)[index]
            context = replace(self._context, seed=plan.seed)
            return Replayer(parts[index], self._arrays, plan, context, self._record)
        config = configs(self._record, self._config).get(step.id)
        if config is None:
            return self
        context = replace(self._context, seed=config.seed)
        return Replayer(self._record, self._arrays, config, context)

    def _on(self, shelf: Shelf) -> RunContext:
        return replace(self._context, folder=shelf.folder)

    def _steps(self, operation: Operation) -> list[Step]:
        return [step for step in self._record.steps if step.op == operation.name]

    def _segments(self) -> list[Step]:
        return delivered_segments(self._record)

    # One method an operation

    def _text(self, context: RunContext) -> Prompt:
        return prompt_embeddings.encode(self._config.shot, self._config, context)

    @_replays(operations.PROMPT)
    def _prompt(self, step: Step, context: RunContext) -> None:
        del step
        self._text(context)

    @_replays(operations.NOISE)
    def _noise(self, step: Step, context: RunContext) -> None:
        derivation = cast(dict[str, object], step.params["derivation"])
        if derivation["kind"] == seed_noise.OF_PICTURE:
            kind, index = cast(tuple[str, int], derivation["names"])
            initial_noise.for_picture((kind, index), context)
        else:
            assert isinstance(self._config, VideoConfig)
            frames = cast(list[int], step.params["shape"])[1]
            share, start = self._config.motion.noise_share, cast(int, derivation["start"])
            if derivation["kind"] == seed_noise.OF_HIRES:
                initial_noise.for_hires(start, frames, share, hires_plan.latent_size(self._config), context)
                return
            initial_noise.for_frames(start, frames, share, context, cast(int, derivation.get("attempt", 0)))

    @_replays(operations.IDENTITY)
    def _identity(self, step: Step, context: RunContext) -> Identity:
        """What a later shot is told of the first one's keyframe."""
        assert isinstance(self._config, VideoConfig)
        parent = self._whole.by_id[step.parents[0]]
        latent = from_array(np.array(self._arrays.of(parent)["latent"], np.float32))
        first = Keyframe(latent=latent, image=np.zeros((1, 1, 3), np.uint8), node=Node.from_json(parent.raw))
        return identity.of(first, self._config, context)

    @_replays(operations.KEYFRAME)
    def _keyframe(self, step: Step, context: RunContext) -> Keyframe:
        text = self._text(context)
        if isinstance(self._config, StillsConfig):
            return keyframe.render_still(text, self._config, context)
        _, attempted = cast(tuple[str, int], step.params["part"])
        like = self._likeness(step, context)
        return keyframe.render(text, self._config, context, attempted, like)

    def _likeness(self, step: Step, context: RunContext) -> Identity | None:
        """The first shot's keyframe as a later shot's sees it, if it is a parent."""
        drawn = [one for one in self._steps(operations.IDENTITY) if one.id in step.parents]
        return self._identity(drawn[0], context) if drawn else None

    @_replays(operations.SELECTION)
    def _selection(self, step: Step, context: RunContext) -> Keyframe:
        assert isinstance(self._config, VideoConfig)
        text = self._text(context)
        candidates = [self._keyframe(one, context) for one in self._steps(operations.KEYFRAME)]
        taken = int(self._arrays.of(step)["scores"].argmax())
        return selection.select(text, candidates, self._config, context, taken).keyframe

    def _drawn(self, context: RunContext) -> Keyframe | None:
        """The keyframe as it was drawn first, or the best of several."""
        for operation, method in (
            (operations.SELECTION, self._selection),
            (operations.KEYFRAME, self._keyframe),
        ):
            for step in self._steps(operation):
                return method(step, context)
        return None

    def _first(self, context: RunContext) -> Keyframe | None:
        """The keyframe that the clip begins with."""
        step = next(iter(self._steps(operations.REDRAWN)), None)
        return self._drawn(context) if step is None else self._redrawn(step, context)

    @_replays(operations.REDRAWN)
    def _redrawn(self, step: Step, context: RunContext) -> Keyframe:
        config = self._config
        assert isinstance(config, VideoConfig)
        planned = next(one for one in self._steps(operations.CHOREOGRAPHY) if one.id in step.parents)
        opening = choreography_stage.opening(self._choreography(planned, context), config, context)
        if opening is None:
            raise RecordError("RPL-NOBODY", "somebody is found in the keyframe that was drawn again")
        _, attempted = cast(tuple[str, int], step.params["part"])
        like = self._likeness(step, context)
        return keyframe.redraw(self._text(context), opening, config, context, attempted, like)

    @_replays(operations.CONTROL)
    def _control(self, step: Step, context: RunContext) -> ControlTrack:
        assert isinstance(self._config, VideoConfig)
        first = self._first(context)
        assert first is not None
        found = control_maps.extract(
            first, self._config, context, last_attempt=step.params.get("last_attempt") is True
        )
        if not isinstance(found, ControlTrack):
            raise RecordError("RPL-NOBODY", "nobody is found in the keyframe whose maps are recorded")
        return found

    @_replays(operations.CHOREOGRAPHY)
    def _choreography(self, step: Step, context: RunContext) -> Node:
        del step
        config, first = self._config, self._drawn(context)
        assert isinstance(config, VideoConfig) and first is not None
        return choreography_stage.plan(self._text(context), first, config, context)

    @_replays(operations.EMBEDDING)
    def _embedding(self, step: Step, context: RunContext) -> ImageEmbedding:
        del step
        first = self._first(context)
        assert isinstance(self._config, VideoConfig) and first is not None
        return image_embedding.of(first, self._config, context)

    def _sources(self, context: RunContext) -> segments.ClipSources:
        """What all segments are made from, their maps aside."""
        first = self._first(context)
        shown = next(iter(self._steps(operations.EMBEDDING)), None)
        embedding = None if shown is None else self._embedding(shown, context)
        return segments.ClipSources(prompt=self._text(context), keyframe=first, embedding=embedding)

    def _drafted(self, context: RunContext) -> Iterator[Segment]:
        config = self._config
        assert isinstance(config, VideoConfig)
        total = frames_generated(config)
        return segments.render(
            self._sources(context),
            draft_plan.settings(config),
            context,
            total,
            over=segments.DRAFT,
        )

    @_replays(operations.DRAFT)
    def _draft(self, step: Step, context: RunContext) -> None:
        next(one for one in self._drafted(context) if one.index == span(step)["index"])

    @_replays(operations.DRAFT_MAPS)
    def _draft_maps(self, step: Step, context: RunContext) -> None:
        assert isinstance(self._config, VideoConfig)
        segment = next(one for one in self._drafted(context) if one.index == step.params["segment"])
        draft_maps.read(segment, self._config, context)

    @_replays(operations.JOIN_MAPS)
    def _join_maps(self, step: Step, context: RunContext) -> None:
        config = self._config
        assert isinstance(config, VideoConfig)
        moved = self._moved(self._sources(context), context)
        before = next(one for one in moved if one.index + 1 == step.params["segment"])
        join_maps.read(before, config, context)

    def _maps(self, context: RunContext) -> ControlTrack | segments.Tracks | None:
        config = self._config
        assert isinstance(config, VideoConfig)
        mapped = next(iter(self._steps(operations.CONTROL)), None)
        nodes = [Node.from_json(one.raw) for one in self._steps(operations.DRAFT_MAPS)]
        if nodes:
            return lambda index, _: draft_maps.track(nodes[index], config, context)
        planned = next(iter(self._steps(operations.CHOREOGRAPHY)), None)
        if planned is not None:
            node = self._choreography(planned, context)
            still = None if mapped is None else self._control(mapped, context)
            return lambda index, _: choreography_stage.track(node, index, still, config, context)
        first = None if mapped is None else self._control(mapped, context)
        if join_plan.mapped(config):
            return lambda _, before: first if before is None else join_maps.read(before, config, context)
        return first

    @_replays(operations.MOTION)
    def _motion(self, step: Step, context: RunContext) -> None:
        moved = self._moved(self._sources(context), context)
        next(one for one in moved if one.index == span(step)["index"])

    @_replays(operations.HIRES)
    def _hires(self, step: Step, context: RunContext) -> None:
        config = self._config
        assert isinstance(config, VideoConfig)
        sources = self._sources(context)
        again = hires.render(
            self._moved(sources, context),
            sources.prompt,
            config,
            context,
            frames_generated(config),
            sources.embedding,
        )
        next(one for one in again if one.index == span(step)["index"])

    def _moved(self, sources: segments.ClipSources, context: RunContext) -> Iterator[Segment]:
        config = self._config
        assert isinstance(config, VideoConfig)
        taken = {span(one)["index"]: attempt(one) for one in self._steps(operations.MOTION)}
        recorded = Attempts(of=lambda index: (taken[index],))
        return segments.render(
            replace(sources, control=self._maps(context)),
            config,
            context,
            frames_generated(config),
            recorded,
        )

    @_replays(operations.STILL)
    def _deliver(self, step: Step, context: RunContext) -> Still:
        assert isinstance(self._config, StillsConfig)
        parent = next(one for one in self._record.steps if one.id == step.parents[0])
        return keyframe.deliver(self._keyframe(parent, context), self._config, context)
