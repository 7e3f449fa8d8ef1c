"""Which frames of a clip are denoised together. Needs no torch: verification plans again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pokora_anime.schema.settings import Chain, MotionConfig, VideoConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a segment lies in the clip: frame 0's clip index, its length, how many frames are known.

    `known` frames at its head come from the segment before (or the keyframe), `tail` frames at its end
    are the clip's first ones again, where the clip is a loop.
    """

    index: int
    start: int
    frames: int
    known: int
    tail: int = 0

    @property
    def fresh(self) -> int:
        """How many of its frames are new."""
        return self.frames - self.known - self.tail


def plan(total: int, config: MotionConfig, *, has_keyframe: bool, period: int = 0) -> tuple[Span, ...]:
    """The segments that cover `total` generated frames; `period` is the length of a loop in frames.

    Chained segments share at least `overlap` frames with the one before. Those of a loop end `overlap`
    frames past its period and are spread evenly, so that the last one has about as much to draw as any
    other. Windows are one segment.
    """
    first = int(has_keyframe)
    if config.chain is Chain.windows:
        return (Span(index=0, start=0, frames=max(total, config.frames), known=first),)
    end = period + config.overlap if config.loop else total
    stride = config.frames - config.overlap
    later = max(0, -(-(end - config.frames) // stride))
    if config.loop:
        evenly = [round(i * (end - config.frames) / later) for i in range(1, later + 1)]
        most = period - config.frames - 1  # a frame is left for the last one
        starts = [*(min(start, most) for start in evenly[:-1]), *evenly[-1:]]
    else:
        starts = [i * stride for i in range(1, later + 1)]
    spans = [Span(index=0, start=0, frames=config.frames, known=first)]
    for index, start in enumerate(starts, start=1):
        known = spans[-1].start + config.frames - start
        tail = config.overlap if config.loop and index == later else 0
        spans.append(Span(index=index, start=start, frames=config.frames, known=known, tail=tail))
    return tuple(spans)


def of(config: VideoConfig, total: int) -> tuple[Span, ...]:
    """The segments of a clip of `total` generated frames."""
    return plan(total, config.motion, has_keyframe=config.keyframe.enabled, period=period(config))


def period(config: VideoConfig) -> int:
    """The length of a loop in generated frames: frame 0 follows frame `period` - 1."""
    return round(config.shot.seconds * config.shot.fps)


def windows(frames: int, config: MotionConfig, period: int = 0) -> Sequence[Sequence[int]]:
    """The frames of each window that slides over `frames` of them; those of a loop go round its end."""
    stride = config.frames - config.overlap
    if config.loop:
        return [[(start + i) % period for i in range(config.frames)] for start in range(0, period, stride)]
    last = frames - config.frames
    starts = [*range(0, last, stride), last]
    return [range(start, start + config.frames) for start in starts]


def drawn(span: Span, config: VideoConfig) -> int:
    """How many of a segment's frames are denoised: a loop's windows cover one period."""
    looping = config.motion.loop and config.motion.chain is Chain.windows
    return period(config) if looping else span.frames


def windows_of(span: Span, config: VideoConfig) -> Sequence[Sequence[int]]:
    """The windows of a segment, none where all of its frames are denoised at once."""
    if config.motion.chain is not Chain.windows:
        return ()
    return windows(span.frames, config.motion, period(config))
