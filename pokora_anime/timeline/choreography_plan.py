"""Which clips move after a choreography, and what it is planned for. Needs no torch (verification)."""

from __future__ import annotations

from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import ControlKind, Family, MapSource, VideoConfig
from pokora_anime.timeline.frame_timing import frames_generated


def wanted(config: VideoConfig) -> bool:
    """Whether the clip's poses are planned from its words."""
    return bool(config.control.kinds) and config.control.source is MapSource.choreography


def redraws(config: VideoConfig) -> bool:
    """Whether the keyframe is drawn again in the first planned pose, whomever it shows."""
    return wanted(config) and config.keyframe.posed


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


def planned(first: int, count: int, poses: int, config: VideoConfig) -> list[int]:
    """Which of the planned poses `count` frames of the clip from `first` on have: frames past a loop are its
    first ones, past the end of another clip the last pose is held."""
    every = range(first, first + count)
    return [frame % poses if config.motion.loop else min(frame, poses - 1) for frame in every]


def same_look(config: VideoConfig) -> bool:
    """Whether no stop of the prompt asks for another look than the first: actions aside, all is the same."""
    looks = [asked_attributes(text) for _, text in stops(config.shot.prompt)]
    return len({tuple(sorted(_but_moves(look).items())) for look in looks}) == 1


def skipped(config: VideoConfig) -> int:
    """How many steps a segment leaves out because it starts from the keyframe in its poses."""
    starts = wanted(config) and same_look(config)
    return int(config.motion.pose_start * config.speed.steps) if starts else 0


def _but_moves(look: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in look.items() if name not in ("action", "camera")}


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
