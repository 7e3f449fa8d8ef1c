"""A list of shots as clips of their own, one after the other in one video. Torch-free.

A scene is what lies between two cuts: a shot and those that are joined to it, whose prompts travel.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from pokora_anime.prompt import open_words
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.schema.settings import Camera, Identity, ShotEntry, VideoConfig
from pokora_anime.timeline import camera_choice
from pokora_anime.timeline.frame_timing import frames_delivered

BLEND = 2  # generated frames before and after a join in which the words change


def settle(config: VideoConfig) -> None:
    """The run's own prompt is that of its first shot, its length that of all; twice is once."""
    if config.shots:
        config.shot.prompt = config.shots[0].prompt
        config.shot.seconds = float(sum(entry.seconds for entry in config.shots))
        config.motion.camera = Camera.free


def scenes(config: VideoConfig) -> list[list[ShotEntry]]:
    """The shots between two cuts, joined ones together."""
    found: list[list[ShotEntry]] = []
    for entry in config.shots:
        if entry.joined and found:
            found[-1].append(entry)
        else:
            found.append([entry])
    return found


def each(config: VideoConfig) -> list[VideoConfig]:
    """The config that renders each scene as a clip of its own; a run without a list is one."""
    if not config.shots:
        return [config]
    found, begins = list[VideoConfig](), config.shot.begins
    for scene in scenes(config):
        found.append(_of_scene(config, scene))
        found[-1].shot.begins = begins
        begins += found[-1].shot.seconds
    return found


def frames_of(config: VideoConfig) -> list[int]:
    """How many frames each scene delivers."""
    return [frames_delivered(one.shot.seconds, one.finish.fps) for one in each(config)]


def starts(config: VideoConfig) -> list[int]:
    """The first delivered frame of each scene."""
    counts = frames_of(config)
    return [sum(counts[:index]) for index in range(len(counts))]


def likened(config: VideoConfig) -> bool:
    """Whether keyframes of later scenes attend to the first one."""
    return len(scenes(config)) > 1 and config.keyframe.enabled and config.keyframe.likeness > 0


def adapted(config: VideoConfig) -> bool:
    """Whether segments see the keyframe of their scene through an IP-Adapter."""
    return config.keyframe.enabled and config.keyframe.identity is Identity.adapter


def _of_scene(config: VideoConfig, scene: Sequence[ShotEntry]) -> VideoConfig:
    first = scene[0]
    own = copy.deepcopy(config)
    own.shots = []
    own.seed = config.seed if first.seed is None else first.seed
    own.shot.prompt, own.shot.typed = _prompt(config, scene), ""
    own.shot.seconds = float(sum(entry.seconds for entry in scene))
    own.base.fill_open = False  # the words are in the prompt
    own.motion.camera = first.camera
    camera_choice.settle(own)
    return own


def _prompt(config: VideoConfig, scene: Sequence[ShotEntry]) -> str:
    """The scene's prompt with the looks of the first shot's character; joined shots are stops of it."""
    found: list[tuple[int, str]] = [(frame, _kept(config, text)) for frame, text in stops(scene[0].prompt)]
    seconds = scene[0].seconds
    for entry in scene[1:]:
        at = round(seconds * config.shot.fps)
        found += [(max(1, at - BLEND), found[-1][1]), (at + BLEND, _kept(config, entry.prompt))]
        seconds += entry.seconds
    if len(found) == 1:
        return found[0][1]
    return ", ".join(f"{frame}: {text.strip(' ,')}" for frame, text in found)


def _kept(config: VideoConfig, text: str) -> str:
    words = open_words.kept(replace(config), stops(config.shots[0].prompt)[0][1], text)
    return ", ".join(part for part in (text.strip(" ,"), words) if part)
