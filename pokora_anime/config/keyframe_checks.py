"""The keyframe's settings: where an IP-Adapter can see it, and what of them nothing uses. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.catalogue import registry
from pokora_anime.config.field_checks import Problem
from pokora_anime.schema.settings import USUAL_IDENTITY_SCALE, Family, Identity, VideoConfig
from pokora_anime.timeline import choreography_plan

_ANCHOR = "keyframe.identity=anchor"
_WHY = {
    Family.nano: "nano has no IP-Adapter: motion.anchor keeps the character",
    Family.sd2: "no IP-Adapter has been published for SD2.x: motion.anchor keeps the character",
}


def settle(config: VideoConfig) -> None:
    """Drops a scale without an adapter; twice is once."""
    if not _adapts(config) and 0 <= config.keyframe.identity_scale <= 1:  # others are refused
        config.keyframe.identity_scale = USUAL_IDENTITY_SCALE


def unused(typed: VideoConfig) -> list[str]:
    """What a config that is not settled yet says of the keyframe and nothing uses, one line each."""
    found: list[str] = []
    if not _adapts(typed) and typed.keyframe.identity_scale != USUAL_IDENTITY_SCALE:
        found.append("keyframe.identity_scale is not used without keyframe.identity=adapter")
    if typed.keyframe.posed and not typed.base.posed_keyframe and not choreography_plan.redraws(typed):
        found.append("keyframe.posed is not used without planned poses: control.source=choreography")
    return found


def problems(config: VideoConfig) -> Iterator[Problem]:
    """An adapter has a base that it was trained for, and a keyframe to see."""
    if not _adapts(config):
        return
    family = config.base.family
    if registry.find(registry.IDENTITY[0], family) is None:
        got, expected = f"adapter with base={family.value}", f"anchor; {_WHY[family]}"
        yield Problem("keyframe.identity", got, expected, f"{_ANCHOR}, or base=sdxl")
    elif not config.keyframe.enabled:
        expected = "anchor; the adapter sees the run's own keyframe and nothing else"
        yield Problem(
            "keyframe.identity", "adapter with keyframe=none", expected, f"keyframe=internal, or {_ANCHOR}"
        )


def _adapts(config: VideoConfig) -> bool:
    return config.keyframe.identity is Identity.adapter
