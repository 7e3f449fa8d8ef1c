"""What no field says by itself: fields that must fit each other, all problems in one error.

What each field may be is its law, on the field (schema/settings.py).
"""

from __future__ import annotations

import shlex
from collections.abc import Collection

from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
from pokora_anime.config import field_checks, keyframe_checks
from pokora_anime.config.field_checks import Narrower, Problem
from pokora_anime.config.over_time import effect_checks, shot_checks, timeline_checks
from pokora_anime.errors import ConfigError, PromptError
from pokora_anime.findings import Severity, of_severity
from pokora_anime.prompt import open_words, prompt_choices, prompt_length
from pokora_anime.prompt.prompt_syntax import parse_travel, stops
from pokora_anime.rules.case import Case, uses
from pokora_anime.rules.contest import judge
from pokora_anime.rules.text_rules import MAX_PROMPT
from pokora_anime.schema.settings import (
    LAST_SEED,
    MOST_SIDE,
    Anchor,
    Camera,
    Chain,
    ControlConfig,
    ControlKind,
    ControlNetwork,
    DeviceKind,
    DType,
    Family,
    Interpolation,
    MapSource,
    Minimum,
    MotionConfig,
    RunConfig,
    Sampler,
    ShotConfig,
    SpeedConfig,
    StillsConfig,
    Upscale,
    VideoConfig,
)
from pokora_anime.timeline import camera_choice, hires_plan, segment_plan, shot_plan, still_seeds

# By the role of a speed LoRA; LCM's works with any number.
DISTILLED_STEPS = {"lightning": 4, "lightning_8step": 8, "hyper": 8}


def check(config: RunConfig) -> None:
    """Raise ConfigError CFG-RANGE naming every problem at once; PromptError for a prompt that is none."""
    _prompt(config)
    found = field_checks.problems(config, _narrower(config))
    broken = {problem.path for problem in found}
    found += [
        *_run(config),
        *_words(config),
        *_speed(config.speed, broken),
        *_style(config),
        *_upscale(config),
    ]
    if isinstance(config, VideoConfig):
        found += [*_shot(config, broken), *_control(config, broken), *_motion(config, broken)]
        found += [*_quality(config), *_best_of(config), *keyframe_checks.problems(config)]
        found += [] if broken else [*timeline_checks.problems(config), *_shots(config)]
        found += [] if broken else effect_checks.problems(config)
        found += _second_pass(config) if hires_plan.asked(config) and not found else []
    if isinstance(config, StillsConfig):
        found += _stills(config)
    if not found:
        return
    if len(found) == 1:
        only = found[0]
        raise ConfigError("CFG-RANGE", f"{only.path}={only.got}", expected=only.expected, fix=only.fix)
    lines = [
        f"({number}) {one.path}={one.got}, expected {one.expected}" + (f", fix: {one.fix}" if one.fix else "")
        for number, one in enumerate(found, start=1)
    ]
    raise ConfigError("CFG-RANGE", f"{len(found)} problems: " + " ".join(lines))


def _narrower(config: RunConfig) -> dict[str, Narrower]:
    """The ranges that other fields make smaller than their laws say."""
    speed, found = config.speed, dict[str, Narrower]()
    if speed.sampler is Sampler.lcm:
        # LCM was distilled from 50 steps (diffusers raises beyond).
        found["speed.steps"] = Narrower(50)
        if config.base.family is not Family.nano:
            # LCM was distilled with guidance in it; more tears the picture apart.
            fix = "speed=hq for CFG above 2" if speed.guidance_scale > 2 else ""
            found["speed.guidance_scale"] = Narrower(2, fix=fix)
    if isinstance(config, StillsConfig):
        found["seed"] = Narrower(LAST_SEED + 1 - max(1, config.count))
    if isinstance(config, VideoConfig):
        motion = config.motion
        # Motion adapters know at most 32 positions; an anchor frame takes one.
        extra = config.keyframe.enabled and motion.anchor in (Anchor.frame, Anchor.both)
        found["motion.frames"] = Narrower(32 - extra)
        most = max(1, motion.frames - 1)
        fix = f"motion.overlap={min(4, most)}"
        found["motion.overlap"] = Narrower(most, " (fewer than motion.frames)", fix)
    return found


def _stills(config: StillsConfig) -> list[Problem]:
    """A still has no frames that move."""
    found = [*effect_checks.still_problems(config)]
    if config.finish.upscale not in (Upscale.lanczos, Upscale.crisp):
        expected = "lanczos, or crisp on nano: the other ways are a clip's"
        upscale = config.finish.upscale.value
        found.append(Problem("finish.upscale", upscale, expected, "finish.upscale=lanczos"))
    if config.finish.camera is not Camera.free:
        got, expected = config.finish.camera.value, "free: a still has no moves"
        found.append(Problem("finish.camera", got, expected, "finish.camera=free"))
    if stops(config.shot.prompt)[-1][0]:
        fix = f"shot.prompt={shlex.quote(stops(config.shot.prompt)[0][1])}"
        found.append(Problem("shot.prompt", "prompt travel", "one prompt: a still has no frames", fix))
    return found


def _prompt(config: RunConfig) -> None:
    shot = config.shot
    for name, text in (("prompt", shot.prompt), ("negative", shot.negative), ("prefix", shot.prefix)):
        if len(text) > MAX_PROMPT:
            raise PromptError(
                "PRM-LONG",
                f"shot.{name} has {len(text)} characters",
                expected=f"at most {MAX_PROMPT}",
                fix="keep the words that matter most",
            )
    parse_travel(shot)
    for one in still_seeds.each(config):
        prompt_length.refuse_long(shot, config.base, open_words.chosen(one))


def _words(config: RunConfig) -> list[Problem]:
    """The prompt's choices are made, as its seed makes them, and only nano is told what is left open."""
    shot, base = config.shot, config.base
    found: list[Problem] = []
    if prompt_choices.has(shot.prompt) or (
        shot.typed and prompt_choices.choose(shot.typed, config.seed) != shot.prompt
    ):
        expected = f"what seed {config.seed} chooses of {shot.typed or shot.prompt!r}"
        found.append(Problem("shot.prompt", repr(shot.prompt), expected, "type the prompt again"))
    if base.fill_open and base.family is not Family.nano:
        expected = "false: only nano's words are few enough to fill in"
        found.append(Problem("base.fill_open", "true", expected, "base.fill_open=false"))
    return found


def _run(config: RunConfig) -> list[Problem]:
    on_cpu = config.device.kind is DeviceKind.cpu
    if on_cpu and config.device.dtype is DType.fp16:
        return [Problem("device.dtype", "fp16", "fp32 or bf16 on a CPU", "device.dtype=auto")]
    return []


def _speed(speed: SpeedConfig, broken: Collection[str]) -> list[Problem]:
    found: list[Problem] = []
    distilled = DISTILLED_STEPS.get(speed.lora_role or "")
    if distilled is not None and speed.steps != distilled and "speed.steps" not in broken:
        expected = f"{distilled}, the number that its LoRA was distilled for"
        found.append(Problem("speed.steps", speed.steps, expected, f"speed.steps={distilled}"))
    if (speed.lora_role or "").startswith("lightning") and speed.guidance_scale > 1.0:
        got = speed.guidance_scale
        found.append(Problem("speed.guidance_scale", got, "1: it was distilled without CFG", "speed=hyper"))
    return found + _interval(
        ("speed.guidance_start", speed.guidance_start), ("speed.guidance_end", speed.guidance_end), broken
    )


def _quality(config: VideoConfig) -> list[Problem]:
    quality, found = config.quality, list[Problem]()
    if quality.min is not Minimum.none and not quality.score:
        found.append(Problem("quality.score", False, "true for quality.min", "quality.score=true"))
    return found


def _shots(config: VideoConfig) -> list[Problem]:
    """Each shot renders by itself, with what a list of them can hold."""
    found = shot_checks.problems(config)
    if config.shots and not found:
        for one in shot_plan.each(config):
            check(one)
    return found


def _best_of(config: VideoConfig) -> list[Problem]:
    """There are keyframes to choose from."""
    if config.best_of == 1 or config.keyframe.enabled:
        return []
    expected = "1 with keyframe=none: there is no keyframe to choose"
    return [Problem("best_of", config.best_of, expected, "keyframe=internal, or best_of=1")]


def _interval(start: tuple[str, float], end: tuple[str, float], broken: Collection[str]) -> list[Problem]:
    (start_path, first), (end_path, last) = start, end
    if first <= last or {start_path, end_path} & set(broken):
        return []
    return [Problem(start_path, first, f"at most {end_path}={last}", f"{start_path}=0")]


def _style(config: RunConfig) -> list[Problem]:
    found: list[Problem] = []
    names = [lora.id for lora in merge_loras(config.style.loras, shot_loras(config.shot))]
    most = config.contest.max_style_loras
    if len(names) > most:
        got = f"{len(names)} ({', '.join(names)})"
        found.append(
            Problem("style LoRAs", got, f"at most {most}", "leave out a <lora:...> tag, or style=none")
        )
    return found


def _shot(config: VideoConfig, broken: Collection[str]) -> list[Problem]:
    shot, finish = config.shot, config.finish
    found: list[Problem] = []
    fit = not {"shot.seconds", "shot.fps", "finish.fps"} & set(broken)
    if fit and shot.fps > finish.fps:
        fix = f"shot.fps={min(12, finish.fps)}"
        found.append(Problem("shot.fps", shot.fps, f"at most finish.fps={finish.fps}", fix))
    if fit and not found and round(shot.seconds * finish.fps) < 1:
        fix = f"shot.seconds={1 / max(1, finish.fps):g}"
        found.append(Problem("shot.seconds", shot.seconds, f"at least one frame at {finish.fps} fps", fix))
    last = stops(shot.prompt)[-1][0]
    if fit and not found and last >= round(shot.seconds * shot.fps):
        expected = f"stops before frame {round(shot.seconds * shot.fps)}, where the clip ends"
        fix = f"shot.seconds={(last + 1) / shot.fps:g}"
        found.append(Problem("shot.prompt", f"a stop at frame {last}", expected, fix))
    if last and config.motion.chain is Chain.windows:
        expected = "one prompt, because windows are denoised together"
        found.append(Problem("shot.prompt", "prompt travel", expected, "motion.chain=overlap"))
    if finish.interpolation is Interpolation.none and shot.fps > 0 and finish.fps % shot.fps:
        fix = "finish.interpolation=flow"
        found.append(
            Problem("finish.fps", finish.fps, f"a multiple of shot.fps={shot.fps} without interpolation", fix)
        )
    return found


def _control(config: VideoConfig, broken: Collection[str]) -> list[Problem]:
    control: ControlConfig = config.control
    found = _interval(("control.start", control.start), ("control.end", control.end), broken)
    if len(set(control.kinds)) < len(control.kinds):
        found.append(Problem("control.kinds", [kind.name for kind in control.kinds], "each kind once"))
    edges = {ControlKind.canny, ControlKind.lineart}
    if control.network is ControlNetwork.union and edges <= set(control.kinds):
        expected = "one kind of lines: the union network has one place for both"
        found.append(Problem("control.kinds", "canny and lineart", expected, "control.network=separate"))
    return found + _map_source(config)


def _map_source(config: VideoConfig) -> list[Problem]:
    """Maps are read somewhere that is there, and a draft's a segment at a time."""
    control = config.control
    found: list[Problem] = []
    kinds = "+".join(kind.name for kind in control.kinds)
    if control.source is MapSource.draft and not kinds:
        expected = "a kind of map to read in the draft"
        found.append(Problem("control.source", "draft with control=none", expected, "control=pose"))
    elif control.source is MapSource.draft and config.motion.chain is Chain.windows:
        expected = "segments, because a draft's maps are read a segment at a time"
        found.append(Problem("motion.chain", "windows with control.source=draft", expected, "motion=default"))
    elif control.source is MapSource.choreography:
        found += _choreography(config, kinds)
    elif control.source is not MapSource.draft and kinds and not config.keyframe.enabled:
        expected = "none, because control maps come from the keyframe"
        found.append(Problem("control", kinds, expected, "control=none, or control.source=draft"))
    return found


def _choreography(config: VideoConfig, kinds: str) -> list[Problem]:
    """Poses are planned, and of whom the keyframe shows."""
    named = {kind.name for kind in config.control.kinds}
    if "pose" not in named or not named <= {"pose", "depth"}:
        expected = "pose, which is planned, alone or with the keyframe's depth"
        got = f"{kinds or 'none'} with control.source=choreography"
        return [Problem("control.kinds", got, expected, "control=pose, or control.source=keyframe")]
    if len(named) > 1 and config.control.network is ControlNetwork.union:
        expected = "a network for each kind, because poses hold every frame and depth fades"
        got = "union with depth and control.source=choreography"
        return [Problem("control.network", got, expected, "control.network=separate")]
    if not config.keyframe.enabled:
        expected = "a keyframe, whose figure is moved"
        got = "none with control.source=choreography"
        return [Problem("keyframe", got, expected, "keyframe=internal, or control=none")]
    return []


def _motion(config: VideoConfig, broken: Collection[str]) -> list[Problem]:
    found = _camera(config)
    if config.motion.loop and not found and not any(path.startswith("motion.") for path in broken):
        found += _loop(config.shot, config.motion)
    return found


def _camera(config: VideoConfig) -> list[Problem]:
    """Nothing else is asked for in the place of the camera's move."""
    asked, lora, window = config.motion.camera, config.motion.lora, config.finish.camera
    if camera_choice.settled(config):
        return []
    if lora is not None and asked is Camera.free:
        fix = "finish.camera=free, or motion.lora=null"
        return [Problem("finish.camera", f"{window.value} beside motion.lora={lora}", "one move", fix)]
    if lora is not None and lora != asked.value:
        fix = "motion.lora=null, or motion.camera=free"
        return [Problem("motion.camera", f"{asked.value} beside motion.lora={lora}", "one move", fix)]
    if window is asked:
        expected = f"{camera_choice.words(asked)!r} in shot.prefix"
        return [Problem("motion.camera", f"{asked.value} with base=nano", expected, "motion.camera=free")]
    got, fix = (
        f"{asked.value} beside finish.camera={window.value}",
        "finish.camera=free, or motion.camera=free",
    )
    return [Problem("motion.camera", got, "one move", fix)]


def _loop(shot: ShotConfig, motion: MotionConfig) -> list[Problem]:
    """A loop has a whole number of frames, and room for what leads back to the first ones."""
    frames = shot.seconds * shot.fps
    least = motion.frames + (1 if motion.chain is Chain.overlap else 0)
    if abs(frames - round(frames)) > 1e-6:
        fix = f"shot.seconds={max(1, round(frames)) / shot.fps:g}"
        return [Problem("shot.seconds", shot.seconds, f"a whole number of frames at {shot.fps} fps", fix)]
    if round(frames) < least:
        fix = f"shot.seconds={-(-least // shot.fps)}"
        return [Problem("shot.seconds", shot.seconds, f"a loop of at least {least} frames", fix)]
    planned = segment_plan.plan(round(frames), motion, has_keyframe=True, period=round(frames))
    if any(span.fresh < 1 or span.known < motion.overlap for span in planned[1:]):
        return [Problem("motion.overlap", motion.overlap, "less, to close the loop", "motion.overlap=4")]
    return []


def _upscale(config: RunConfig) -> list[Problem]:
    if config.finish.upscale is not Upscale.crisp or config.base.family is Family.nano:
        return []
    expected = "lanczos, hires or network: crisp was trained on nano's frames"
    return [Problem("finish.upscale", "crisp", expected, "finish.upscale=lanczos")]


def _second_pass(config: VideoConfig) -> list[Problem]:
    """A size that networks take, and a step that is left out: else nothing of the clip would be."""
    found: list[Problem] = []
    side = max(hires_plan.frame_size(config))
    if side > MOST_SIDE:
        fix = f"finish.hires.scale={MOST_SIDE / max(config.base.width, config.base.height):g}"
        found.append(Problem("finish.hires.scale", f"{side} pixels a side", f"at most {MOST_SIDE}", fix))
    if hires_plan.skipped(config) < 1:
        got = f"{config.finish.hires.strength:g} of {config.speed.steps} steps"
        expected = "so little that a step is left out before it"
        found.append(Problem("finish.hires.strength", got, expected, "finish.hires.strength=0.5"))
    return found


def contest_notes(config: RunConfig) -> list[str]:
    """Why what is made with a contest's base would be no entry; it renders all the same."""
    case = Case(config=config, limits=config.contest, uses=uses(config))
    return [finding.line() for finding in of_severity(judge(case), Severity.block)]
