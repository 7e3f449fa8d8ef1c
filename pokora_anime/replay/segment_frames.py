"""Delivered frames of one segment, made as `stages.delivery.finish` makes them.

A delivered frame belongs to the segment that brought the later of its source frames, so the frames of all
segments are the clip, each once. Only the join needs the segment before: the last chunk of its latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline.frame_timing import frames_delivered, moving, source_position
from pokora_anime.timeline.hires_plan import decoded_size

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


def segment_frames(
    latents: Latents,
    before: Latents | None,
    place: tuple[int, dict[str, int] | None],
    config: VideoConfig,
    context: RunContext,
) -> Delivered:
    """The frames that a segment brings. `place`: its start, and the span of the segment before."""
    from pokora_anime.stages.delivery.resample import sized, timed

    start, earlier = place
    first = start
    join: Latents | None = None
    if before is not None and earlier is not None:
        first = earlier["start"] + before.shape[1]
        brought = before[:, _shared(earlier) :]
        # Decoded in the chunk that it was decoded in: other neighbours may change the last bits.
        chunk = context.execution.chunk(config.finish.decode_chunk)
        join = brought[:, (brought.shape[1] - 1) // chunk * chunk :]
    own = belonging(first, start + latents.shape[1], config)

    def source() -> Iterator[Image]:
        # What lies before belongs to other segments and is cut off below.
        blank = np.zeros((*decoded_size(config), 3), np.uint8)
        yield from (blank for _ in range(first - 1 if join is not None else first))
        if join is not None:
            *_, last = _decoded(join, config, context)
            yield last
        yield from _decoded(latents[:, first - start :], config, context)

    frames = islice(timed(source(), own.stop, config, context), own.start, own.stop)
    return Delivered(first=own.start, count=len(own), frames=sized(frames, config, context, own.start))


def _shared(place: dict[str, int]) -> int:
    """How many of a segment's frames the segment before it has delivered; the keyframe delivers none."""
    return place["known"] if place["index"] else 0


def _decoded(latents: Latents, config: VideoConfig, context: RunContext) -> Iterator[Image]:
    import torch

    from pokora_anime.stages.picture.decode import decode_chunks

    torch.set_num_threads(context.threads)
    yield from decode_chunks(torch.from_numpy(np.array(latents)), config.finish.decode_chunk, context)
