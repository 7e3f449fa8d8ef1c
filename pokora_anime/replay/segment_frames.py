"""Delivered frames of one segment, made as `stages.delivery.finish` makes them.

A delivered frame belongs to the segment that brought the later of its source frames, so the frames of all
segments are the clip, each once. The join needs the last frame before it, steadied frames those around them,
and frames in the keyframe's colours the clip's first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image, Posed
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline.frame_timing import frames_delivered, moving, source_position
from pokora_anime.timeline.hires_plan import decoded_size

if TYPE_CHECKING:
    from pokora_anime.stages.delivery.settled_frames import Shown

Latents = npt.NDArray[np.float32]  # [channels, frames, height, width]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Frames of a clip from index `first` on, made as they are asked for; there are `count`."""

    first: int
    count: int
    frames: Iterator[Image]


def belonging(first: int, stop: int, config: VideoConfig) -> range:
    """The delivered frames whose latest source frame lies in [first, stop)."""
    latest = ceil if moving(config.finish) else floor
    every = range(frames_delivered(config.shot.seconds, config.finish.fps))
    own = [
        index
        for index in every
        if first <= latest(source_position(index, config.shot.fps, config.finish.fps)) < stop
    ]
    return range(own[0], own[-1] + 1) if own else range(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A delivered segment as the run stored it: its latents, the clip index of their first frame, how many of
    them the segment before has delivered, and its poses if they were planned."""

    latents: Latents
    start: int
    shared: int
    posed: Posed | None

    @property
    def brought(self) -> range:
        """The clip indices of the frames that it brings."""
        return range(self.start + self.shared, self.start + self.latents.shape[1])


def segment_frames(
    segments: Sequence[Stored], at: int, config: VideoConfig, context: RunContext
) -> Delivered:
    """The frames that segment `at` of the clip's brings."""
    from pokora_anime.stages.delivery.resample import sized, timed
    from pokora_anime.stages.delivery.settled_frames import around, settled

    brought = segments[at].brought
    own = belonging(brought.start, brought.stop, config)
    needed = max(0, brought.start - 1)  # the frame at the join is another segment's
    first = max(0, needed - around(config))

    def source() -> Iterator[Image]:
        # What lies before belongs to other segments and is cut off below.
        blank = np.zeros((*decoded_size(config), 3), np.uint8)
        yield from (blank for _ in range(needed))
        apart = first > 0 and config.finish.match_colors
        opening = next(_shown(segments, 0, 1, config, context)) if apart else None
        shown = _shown(segments, first, brought.stop + around(config), config, context)
        yield from islice(settled(shown, config, first, opening), needed - first, None)

    frames = islice(timed(source(), own.stop, config, context), own.start, own.stop)
    return Delivered(first=own.start, count=len(own), frames=sized(frames, config, context, own.start))


def shared(place: Mapping[str, int]) -> int:
    """How many frames of a segment with this span the one before it has delivered; the keyframe delivers
    none."""
    return place["known"] if place["index"] else 0


def _shown(
    segments: Sequence[Stored], first: int, stop: int, config: VideoConfig, context: RunContext
) -> Iterator[Shown]:
    """The clip's decoded frames [first, stop), as far as there are any.

    Decoded in the chunks that they were decoded in: other neighbours may change the last bits.
    """
    from pokora_anime.stages.delivery.settled_frames import Shown

    chunk = context.execution.chunk(config.finish.decode_chunk)
    for one in segments:
        wanted = range(max(first, one.brought.start), min(stop, one.brought.stop))
        if not wanted:
            continue
        begin = one.brought.start + (wanted.start - one.brought.start) // chunk * chunk
        end = one.brought.start - (one.brought.start - wanted.stop) // chunk * chunk
        part = one.latents[:, begin - one.start : end - one.start]
        for index, frame in enumerate(_decoded(part, config, context), begin):
            if index in wanted:
                yield Shown.of(frame, one.posed, index - one.start, config)


def _decoded(latents: Latents, config: VideoConfig, context: RunContext) -> Iterator[Image]:
    import torch

    from pokora_anime.stages.picture.decode import decode_chunks
    from pokora_anime.system.typed_tensors import from_array

    torch.set_num_threads(context.threads)
    yield from decode_chunks(from_array(np.array(latents)), config.finish.decode_chunk, context)
