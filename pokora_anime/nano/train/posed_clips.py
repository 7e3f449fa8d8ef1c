"""Drawn clips of every action that the choreographer can plan, with the joints of each frame.

The drawn world acts six actions; these clips show all of them, drawn in the poses that teach the
choreographer, with the joints they were drawn in. They teach what reads poses and what follows them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pokora_anime.choreography import body, front_view, skeleton
from pokora_anime.choreography.actions import BARS, NAMES, STYLES, Moment, rate_of, taken_up, together
from pokora_anime.nano.sizes import FPS, FRAMES, PICTURE
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.posed_figure import LAG, draw_posed
from pokora_anime.nano.world.scene import Scene

STILL_ACTION = "standing"  # of a posed scene; no caption may name it
BOTH = 0.3  # share of clips with a second action beside the first
TAKEN_UP = 0.35  # share of clips that begin at ease
SECONDS_TO_TAKE_UP = (0.6, 1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What she does: actions done together, the style of it, and how it goes on in time."""

    names: tuple[str, ...]
    style: body.Array  # [STYLES]
    size: float
    rate: float  # cycles a second
    start: float  # cycles
    bar: float  # phrases
    take_up: float  # seconds from ease into the action; 0: it is going on already

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Motion:
        """A motion of any one action, sometimes with another beside it."""
        count = 2 if rng.random() < BOTH else 1
        names = tuple(NAMES[int(index)] for index in rng.integers(len(NAMES), size=count))
        style = np.clip(rng.normal(size=STYLES), -2, 2)
        style[0] = -1.0 if rng.random() < 0.5 else 1.0
        return cls(
            names=together(names),
            style=style,
            size=float(np.exp(rng.uniform(-0.5, 0.3))),
            rate=rate_of(names) * float(np.exp(rng.uniform(-0.4, 0.3))),
            start=float(rng.random()),
            bar=float(rng.random()),
            take_up=float(rng.uniform(*SECONDS_TO_TAKE_UP)) if rng.random() < TAKEN_UP else 0.0,
        )

    def at(self, seconds: body.Array) -> Moment:
        """Where in the motion she is, [N] times."""
        begun = np.clip(seconds / self.take_up, 0, 1) if self.take_up else np.ones(len(seconds))
        return Moment(
            w=2 * np.pi * (self.start + self.rate * seconds),
            bar=2 * np.pi * (self.bar + self.rate / BARS * seconds),
            begun=begun * begun * (3 - 2 * begun),
            size=np.full(len(seconds), self.size),
            style=np.tile(self.style, (len(seconds), 1)),
        )


def draw_clip(
    scene: Scene, time: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A clip's frames uint8 [FRAMES,256,256,3] and the joints float32 [FRAMES,18,3] that they show, in
    pixels."""
    track, lagging = track_of(scene, time, rng)
    frames = [draw_posed(scene, time + k / FPS, track[k], lagging[k], PICTURE) for k in range(FRAMES)]
    return np.stack([one.rgb for one in frames]), np.stack([one.joints for one in frames])


def track_of(
    scene: Scene, time: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints [FRAMES,18,3] of a figure of the scene in a motion drawn from all actions, and those LAG
    seconds before each."""
    figure = figure_of(draw_frame(scene, time, PICTURE).joints)
    motion = Motion.drawn(rng)
    seconds = np.arange(FRAMES) / FPS
    both = np.concatenate([seconds, seconds - LAG])
    poses = front_view.shown(skeleton.features(body.joints(taken_up(motion.names, motion.at(both)))))
    joints = skeleton.joints_of(poses, figure, (PICTURE, PICTURE))
    return joints[:FRAMES], joints[FRAMES:]


def figure_of(joints: NDArray[np.float32]) -> skeleton.Figure:
    """The figure of a drawing's joints [18,3]: all of them are known, in the frame or not."""
    known = joints.copy()
    known[:, 2] = 1
    figure = skeleton.read(known)
    assert figure is not None
    return figure
