"""Which frames are generated for those that are delivered. Needs neither torch nor OpenCV."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from pokora_anime.schema.settings import FinishConfig, Interpolation, VideoConfig


def source_position(index: int, fps: int, out_fps: int) -> Fraction:
    """Where delivered frame `index` lies among the source frames; exact for every pair of rates."""
    return Fraction(index * fps, out_fps)


def frames_delivered(seconds: float, out_fps: int) -> int:
    """How many frames are delivered."""
    return round(seconds * out_fps)


def frames_needed(seconds: float, fps: int, out_fps: int, *, moving: bool = True) -> int:
    """How many source frames must be generated: up to the one at or just past the last delivered frame.

    Without `moving` the one before it is shown, so none past it is needed.
    """
    last = source_position(frames_delivered(seconds, out_fps) - 1, fps, out_fps)
    return (ceil(last) if moving else floor(last)) + 1


def moving(finish: FinishConfig) -> bool:
    """Whether frames are drawn between the source frames."""
    return finish.interpolation is not Interpolation.none


def frames_generated(config: VideoConfig) -> int:
    """How many frames the motion must yield for the clip, one past the end where it is looked at."""
    finish = config.finish
    return frames_needed(config.shot.seconds, config.shot.fps, finish.fps, moving=moving(finish))
