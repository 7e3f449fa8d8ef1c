"""What a config decides of a run's nodes: their params, how many there are, how segments are laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pokora_anime.catalogue.registry_row import Kind
from pokora_anime.prompt import open_words
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.operations import OPERATIONS, Count, Operation, Setting, Spans
from pokora_anime.quality.contact_sheet import FRAMES as SHEET_FRAMES
from pokora_anime.rules.case import Use, uses
from pokora_anime.schema.run_identity import part, to_plain
from pokora_anime.schema.settings import RunConfig, VideoConfig
from pokora_anime.timeline import (
    choreography_plan,
    draft_plan,
    hires_plan,
    join_plan,
    segment_plan,
    shot_plan,
)
from pokora_anime.timeline.effects import accents, sound_plan
from pokora_anime.timeline.frame_timing import frames_generated
from pokora_anime.timeline.segment_plan import Span
from pokora_anime.verify.record.claimed_record import Table


def params(config: RunConfig) -> dict[str, Table]:
    """What the params of each operation must be, the free ones aside."""
    clip, plain = isinstance(config, VideoConfig), to_plain(config)
    return {
        operation.name: dict(_followed(operation, config, plain))
        for operation in OPERATIONS.values()
        if clip or operation.in_stills
    }


def _followed(operation: Operation, config: RunConfig, plain: Table) -> Iterable[tuple[str, Json]]:
    """Name and value of each param that follows from the config."""
    for name, source in operation.follows.items():
        value = _setting(source, config) if isinstance(source, Setting) else _at(plain, source)
        if name == "*":
            assert isinstance(value, dict)
            yield from value.items()
        else:
            yield name, value


def _at(plain: Table, path: str) -> Json:
    value: Json = plain
    for key in path.split("."):
        assert isinstance(value, dict)
        value = value[key]
    return value


def _setting(setting: Setting, config: RunConfig) -> Json:
    if setting is Setting.frame_size:
        return [config.base.width, config.base.height]
    if setting is Setting.delivered_size:
        return [config.finish.width, config.finish.height]
    if setting in (Setting.still_loras, Setting.moving_loras):
        return dict[str, Json](loras(config, moving=setting is Setting.moving_loras))
    if setting is Setting.open_words:
        return dict[str, Json](open_words.recorded(config))
    if setting is Setting.sheet_frames:
        return SHEET_FRAMES
    assert isinstance(config, VideoConfig)
    return _OF_A_CLIP[setting](config)


def count(operation: Operation, config: VideoConfig) -> int | None:
    """How many nodes of an operation a clip has; None where other laws say."""
    return None if operation.count is None else _COUNTS[operation.count](config)


def spans(operation: Operation, config: VideoConfig) -> tuple[Span, ...] | None:
    """The segments that an operation makes of a clip; None for one that makes none."""
    return None if operation.spans is None else _SPANS[operation.spans](config)


def loras(config: RunConfig, *, moving: bool) -> dict[str, float]:
    """The LoRAs that an operation of this config loads, by registry id; a camera's only if it is `moving`."""
    return {
        use.weights.id: use.strength
        for use in uses(config)
        if _is_lora(use) and use.weights and use.strength is not None and _has(config, use)
        if use.kind != Kind.motion_lora.value or moving
    }


def _is_lora(use: Use) -> bool:
    return use.kind.endswith("_lora")


def _has(config: RunConfig, use: Use) -> bool:
    return use.weights is not None and config.base.family.value in use.weights.families


def kinds(config: VideoConfig) -> list[Json]:
    """The kinds of control maps as a node tells them."""
    return [*sorted({kind.value for kind in config.control.kinds})]


def control(config: VideoConfig) -> Table:
    """The settings of control as a node holds them."""
    plain = to_plain(config)["control"]
    assert isinstance(plain, dict)
    return plain


def _drafted(config: VideoConfig) -> tuple[Span, ...]:
    return segment_plan.of(config, frames_generated(config)) if draft_plan.wanted(config) else ()


def _second_pass(config: VideoConfig) -> tuple[Span, ...]:
    return hires_plan.spans_of(config, frames_generated(config)) if hires_plan.asked(config) else ()


_OF_A_CLIP: Mapping[Setting, Callable[[VideoConfig], Json]] = {
    Setting.larger_size: lambda config: [*reversed(hires_plan.frame_size(config))],
    Setting.draft_speed: lambda config: part(draft_plan.settings(config).speed),
    Setting.kinds: kinds,
    Setting.read_kinds: lambda config: [kind.value for kind in choreography_plan.read_kinds(config)],
    Setting.pose_control: lambda config: {**control(config), "kinds": ["pose"]},
    Setting.choreography: lambda config: {
        **choreography_plan.recorded(config),
        **accents.recorded(config.shot),
    },
    Setting.identity_scale: lambda config: config.keyframe.identity_scale,
    Setting.accents: lambda config: accents.recorded(config.shot),
    Setting.sound: lambda config: sound_plan.recorded(config.shot),
}
_COUNTS: Mapping[Count, Callable[[VideoConfig], int]] = {
    Count.keyframes: lambda config: config.best_of * config.keyframe.enabled,
    Count.selections: lambda config: int(config.best_of > 1),
    Count.read_maps: lambda config: int(
        bool(choreography_plan.read_kinds(config)) and not draft_plan.wanted(config)
    ),
    Count.choreographies: lambda config: int(choreography_plan.wanted(config)),
    Count.drafted: lambda config: len(_drafted(config)),
    Count.joins: join_plan.count,
    Count.embeddings: lambda config: int(shot_plan.adapted(config)),
}
_SPANS: Mapping[Spans, Callable[[VideoConfig], tuple[Span, ...]]] = {
    Spans.clip: lambda config: segment_plan.of(config, frames_generated(config)),
    Spans.draft: _drafted,
    Spans.second_pass: _second_pass,
}
