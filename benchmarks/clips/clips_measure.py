"""One clip of the clips bench: rendered with a chaining strategy, decoded once, and measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clips.clips_prompts import Asked
from benchmarks.nano.constancy import constancy
from benchmarks.nano.nano_flow import flow_magnitude
from benchmarks.nano.nano_metrics import pck
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.planned_poses import steering
from pokora_anime.devices.machine import give_back_memory
from pokora_anime.nano.probe import STILL
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.clip_scorer import scored
from pokora_anime.schema.settings import VideoConfig

if TYPE_CHECKING:
    from benchmarks.nano.nano_studio import Studio
    from pokora_anime.nano.probe import AttributeProbe

FPS, SEGMENT, CHUNK = 8, 16, 4
SUBJECT = ("hair_color", "hair_style", "eye_color", "outfit", "outfit_color")
AROUND = 3  # frames on either side of a join on the contact sheet
SCORED = (
    *("seam_ratio", "seam_worst", "seam_motion", "seam_ghost", "color_step"),
    *("color_drift", "flicker", "dynamic_degree"),
)
_PEAK, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Made:
    """A clip's frames [n,256,256,3], where its segments join, what it cost; the joints [n,18,3] that steered
    each of its frames, of a draft or planned."""

    frames: NDArray[np.uint8]
    joins: tuple[int, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    steered: NDArray[np.float32] | None = None


def render(studio: Studio, config: VideoConfig, one: Asked) -> Made:
    """The clip of a prompt; only its decoded frames are kept. The networks are loaded before it is timed."""
    from pokora_anime.render.pipeline import clip_segments
    from pokora_anime.stages.delivery.settled_frames import Shown, settled
    from pokora_anime.stages.picture.decode import decode

    config = replace(config, seed=one.index, shot=replace(config.shot, prompt=one.text))
    studio.models(config.speed.name).motion_unet()
    with studio.open(config.speed.name, one.index) as context, TemporaryFile() as frames:
        _forget_peak()
        started, cpu = time.monotonic(), time.process_time()
        done, joins, total = 0, list[int](), round(config.shot.seconds * FPS)
        steered: list[NDArray[np.float32]] = []

        def shown() -> Iterator[Shown]:
            nonlocal done
            for segment in clip_segments(config, context):
                joins.extend([done] if 0 < done < total else [])
                fresh = slice(done - segment.start, total - segment.start)
                steered.extend(joints[fresh] for joints in steering(segment, config, context))
                new = segment.latents[:, fresh]
                for chunk in new.split(CHUNK, dim=1) if new.shape[1] else ():
                    for frame in decode(chunk, context):
                        yield Shown.of(frame, segment.posed, done - segment.start, config)
                        done += 1

        for frame in settled(shown(), config):
            frames.write(frame.tobytes())  # kept in memory, they would count as the clip's
        cost = time.monotonic() - started, time.process_time() - cpu, _peak()
        frames.seek(0)
        shape = (-1, config.base.height, config.base.width, 3)
        clip = np.fromfile(frames, np.uint8).reshape(shape)
    track = np.concatenate(steered) if steered else None
    return Made(clip, tuple(joins) or _windows(config, total), *cost, track)


def measured(studio: Studio, probe: AttributeProbe, one: Asked, made: Made) -> Row:
    """The row of a clip. `pck`: how many limb ends are where they were asked for, and how many there are."""
    found_joints = studio.joints(made.frames)
    values = scored(made.frames, joins=made.joins, fps=FPS).values
    found = probe.judge(made.frames).values()
    wanted = {
        name: ATTRIBUTES[name].index(value)
        for name, value in asked_attributes(one.text).items()
        if name in STILL and name != "expression"
    }
    first, last = found_in(found, slice(0, SEGMENT)), found_in(found, slice(-SEGMENT, None))
    keyframe = {name: int(found[name][0]) for name in SUBJECT}
    return {
        "prompt": one.text,
        "open": one.open,
        "frames": len(made.frames),
        "flow": flow_magnitude(made.frames, FPS),
        "drawn_flow": flow_magnitude(drawn(one, len(made.frames)), FPS),
        "joins": list(made.joins),
        **{name: values[name] for name in SCORED},
        "pck": None if made.steered is None else placed(made.steered, found_joints),
        "constancy": constancy(made.frames, found_joints),
        "first": {name: _share(first[name], value) for name, value in wanted.items()},
        "last": {name: _share(last[name], value) for name, value in wanted.items()},
        "kept": {name: _share(last[name], value) for name, value in keyframe.items()},
        "kept_worst": min(_share(found[name], value) for name, value in keyframe.items()),
        "seconds": made.seconds,
        "cpu_seconds": made.cpu_seconds,
        "peak_bytes": made.peak_bytes,
    }


def drawn(one: Asked, frames: int) -> NDArray[np.uint8]:
    """The drawn clip of a prompt's scene."""
    return np.stack([draw_frame(one.scene, k / FPS, 128).rgb for k in range(frames)])


def found_in(found: dict[str, NDArray[np.int64]], where: slice) -> dict[str, NDArray[np.int64]]:
    """The probe's values of some of the frames."""
    return {name: values[where] for name, values in found.items()}


def placed(asked: NDArray[np.float32], found: NDArray[np.float32]) -> list[int]:
    """How many limb ends of joints [n,18,3] were found in place, and how many were asked for."""
    counts = [pck(one, joints) for one, joints in zip(asked, found, strict=True)]
    return [sum(near for near, _ in counts), sum(wanted for _, wanted in counts)]


def joins_strip(made: Made, most: int = 4) -> Image:
    """The frames around a clip's first joins, one row a join, a white line at each join."""
    rows = list(_rows(made, most))
    return np.concatenate(rows)


def _rows(made: Made, most: int) -> Iterator[Image]:
    for join in made.joins[:most]:
        around = [made.frames[min(max(join + k, 0), len(made.frames) - 1)] for k in range(-AROUND, AROUND)]
        small = [np.asarray(cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA)) for frame in around]
        small[AROUND] = np.asarray(cv2.copyMakeBorder(small[AROUND][:, 2:], 0, 0, 2, 0, 0, value=(255,) * 3))
        yield np.concatenate(small, axis=1).astype(np.uint8)


def _windows(config: VideoConfig, total: int) -> tuple[int, ...]:
    """Where a strategy without joins would have them if its windows were segments."""
    stride = config.motion.frames - config.motion.overlap
    return tuple(range(config.motion.frames, total, stride))


def _share(found: NDArray[np.int64], value: int) -> float:
    return float((found == value).mean())


def _forget_peak() -> None:
    give_back_memory()  # what judging the clip before has freed is not this one's
    if _RESET.exists():
        _RESET.write_text("5")


def _peak() -> int:
    """The largest resident memory since `_forget_peak` where the system tells it, else 0."""
    if not _PEAK.exists():
        return 0
    line = next(line for line in _PEAK.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
