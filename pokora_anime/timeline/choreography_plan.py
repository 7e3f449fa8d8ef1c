"""Which clips move after a choreography, and what it is planned for. Needs no torch (verification)."""

from __future__ import annotations

from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import ControlKind, Family, MapSource, VideoConfig
from pokora_anime.timeline.frame_timing import frames_generated


def wanted(config: VideoConfig) -> bool:
    """Whether the clip's poses are planned from its words."""
    return bool(config.control.kinds) and config.control.source is MapSource.choreography


def frames(config: VideoConfig) -> int:
    """How many frames are planned: a loop's once around, else as many as are generated."""
    if config.motion.loop:
        return round(config.shot.seconds * config.shot.fps)
    return frames_generated(config)


def read_kinds(config: VideoConfig) -> list[ControlKind]:
    """The kinds of maps that are read in the keyframe, in their order: all but those that are planned."""
    planned = {ControlKind.pose} if wanted(config) else set[ControlKind]()
    return sorted(set(config.control.kinds) - planned, key=lambda kind: kind.value)


def from_front(config: VideoConfig) -> bool:
    """Whether the base was only ever shown figures from the front: nano's drawn world has no others."""
    return config.base.family is Family.nano


def recorded(config: VideoConfig) -> dict[str, Json]:
    """What the plan depends on beside the size, as its node tells it."""
    words: list[Json] = [[frame, text] for frame, text in stops(config.shot.prompt)]
    return {
        "stops": words,
        "seed": config.seed,
        "frames": frames(config),
        "fps": config.shot.fps,
        "loop": config.motion.loop,
        "front": from_front(config),
    }
