"""Which clips read maps where a segment begins. Needs no torch: verification asks too."""

from __future__ import annotations

from pokora_anime.schema.settings import MapSource, VideoConfig
from pokora_anime.timeline import segment_plan
from pokora_anime.timeline.frame_timing import frames_generated


def mapped(config: VideoConfig) -> bool:
    """Whether each segment's maps are read in the frame that it starts from."""
    return bool(config.control.kinds) and config.control.source is MapSource.segment


def count(config: VideoConfig) -> int:
    """How many segments have maps of another frame than the keyframe."""
    return len(segment_plan.of(config, frames_generated(config))) - 1 if mapped(config) else 0
