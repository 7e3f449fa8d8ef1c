"""Decoded frames as they are delivered from: in the keyframe's colours, and steadied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pokora_anime.provenance.stage_records import Image, Posed
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.delivery.color_match import Palette
from pokora_anime.stages.delivery.steady import reach, steadied
from pokora_anime.timeline.frame_timing import frames_generated


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoded frame, the joints [18,3] planned for it and those of the keyframe, in its pixels."""

    frame: Image
    joints: NDArray[np.float32] | None = None
    keyframe: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, frame: Image, posed: Posed | None, index: int, config: VideoConfig) -> Shown:
        """A segment's frame `index`."""
        if posed is None:
            return cls(frame)
        height, width = frame.shape[:2]
        scale = np.array([width / config.base.width, height / config.base.height, 1], np.float32)
        return cls(frame, posed.joints[index] * scale, posed.keyframe * scale)


def asked(config: VideoConfig) -> bool:
    """Whether decoded frames are changed at all."""
    return config.finish.match_colors or config.finish.steady > 0


def around(config: VideoConfig) -> int:
    """How many frames on each side a delivered frame's source frames depend on."""
    return reach(config.finish.steady)


def settled(
    source: Iterator[Shown], config: VideoConfig, first: int = 0, opening: Shown | None = None
) -> Iterator[Image]:
    """The clip's frames from index `first` on. `opening` is its frame 0 where others come first."""
    frames = _matched(source, opening) if config.finish.match_colors else (one.frame for one in source)
    return steadied(frames, config.finish.steady, frames_generated(config) - 1, first)


def _matched(source: Iterator[Shown], opening: Shown | None) -> Iterator[Image]:
    palette: Palette | None = None
    for one in source:
        opening = opening or one
        if one is opening or one.joints is None or opening.keyframe is None:
            yield one.frame
            continue
        palette = palette or Palette.of(opening.frame, opening.keyframe)
        yield palette.matched(one.frame, one.joints)
