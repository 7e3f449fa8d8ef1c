"""Decoded frames to delivered ones: those between them, an upscaler's work, crop and scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pokora_anime.nano.crisp import steepened
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import Interpolation, VideoConfig
from pokora_anime.stages.delivery.camera_window import cut, way_of
from pokora_anime.stages.delivery.interpolate import Between, Draw, retimed
from pokora_anime.stages.delivery.upscale import crisp, enlarged
from pokora_anime.stages.picture.decode import fitted
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline.frame_timing import frames_delivered, moving


def timed(source: Iterator[Image], count: int, config: VideoConfig, context: RunContext) -> Iterator[Image]:
    """`count` frames at the delivered rate, drawn larger where the config asks for it.

    Raises RecordError when `source` ends too soon.
    """
    finish = config.finish
    network = _rife(context) if finish.interpolation is Interpolation.rife else None
    larger = crisp(config, context)
    frames = retimed(
        source,
        config.shot.fps,
        finish.fps,
        count,
        moving=moving(finish),
        network=network,
        larger=larger,
    )
    return frames if larger is None else map(steepened, frames)


def sized(
    frames: Iterator[Image], config: VideoConfig, context: RunContext, first: int = 0
) -> Iterator[Image]:
    """The clip's delivered frames from `first` on at their size, as the camera's move shows them."""
    finish, seconds = config.finish, config.shot.seconds
    move = way_of(config)
    count = frames_delivered(seconds, finish.fps)
    for index, frame in enumerate(enlarged(frames, finish, context), start=first):
        yield fitted(frame, finish) if move is None else cut(frame, index / count, move, finish)


def _rife(context: RunContext) -> Draw:
    network = context.models.rife()
    return lambda before, after: _InTurn(network.pair(before, after), context)


@dataclass(frozen=True, slots=True)
class _InTurn:
    """A pair that waits for the denoising step under way where a plan asks for that."""

    pair: Between
    context: RunContext

    def at(self, time: float) -> Image:
        with self.context.execution.turn():
            return self.pair.at(time)
