"""What the draft of a clip is asked for: a fast pass without maps. Needs no torch: verification asks too."""

from __future__ import annotations

from dataclasses import replace

from pokora_anime.schema.settings import MapSource, VideoConfig


def wanted(config: VideoConfig) -> bool:
    """Whether the clip's maps are read from a draft of it."""
    return bool(config.control.kinds) and config.control.source is MapSource.draft


def settings(config: VideoConfig) -> VideoConfig:
    """The config of the draft: the clip's own with at most `control.draft_steps` steps."""
    steps = min(config.speed.steps, config.control.draft_steps)
    return replace(config, speed=replace(config.speed, steps=steps))
