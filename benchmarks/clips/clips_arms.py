"""What the clips bench compares: the default, other strategies under the keyframe's maps, other maps."""

from __future__ import annotations

from collections.abc import Sequence

from pokora_anime.config.compose import compose_video
from pokora_anime.schema.settings import VideoConfig

SETTINGS = ("base=nano", "style=none", "finish.interpolation=none", "shot.fps=8", "finish.fps=8")
OFF, DRAFTED, KEYED = "control_off", "control_draft", "control_keyframe"
JOINED, PLANNED = "control_segment", "control_choreography"
UNDER_ONE = ("control=segment", "control.source=keyframe")  # and they fade as quickly
CONTROLS = {
    OFF: ("control=none",),
    KEYED: UNDER_ONE,
    DRAFTED: ("control=pose_depth", "control.source=draft"),
    JOINED: ("control=segment",),
    PLANNED: ("control=pose", "control.source=choreography", "control.scale.pose=0.5"),
}


def chosen(strategy: str) -> tuple[str, ...]:
    """The settings of an option of the motion group, or of one of CONTROLS.

    Strategies other than the default are compared without maps of their own at each join, which would hide
    what they do there.
    """
    if strategy == "default":
        return ()
    return CONTROLS.get(strategy, (f"motion={strategy}", *UNDER_ONE))


def composed(strategy: str, seconds: float, more: Sequence[str] = ()) -> VideoConfig:
    """The config of a clip with a strategy."""
    return compose_video([*SETTINGS, *chosen(strategy), f"shot.seconds={seconds:g}", *more])
