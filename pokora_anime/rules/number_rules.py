"""A contest's rules about speed, sizes and lengths. `Case -> findings`, one function each."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.catalogue import finishing_networks
from pokora_anime.findings import Finding, Severity
from pokora_anime.rules.case import Case
from pokora_anime.rules.wording import block, review, within
from pokora_anime.schema.settings import Camera, Identity, MapSource, StillsConfig, Upscale, VideoConfig
from pokora_anime.timeline import hires_plan

ROLLS = (Camera.rolling_clockwise, Camera.rolling_anticlockwise)


def speed(case: Case) -> Iterator[Finding]:
    """The speed mode is one that the contest names, or one to ask about."""
    name, limits = case.config.speed.name, case.limits
    if name in limits.speeds:
        return
    review = name in limits.review_speeds
    yield Finding(
        code="RULE-SPEED",
        severity=Severity.review if review else Severity.block,
        message="a speed that the rules do not name" if review else "no speed of the contest",
        got=name,
        expected=" or ".join(limits.speeds),
        fix="ask the organisers" if review else f"speed={next(iter(limits.speeds), 'hq')}",
        where="speed.name",
    )


def sampler(case: Case) -> Iterator[Finding]:
    """The scheduler is that of the mode."""
    config, mode = case.config.speed, case.limits.speeds.get(case.config.speed.name)
    if mode is not None and config.sampler is not mode.sampler:
        yield block(
            "RULE-SAMPLER",
            f"not the scheduler of the mode {config.name}",
            "speed.sampler",
            config.sampler.value,
            mode.sampler.value,
        )


def steps(case: Case) -> Iterator[Finding]:
    """The number of steps is in the mode's range."""
    mode = case.limits.speeds.get(case.config.speed.name)
    if mode is not None:
        yield from within(
            "RULE-STEPS", "speed.steps", case.config.speed.steps, mode.min_steps, mode.max_steps
        )


def guidance(case: Case) -> Iterator[Finding]:
    """CFG is in the mode's range."""
    mode = case.limits.speeds.get(case.config.speed.name)
    if mode is not None:
        value = case.config.speed.guidance_scale
        yield from within(
            "RULE-GUIDANCE", "speed.guidance_scale", value, mode.min_guidance, mode.max_guidance
        )


def guidance_interval(case: Case) -> Iterator[Finding]:
    """CFG holds for every step: the rules name one value; another base's clips are no entry."""
    config = case.config.speed
    if config.guidance_scale == 1.0:
        return
    told = "CFG is on for a part of the steps, and the rules name one value for all"
    if (config.guidance_start, config.guidance_end) != (0.0, 1.0):
        got = f"{config.guidance_start:g} to {config.guidance_end:g}"
        yield review(
            "RULE-GUIDANCE-INTERVAL", told, "speed.guidance_start, speed.guidance_end", got, "0 to 1"
        )
    mode = case.limits.speeds.get(config.name)
    free = case.config.base.weights not in case.limits.bases or (mode and mode.min_guidance <= 1.0)
    if isinstance(case.config, VideoConfig) and config.clip_guidance_end < 1.0 and not free:
        got = f"{config.clip_guidance_end:g}"
        yield review("RULE-GUIDANCE-INTERVAL", told, "speed.clip_guidance_end", got, "1")


def generated_size(case: Case) -> Iterator[Finding]:
    """Frames are generated at a size of the contest's; another base has sizes of its own."""
    config = case.config.base
    if config.weights in case.limits.bases:
        yield from _size(case, "base", config.width, config.height, "RULE-GENERATED-SIZE")


def second_pass(case: Case) -> Iterator[Finding]:
    """Frames that the model draws again are of a contest's size, and the organisers must say yes."""
    config = case.config
    if not isinstance(config, VideoConfig) or not hires_plan.asked(config):
        return
    height, width = hires_plan.frame_size(config)
    got = f"{width}x{height}"
    if (width, height) not in _sizes(case):
        expected = " or ".join(f"{one}x{other}" for one, other in _sizes(case))
        message = "a second pass at a size that is not the contest's"
        larger = next((one for one, _ in _sizes(case) if one > config.base.width), 0)
        fix = f"finish.hires.scale={larger / config.base.width:.5g}" if larger else "finish.upscale=lanczos"
        yield block("RULE-UPSCALE", message, "finish.hires", got, expected, fix=fix)
    yield review(
        "RULE-UPSCALE",
        "a second pass of the model, which the rules do not name",
        "finish.upscale",
        f"hires, {got}",
        "lanczos",
    )


def outside_upscaler(case: Case) -> Iterator[Finding]:
    """No network of others repaints the frames: scaling is allowed, drawing by another model is not."""
    config = case.config
    if isinstance(config, VideoConfig) and config.finish.upscale is Upscale.network:
        yield block(
            "RULE-UPSCALE",
            "an outside network that repaints finished frames",
            "finish.upscale",
            f"network ({config.finish.upscaler.model})",
            "lanczos",
            fix="finish.upscale=lanczos",
        )


def own_upscaler(case: Case) -> Iterator[Finding]:
    """Nor does nano's own network, which is more than scaling; where nano is a base, it is part of it."""
    if finishing_networks.crisp(case.config) and case.config.base.weights not in case.limits.bases:
        yield block(
            "RULE-UPSCALE",
            "a network that draws finished frames larger",
            "finish.upscale",
            "crisp",
            "lanczos",
            fix="finish.upscale=lanczos",
        )


def turned_frames(case: Case) -> Iterator[Finding]:
    """Frames are cropped, zoomed and scaled, which the rules name; turning them they do not."""
    config = case.config
    if not isinstance(config, VideoConfig):
        return
    turned = any(point.value for point in config.timeline.turn)
    if turned or config.finish.camera in ROLLS:
        yield review(
            "RULE-CAMERA",
            "finished frames are turned, and the rules name cropping, zooming and scaling",
            "timeline.turn" if turned else "finish.camera",
            "a turn" if turned else config.finish.camera.value,
            "a pan, a tilt or a zoom",
        )


def choreography(case: Case) -> Iterator[Finding]:
    """Poses planned by a network from the words: the rules name maps, not who may draw them."""
    config = case.config
    if not isinstance(config, VideoConfig):
        return
    planned = config.control.source is MapSource.choreography and config.control.kinds
    if planned and not case.limits.planned_poses:
        yield review(
            "RULE-CHOREOGRAPHY",
            "a network plans the poses from the words, which the rules do not name",
            "control.source",
            "choreography",
            "keyframe or draft",
            fix="ask the organisers: may an own free network plan OpenPose poses from the prompt?",
        )


def identity(case: Case) -> Iterator[Finding]:
    """An embedding of the run's own keyframe guides the clip: the rules name maps, not embeddings."""
    config = case.config
    if isinstance(config, VideoConfig) and config.keyframe.identity is Identity.adapter:
        yield review(
            "RULE-IDENTITY",
            "an IP-Adapter sees the run's own keyframe; of signals from a generated image the rules "
            "name pose, depth and edges",
            "keyframe.identity",
            "adapter",
            "anchor",
            fix="ask the organisers: may a published IP-Adapter be fed with an entry's own keyframe?",
        )


def sound(case: Case) -> Iterator[Finding]:
    """A sound from outside moves the clip: the rules speak of visual input, and not of this."""
    config = case.config
    if isinstance(config, VideoConfig) and config.shot.sound is not None:
        yield review(
            "RULE-SOUND",
            "a sound from outside moves the clip and is heard with it; the rules speak of visual input alone",
            "shot.sound",
            f"{config.shot.sound} ({config.shot.track.licence})",
            "null, or shot.beat",
            fix="ask the organisers: may a free sound of our own time what moves, and be heard?",
        )


def delivered_size(case: Case) -> Iterator[Finding]:
    """A video's shorter side is the contest's (768p); a still has one of its sizes."""
    config, lines = case.config, case.limits.video_lines
    if isinstance(config, StillsConfig):
        yield from _size(case, "finish", config.finish.width, config.finish.height, "RULE-DELIVERED-SIZE")
    elif isinstance(config, VideoConfig) and min(config.finish.width, config.finish.height) != lines:
        yield block(
            "RULE-DELIVERED-SIZE",
            "a video of another size",
            "finish",
            f"{config.finish.width}x{config.finish.height}",
            f"{lines}p",
            fix=f"finish.width={lines} finish.height={lines}",
        )


def seconds(case: Case) -> Iterator[Finding]:
    """The clip is as long as the contest wants it."""
    if isinstance(case.config, VideoConfig):
        limits = case.limits
        yield from within(
            "RULE-SECONDS", "shot.seconds", case.config.shot.seconds, limits.min_seconds, limits.max_seconds
        )


def generated_fps(case: Case) -> Iterator[Finding]:
    """Generated frames a second; interpolated ones come on top."""
    if isinstance(case.config, VideoConfig):
        limits = case.limits
        yield from within("RULE-FPS", "shot.fps", case.config.shot.fps, limits.min_fps, limits.max_fps)


def segment_frames(case: Case) -> Iterator[Finding]:
    """Frames of a segment."""
    config, frames = case.config, case.limits.frames_per_segment
    if isinstance(config, VideoConfig) and config.motion.frames != frames:
        yield block(
            "RULE-SEGMENT",
            "segments of another length",
            "motion.frames",
            str(config.motion.frames),
            str(frames),
        )


def interpolation(case: Case) -> Iterator[Finding]:
    """Frames between the generated ones come from open-source interpolation."""
    config = case.config
    if isinstance(config, VideoConfig) and config.finish.interpolation not in case.limits.interpolations:
        yield block(
            "RULE-INTERPOLATION",
            "post-processing that the rules do not name",
            "finish.interpolation",
            config.finish.interpolation.value,
            "|".join(one.value for one in case.limits.interpolations),
        )


def stills_count(case: Case) -> Iterator[Finding]:
    """How many stills there are."""
    if isinstance(case.config, StillsConfig):
        limits = case.limits
        yield from within("RULE-STILLS", "count", case.config.count, limits.min_stills, limits.max_stills)


def _sizes(case: Case) -> list[tuple[int, int]]:
    return [(size.width, size.height) for size in case.limits.sizes]


def _size(case: Case, where: str, width: int, height: int, code: str) -> Iterator[Finding]:
    sizes = _sizes(case)
    if (width, height) not in sizes:
        best = min(sizes, key=lambda size: abs(size[0] - width), default=(width, height))
        yield block(
            code,
            "a size that is not the contest's",
            where,
            f"{width}x{height}",
            " or ".join(f"{one}x{other}" for one, other in sizes),
            fix=f"{where}.width={best[0]} {where}.height={best[1]}",
        )
