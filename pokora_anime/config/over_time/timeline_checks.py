"""What a timeline must be beside its fields' laws, and what a contest's bounds make of it. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.lora.lora_tags import shot_loras
from pokora_anime.config.field_checks import Problem
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.schema.curves import lora_names, moves_camera, points_of, tracks
from pokora_anime.schema.settings import (
    Camera,
    Effect,
    LoraConfig,
    LoraPoint,
    Upscale,
    VideoConfig,
    WeightRange,
)
from pokora_anime.timeline.frame_timing import frames_generated

MOST_POINTS = 32  # of one track
# By track, the smallest and the largest value.
RANGES: Mapping[str, tuple[float, float]] = {
    "timeline.control": (0, 2),
    "timeline.zoom": (1, 4),
    "timeline.right": (-1, 1),
    "timeline.down": (-1, 1),
    "timeline.turn": (-45, 45),
    "timeline.effect": (0, 2),
}
LORA = (0.0, 2.0)


def settle(config: VideoConfig) -> None:
    """Loads each LoRA of the timeline with its weight at frame 0, within the contest's bounds; twice is once.

    What a contest's bounds leave is kept in the config: `clamped` says it of what was typed.
    """
    config.timeline.lora = [replace(point, value=_within(point, config)) for point in config.timeline.lora]
    for name in lora_names(config.timeline):
        first = points_of(config.timeline, name)[0].value
        known = [
            one for one in config.style.loras if registry.style_role(one.id) == registry.style_role(name)
        ]
        for one in known:
            one.weight = first
        if not known:
            config.style.loras = [*config.style.loras, LoraConfig(id=name, weight=first)]


def clamped(typed: VideoConfig) -> list[str]:
    """What the contest's bounds change of a config that is not settled yet, one line each."""
    found: list[str] = []
    for point in typed.timeline.lora:
        value = _within(point, typed)
        if value != point.value:
            bounds = typed.contest.style_weights[registry.style_role(point.id)]
            found.append(
                f"timeline: {point.id} at frame {point.frame} is {value:g} instead of {point.value:g},"
                f" as {typed.contest.name} allows {bounds.low:g} to {bounds.high:g}"
            )
    return found


def _within(point: LoraPoint, config: VideoConfig) -> float:
    bounds: WeightRange | None = config.contest.style_weights.get(registry.style_role(point.id))
    if bounds is None or not LORA[0] <= point.value <= LORA[1]:  # what is no weight is refused
        return point.value
    return min(max(point.value, bounds.low), bounds.high)


def problems(config: VideoConfig) -> list[Problem]:
    """All that is wrong with a timeline: order, frames outside the clip, ranges, what excludes it."""
    last = frames_generated(config) - 1
    found: list[Problem] = []
    for key, points in tracks(config.timeline).items():
        frames = [point.frame for point in points]
        found += _frames(key, frames, last)
        low, high = RANGES.get(key, LORA)
        for point in points:
            if not low <= point.value <= high:
                got = f"{point.value:g} at frame {point.frame}"
                found.append(Problem(key, got, f"{low:g} to {high:g}", "mend that key point"))
    return [*found, *_prompt(config, last), *_beside(config)]


def _frames(key: str, frames: list[int], last: int) -> Iterator[Problem]:
    if len(frames) > MOST_POINTS:
        yield Problem(key, f"{len(frames)} points", f"at most {MOST_POINTS}", "keep those where it turns")
    odd = next((at for at in range(1, len(frames)) if frames[at] <= frames[at - 1]), 0)
    if odd:
        got = f"frame {frames[odd]} after {frames[odd - 1]}"
        yield Problem(key, got, "frames that grow", "put the key points in their order")
    if frames and max(frames) > last:
        expected = f"0 to {last}, the clip's generated frames"
        yield Problem(key, f"frame {max(frames)}", expected, f"frame {last}, or a larger shot.seconds")


def _prompt(config: VideoConfig, last: int) -> Iterator[Problem]:
    """Curves stand at the stops of the prompt, and those lie in the clip."""
    turns = [turn.frame for turn in config.timeline.prompt]
    known = [frame for frame, _ in stops(config.shot.prompt)]
    if turns and not set(turns) <= set(known):
        got = f"a curve at frame {min(set(turns) - set(known))}"
        expected = f"one at a stop of the prompt: {', '.join(map(str, known))}"
        yield Problem("timeline.prompt", got, expected, "leave it out")
    if turns:
        yield from _frames("timeline.prompt", turns, last)


def _beside(config: VideoConfig) -> Iterator[Problem]:
    """What does the same or cannot stand beside it."""
    finish, timeline = config.finish, config.timeline
    if moves_camera(config) and (finish.camera.moves or config.motion.camera is not Camera.free):
        got = f"{finish.camera.value} beside a camera in the timeline"
        yield Problem("finish.camera", got, "one move", "finish.camera=free motion.camera=free")
    roles = {registry.style_role(name) for name in lora_names(timeline)}
    if tagged := [one.id for one in shot_loras(config.shot) if registry.style_role(one.id) in roles]:
        got = f"<lora:{tagged[0]}:...> beside a timeline of its weight"
        yield Problem("shot.prompt", got, "one weight", "leave out the tag")
    if timeline.lora and finish.upscale is Upscale.hires:
        expected = "lanczos: a second pass keeps one weight"
        yield Problem("finish.upscale", "hires beside timeline.lora", expected, "finish.upscale=lanczos")
    if timeline.effect and config.motion.effect is Effect.none:
        expected = "an effect to weigh"
        yield Problem("timeline.effect", "no effect", expected, "motion.effect=zoom_feedback")
    if timeline.control and not config.control.kinds:
        yield Problem("timeline.control", "no control maps", "maps to weigh", "control=pose")
