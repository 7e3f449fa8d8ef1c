"""What a list of shots must be beside its fields' laws. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.config.field_checks import Problem
from pokora_anime.errors import PromptError
from pokora_anime.prompt import prompt_choices
from pokora_anime.prompt.prompt_syntax import parse, stops
from pokora_anime.schema.settings import Camera, ControlKind, MapSource, ShotEntry, VideoConfig
from pokora_anime.timeline import shot_plan

MOST_SHOTS = 24
MOST_JOINED = 4  # shots of a scene: each join takes two stops of a prompt


def problems(config: VideoConfig) -> list[Problem]:
    """All that is wrong with a list of shots; PromptError for a prompt that is none."""
    if not config.shots:
        return []
    found: list[Problem] = []
    if len(config.shots) > MOST_SHOTS:
        found.append(
            Problem("shots", f"{len(config.shots)} shots", f"at most {MOST_SHOTS}", "leave some out")
        )
    for index, entry in enumerate(config.shots):
        found += _entry(entry, f"shots[{index}]", config, first=index == 0)
    if any(len(scene) > MOST_JOINED for scene in shot_plan.scenes(config)):
        expected = f"at most {MOST_JOINED} between two cuts"
        found.append(Problem("shots", "too many joined shots", expected, "leave out a joined: true"))
    return [*found, *_beside(config)]


def _entry(entry: ShotEntry, key: str, config: VideoConfig, *, first: bool) -> Iterator[Problem]:
    frames = entry.seconds * config.finish.fps
    if abs(frames - round(frames)) > 1e-6:
        fix = f"seconds: {max(1, round(frames)) / config.finish.fps:g}"
        expected = f"a whole number of frames at {config.finish.fps} fps"
        yield Problem(f"{key}.seconds", entry.seconds, expected, fix)
    if prompt_choices.has(entry.prompt):
        yield Problem(f"{key}.prompt", "a choice {a|b}", "words", "choose one")
    elif parse(entry.prompt, f"{key}.prompt").loras:
        fix = "style.loras=[{id:pastel,weight:0.8}], or a tag in shot.prefix"
        yield Problem(f"{key}.prompt", "a LoRA tag", "words: LoRAs are the whole run's", fix)
    if not entry.prompt.strip(" ,.;"):
        raise PromptError("PRM-EMPTY", f"{key}.prompt is empty", expected="what to show, in words")
    if not entry.joined:
        return
    if first:
        yield Problem(f"{key}.joined", "true", "false: nothing stands before it", "leave it out")
    if entry.camera is not Camera.free or entry.seed is not None:
        expected = "neither camera nor seed: it goes on with those before it"
        yield Problem(f"{key}", "a joined shot with its own", expected, "leave them out, or joined: false")
    if len(stops(entry.prompt)) > 1:
        yield Problem(f"{key}.prompt", "prompt travel in a joined shot", "one prompt", "a shot for each stop")


def _beside(config: VideoConfig) -> Iterator[Problem]:
    """What holds for one clip alone."""
    for name, points in (("prompt", config.timeline.prompt), ("control", config.timeline.control)):
        if points:
            yield Problem(f"timeline.{name}", "key points beside shots", "none", "leave out timeline=")
    line = config.timeline
    if line.lora or line.zoom or line.right or line.down or line.turn or line.effect:
        yield Problem("timeline", "key points beside shots", "none", "leave out timeline=")
    if config.motion.loop:
        yield Problem("motion.loop", "true beside shots", "false", "motion.loop=false")
    if config.finish.camera.moves or config.motion.lora is not None:
        fix = "finish.camera=free motion.lora=null"
        yield Problem("finish.camera", "one move for all shots", "a camera for each shot", fix)
    read = config.control.source in (MapSource.keyframe, MapSource.segment)
    if read and ControlKind.pose in config.control.kinds:
        got = f"poses read in each {config.control.source.value} beside shots"
        yield Problem("control.source", got, "choreography or draft", "control.source=choreography")
