"""Key points over the frames of a clip, and the curves between them. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from pokora_anime.schema.settings import Curve, KeyPoint, LoraPoint, TimelineConfig, VideoConfig


def eased(curve: Curve, share: float) -> float:
    """How far the way to the next key point is gone, 0..1, after that share of the time between them."""
    if curve is Curve.hold:
        return 0.0
    return share * share * (3.0 - 2.0 * share) if curve is Curve.ease else share


def value_at(points: Sequence[KeyPoint], frame: float, otherwise: float) -> float:
    """The value at a generated frame; before the first point and after the last one theirs holds.

    `otherwise` where there is no point.
    """
    before = [point for point in points if point.frame <= frame]
    after = next((point for point in points if point.frame > frame), None)
    if not before:
        return after.value if after is not None else otherwise
    last = before[-1]
    if after is None:
        return last.value
    share = eased(last.curve, (frame - last.frame) / (after.frame - last.frame))
    return last.value + share * (after.value - last.value)


def lora_names(timeline: TimelineConfig) -> tuple[str, ...]:
    """The style LoRAs whose weight changes on the way, as they are called there."""
    return tuple(dict.fromkeys(point.id for point in timeline.lora))


def points_of(timeline: TimelineConfig, lora: str) -> list[LoraPoint]:
    """The key points of one LoRA's weight."""
    return [point for point in timeline.lora if point.id == lora]


def tracks(timeline: TimelineConfig) -> dict[str, list[KeyPoint]]:
    """Every track of numbers by its key: one for each LoRA."""
    found = {
        "timeline.control": timeline.control,
        "timeline.zoom": timeline.zoom,
        "timeline.right": timeline.right,
        "timeline.down": timeline.down,
        "timeline.turn": timeline.turn,
        "timeline.effect": timeline.effect,
    }
    for name in lora_names(timeline):
        found[f"timeline.lora.{name}"] = [*points_of(timeline, name)]
    return found


def moves_camera(config: VideoConfig) -> bool:
    """Whether the timeline leads a window over the finished frames."""
    timeline = config.timeline
    return bool(timeline.zoom or timeline.right or timeline.down or timeline.turn)
