"""The accents of a clip: a beat or a sound's curve, and the clock that runs ahead at them. Torch-free.

What moves by the clock (planned poses, effects) moves most at an accent and is as far as ever on the whole;
what shows the level (the camera's window) jumps at an accent and comes back until the next one.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp, floor

from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import ShotConfig

MOST = 9  # digit of the strongest accent
AHEAD = 0.6  # share of the clock's way that is made at accents
DECAY = 5.0  # how fast a beat's level falls, in 1/beats
_ROUNDING = 1e-6  # beats: 0.1 s times 600 BPM is one beat and not a little less


def on(shot: ShotConfig) -> bool:
    """Whether anything moves the clip."""
    return shot.beat is not None or bool(shot.track.curve)


def recorded(shot: ShotConfig) -> dict[str, Json]:
    """What nodes tell of the accents; nothing where there are none."""
    if not on(shot):
        return {}
    curve: dict[str, Json] = {"curve": shot.track.curve, "rate": shot.track.rate} if shot.beat is None else {}
    return {"accents": {"beat": shot.beat, "begins": shot.begins, **curve}}


def turns(shot: ShotConfig) -> float:
    """Accents a second that planned motion keeps to, half a cycle or more at each; 0 for its own pace."""
    return 0.0 if shot.beat is None else shot.beat / 60


def level(shot: ShotConfig, seconds: float) -> float:
    """How strong the accent is at a time of the clip: 1 at it, falling until the next one, 0 without any."""
    if shot.beat is None:
        return _digit(shot, seconds) / MOST if shot.track.curve else 0.0
    beats = (shot.begins + seconds) * shot.beat / 60 + _ROUNDING
    return exp(-DECAY * (beats - floor(beats)))


def clock(shot: ShotConfig, frames: int) -> list[float]:
    """Seconds of the clip's own time at each generated frame; those of the frames where nothing moves it."""
    step = 1.0 / shot.fps
    if not on(shot):
        return [frame * step for frame in range(frames)]
    found, climbed = [0.0], _climbed(shot.track.curve) if shot.beat is None else 0
    for frame in range(1, frames):
        pushed = _rise(shot, climbed, (frame - 1) * step, frame * step)
        found.append(found[-1] + step * (1 - AHEAD) + AHEAD * pushed)
    return found[:frames]


def _rise(shot: ShotConfig, climbed: int, start: float, stop: float) -> float:
    """Seconds' worth of accents in (start, stop]: a second in a second on the whole, in which a sound's curve
    rises by `climbed`."""
    if shot.beat is None:
        if not climbed:
            return stop - start
        first, last = (_place(shot, time) for time in (start, stop))
        return (
            _climbed(shot.track.curve[first : last + 1]) / climbed * len(shot.track.curve) / shot.track.rate
        )
    rate = shot.beat / 60
    before, after = (floor((shot.begins + time) * rate + _ROUNDING) for time in (start, stop))
    return (after - before) / rate


def _climbed(curve: str) -> int:
    """By how much a curve rises on the whole."""
    return sum(max(0, int(after) - int(before)) for before, after in pairwise(curve))


def _place(shot: ShotConfig, seconds: float) -> int:
    """The digit of the curve at a time of the clip."""
    return min(floor((shot.begins + seconds) * shot.track.rate + _ROUNDING), len(shot.track.curve) - 1)


def _digit(shot: ShotConfig, seconds: float) -> int:
    return int(shot.track.curve[_place(shot, seconds)])
