"""Poses of a whole clip, planned by the choreographer from words, a seed and the first pose."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.choreography import front_view
from pokora_anime.choreography.actions import BARS, NAMES, STYLES, rate_of
from pokora_anime.choreography.body import Array
from pokora_anime.choreography.choreographer import Choreographer, Meaning, face_shown
from pokora_anime.choreography.skeleton import BONES, FACE, Figure, joints_of
from pokora_anime.system.typed_tensors import from_array

SETTLE = 0.7  # seconds from the first pose into the motion
PASSAGE = 0.8  # seconds from one action to the next
TAKE_UP = 0.9  # seconds in which an action that changes the whole body (sitting, turning) is taken up
PHASES = 24  # of a cycle, tried for the one that goes on from the first pose
_PI2 = 2 * np.pi
_BONES = 2 * len(BONES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is planned: `stops` (first frame, words), how many frames, at which rate, whether the end is to be
    the beginning, and whether the figure is only ever seen from the front.

    `clock`: the seconds that the motion has gone on for at each frame, none for its own pace. `turns`: cycles
    in a second are rounded to whole halves of so many, 0 for none.
    """

    stops: Sequence[tuple[int, str]]
    frames: int
    fps: float
    seed: int
    loop: bool = False
    front: bool = False
    clock: Sequence[float] = ()
    turns: float = 0.0


@dataclass(slots=True)
class _Course:
    """One stop's motion: its meaning and style, and where it begins."""

    meaning: Meaning
    style: Array
    rate: float  # cycles a second
    bars: float  # phrases a second
    start: float = 0.0  # phase in cycles
    bar: float = 0.0
    begun: bool = True


def plan(model: Choreographer, order: Order, figure: Figure, size: tuple[int, int]) -> NDArray[np.float32]:
    """The joints float32 [frames,18,3] of a clip in a frame (height, width), in pixels, 1 where they show."""
    poses = features(model, order, figure)
    return joints_of(poses, figure, size)


@torch.no_grad()
def features(model: Choreographer, order: Order, figure: Figure) -> Array:
    """The poses [frames,FEATURES] of a clip; the first is the figure's own, if there is one to be seen.

    An action changes over PASSAGE seconds around its frame. Of a loop, what would follow the last frame is
    the first one, at its pace.
    """
    courses = [
        _course(model.read(text), index, order, order.frames if order.loop else None)
        for index, (_, text) in enumerate(order.stops)
    ]
    if figure.seen:
        _anchor(model, courses[0], figure)
    seconds = np.arange(order.frames) / order.fps
    length = order.frames / order.fps
    clock = np.asarray(order.clock, np.float64) if len(order.clock) else None
    starts = [frame / order.fps for frame, _ in order.stops]
    found = _in_turn(model, courses, starts, (seconds, clock), length if order.loop else None)
    if order.loop and len(courses) > 1:
        back = _danced(model, courses[0], (seconds, seconds if clock is None else clock), length)
        found = _passed(found, back, (seconds - length) / PASSAGE + 1.0)
    if order.front:
        found = front_view.shown(found)
    if figure.seen:
        near = 1 - eased(seconds / SETTLE)
        if order.loop:
            near = np.maximum(near, 1 - eased((length - seconds) / SETTLE))
        found[:, : -len(FACE)] += near[:, None] * (figure.first - found[0])[None, : -len(FACE)]
    return _whole(found)


class Dance:
    """Poses of a clip whose stops come while it is danced; the same as those of a plan that knows them all.

    `order` has the first stop alone; how many frames it names does not matter, and it is no loop.
    """

    def __init__(self, model: Choreographer, order: Order, figure: Figure) -> None:
        self._model, self._order, self._figure = model, order, figure
        (self._first, text), *_ = order.stops
        self._courses = [_course(model.read(text), 0, order, None)]
        self._starts = [self._first / order.fps]
        if figure.seen:
            _anchor(model, self._courses[0], figure)
        self._away = figure.first - self._shown(np.zeros(1))[0]

    def turn(self, frame: int, text: str) -> None:
        """Other words from around this frame on; frames up to `frame` - `ahead` stay as they are."""
        self._courses.append(_course(self._model.read(text), len(self._courses), self._order, None))
        self._starts.append(frame / self._order.fps)

    @property
    def ahead(self) -> int:
        """How many frames before a stop its action begins to be taken up."""
        return ceil(PASSAGE / 2 * self._order.fps)

    @torch.no_grad()
    def features(self, first: int, count: int) -> Array:
        """The poses [count,FEATURES] of frames from `first` on."""
        seconds = np.arange(first, first + count) / self._order.fps
        found = self._shown(seconds)
        if self._figure.seen:
            near = 1 - eased(seconds / SETTLE)
            found[:, : -len(FACE)] += near[:, None] * self._away[None, : -len(FACE)]
        return _whole(found)

    def joints(self, first: int, count: int, size: tuple[int, int]) -> NDArray[np.float32]:
        """The joints float32 [count,18,3] of those frames in a frame (height, width), as `plan` has them."""
        return joints_of(self.features(first, count), self._figure, size)

    @torch.no_grad()
    def _shown(self, seconds: Array) -> Array:
        """Poses at these times, without the way from the first one."""
        over = [index for index, start in enumerate(self._starts) if seconds[0] - start >= PASSAGE / 2]
        begun = [index for index, start in enumerate(self._starts) if seconds[-1] - start > -PASSAGE / 2]
        part = slice(max(over, default=0), max(begun, default=0) + 1)
        found = _in_turn(self._model, self._courses[part], self._starts[part], (seconds, None), None)
        return front_view.shown(found) if self._order.front else found


def _in_turn(
    model: Choreographer,
    courses: Sequence[_Course],
    starts: Sequence[float],
    times: tuple[Array, Array | None],
    length: float | None,
) -> Array:
    """Poses of motions one after the other; the first is under way, or a loop of `length` seconds.

    `times`: seconds, and a clock that the motions go by if it is another one.
    """
    seconds, clock = times

    def since(start: float) -> tuple[Array, Array]:
        away = seconds - start
        return away, away if clock is None else clock - np.interp(start, seconds, clock)

    found = _danced(model, courses[0], since(starts[0]), length)
    for start, course in zip(starts[1:], courses[1:], strict=True):
        found = _passed(found, _danced(model, course, since(start), None), since(start)[0] / PASSAGE + 0.5)
    return found


def eased(share: Array) -> Array:
    """A share of the way, 0 to 1, that sets out and arrives softly (smoothstep)."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def _passed(one: Array, other: Array, share: Array) -> Array:
    return one + eased(share)[:, None] * (other - one)


def _whole(poses: Array) -> Array:
    """Poses between others with their limbs as long as a limb can be seen at most."""
    bones = poses[:, :_BONES].reshape(len(poses), -1, 2)
    length = np.linalg.norm(bones[:, :12], axis=-1, keepdims=True)
    bones[:, :12] /= np.maximum(1.0, length / 1.08)
    poses[:, :_BONES] = bones.reshape(len(poses), -1)
    return poses


def _course(meaning: Meaning, index: int, order: Order, period: int | None) -> _Course:
    """The style, tempo and phase that a seed gives a stop's motion; whole cycles in a loop."""
    rng = np.random.default_rng((order.seed, zlib.crc32(b"choreography"), index))
    style = np.clip(rng.normal(size=STYLES), -2, 2)
    style[0] = -1.0 if rng.random() < 0.5 else 1.0
    rate = rate_of(meaning.names) * meaning.tempo * float(np.exp(0.12 * style[7]))
    bars = rate / BARS
    if period is not None and index == 0:
        length = period / order.fps
        rate, bars = (max(1, round(speed * length)) / length for speed in (rate, bars))
    elif order.turns:
        rate = max(1, round(2 * rate / order.turns)) * order.turns / 2
        bars = rate / BARS
    return _Course(meaning, style, rate, bars, float(rng.random()), float(rng.random()))


def _anchor(model: Choreographer, course: _Course, figure: Figure) -> None:
    """Sets out where the motion is nearest to the first pose: at which phase, on which side, begun or not."""
    tried = [
        (side, phase / PHASES, begun)
        for begun in (True, False)
        for side in (course.style[0], -course.style[0])
        for phase in range(PHASES)
    ]
    rows = [replace_style(course, side, phase, begun) for side, phase, begun in tried]
    poses = torch.cat([_poses(model, row, np.zeros(1), np.full(1, float(row.begun))) for row in rows])
    limbs = np.r_[2:6, 8:12, 14:18, 20:24]  # arms and legs
    apart = np.linalg.norm(poses.numpy()[:, limbs] - figure.first[limbs], axis=-1)
    apart[len(apart) // 2 :] += 0.15  # in the midst of it, unless she clearly is not
    best = rows[int(apart.argmin())]
    course.style, course.start, course.begun = best.style, best.start, best.begun


def replace_style(course: _Course, side: float, phase: float, begun: bool) -> _Course:
    """The same motion from another phase, on another side."""
    style = course.style.copy()
    style[0] = side
    return _Course(course.meaning, style, course.rate, course.bars, phase, course.bar, begun)


def _danced(model: Choreographer, course: _Course, times: tuple[Array, Array], length: float | None) -> Array:
    """Poses at times after the motion's start (before it: as it starts), a loop of `length` seconds.

    `times`: seconds, and those that the motion has gone on for.
    """
    seconds, clock = times
    begun = np.ones(len(seconds))
    if not course.begun:
        begun = eased(seconds / TAKE_UP)
        if length is not None:
            begun = np.minimum(begun, eased((length - seconds) / TAKE_UP))
    return _poses(model, course, clock, begun).numpy().astype(np.float64)


def _poses(model: Choreographer, course: _Course, seconds: Array, begun: Array) -> Tensor:
    w = _PI2 * (course.start + course.rate * seconds)
    bar = _PI2 * (course.bar + course.bars * seconds)
    count = len(seconds)
    size = course.meaning.size * float(np.exp(0.12 * course.style[6]))
    numbers = [from_array(one.astype(np.float32)) for one in (w, bar, begun, np.full(count, size))]
    style = from_array(np.tile(course.style, (count, 1)).astype(np.float32))
    actions = course.meaning.actions.expand(count, len(NAMES))
    return face_shown(model.poser(actions, *numbers, style))
