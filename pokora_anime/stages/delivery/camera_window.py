"""A camera's move over finished frames: a window travels over each, cut and scaled in one resampling.

It moves the picture as a whole, near and far alike, and shows only what the frame holds: the window is the
largest that stays inside it on the whole way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, cos, exp, log, pi, radians, sin

import cv2
import numpy as np

from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.curves import moves_camera, value_at
from pokora_anime.schema.settings import Camera, FinishConfig, ShotConfig, TimelineConfig, VideoConfig
from pokora_anime.timeline.effects import accents

# What a move does in a second, and at most in a clip; both times finish.camera_speed.
PAN, FARTHEST = 0.08, 0.35  # delivered frame widths, a tilt's heights
ZOOM, CLOSEST = 0.035, log(1.4)  # logarithms of the growth
ROLL, STEEPEST = radians(2.0), radians(8.0)

PULSE = 0.05  # growth at an accent

_LOOKS = 4  # places of a route that are looked at for each generated frame

# Right, down, closer, clockwise: the ways that the view goes. What is seen goes the other way.
WAYS: dict[Camera, tuple[int, int, int, int]] = {
    Camera.pan_left: (-1, 0, 0, 0),
    Camera.pan_right: (1, 0, 0, 0),
    Camera.tilt_up: (0, -1, 0, 0),
    Camera.tilt_down: (0, 1, 0, 0),
    Camera.zoom_in: (0, 0, 1, 0),
    Camera.zoom_out: (0, 0, -1, 0),
    Camera.rolling_clockwise: (0, 0, 0, 1),
    Camera.rolling_anticlockwise: (0, 0, 0, -1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Its centre beside the frame's, in its own widths and heights at `growth` 1, and its clockwise turn."""

    right: float
    down: float
    growth: float
    turn: float  # radians


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A window's whole way: widths right, heights down, the logarithm of its growth, radians clockwise."""

    right: float
    down: float
    growth: float
    turn: float
    loop: bool

    @classmethod
    def of(cls, finish: FinishConfig, seconds: float, *, loop: bool) -> Move | None:
        """The move of a clip, there and back in a loop; None where the window stands still."""
        if not finish.camera.moves:
            return None
        right, down, closer, clockwise = WAYS[finish.camera]
        time, speed = seconds / 2 if loop else seconds, finish.camera_speed
        shift = speed * min(PAN * time, FARTHEST)
        return cls(
            right=right * shift,
            down=down * shift,
            growth=closer * speed * min(ZOOM * time, CLOSEST),
            turn=clockwise * speed * min(ROLL * time, STEEPEST),
            loop=loop,
        )

    def at(self, share: float) -> Window:
        """The window after that share of the clip's time, 0..1."""
        return self._after((1 - cos(2 * pi * share)) / 2 if self.loop else share)

    def scale(self, frame: Image, finish: FinishConfig) -> float:
        """Frame pixels to a delivered one at growth 1: the most that `zoom` and the whole way leave."""
        return min(_room(window, frame, finish) for window in self._farthest(finish))

    def _farthest(self, finish: FinishConfig) -> list[Window]:
        """Where on its way the window reaches out most: at its ends, or where a diagonal is level or upright.

        Both halves of a turn reach equally far.
        """
        ends = [self._after(0.0), self._after(1.0)]
        level = atan2(finish.height, finish.width)
        turns = (min(abs(self.turn) / 2, at) for at in (level, pi / 2 - level))
        return [*ends, *(replace(ends[0], turn=turn) for turn in turns)]

    def _after(self, done: float) -> Window:
        """Shifts and turns lie evenly about the middle; a growth begins or ends at the whole window."""
        return Window(
            right=self.right * (done - 0.5),
            down=self.down * (done - 0.5),
            growth=exp(max(0.0, -self.growth) + self.growth * done),
            turn=self.turn * (done - 0.5),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A window's way by the key points of a timeline, over a clip of that many generated frames.

    `scale` leaves room for all of it, so that the window shows nothing but the frame.
    """

    timeline: TimelineConfig
    frames: float
    looked_at: tuple[Window, ...] = ()

    @classmethod
    def of(cls, config: VideoConfig) -> Route | None:
        """The route that a config's timeline leads; None where it leads no window."""
        if not moves_camera(config):
            return None
        route = cls(timeline=config.timeline, frames=config.shot.seconds * config.shot.fps)
        steps = max(1, round(route.frames * _LOOKS))
        return replace(route, looked_at=tuple(route.at(step / steps) for step in range(steps + 1)))

    def at(self, share: float) -> Window:
        """The window after that share of the clip's time, 0..1."""
        line, frame = self.timeline, share * self.frames
        return Window(
            right=value_at(line.right, frame, 0.0),
            down=value_at(line.down, frame, 0.0),
            growth=value_at(line.zoom, frame, 1.0),
            turn=radians(value_at(line.turn, frame, 0.0)),
        )

    def scale(self, frame: Image, finish: FinishConfig) -> float:
        """Frame pixels to a delivered one at growth 1: the most that `zoom` and the whole way leave."""
        return min(_room(window, frame, finish) for window in self.looked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """A window that jumps closer at each accent and comes back, on its way or where it stands."""

    way: Move | Route | None
    shot: ShotConfig

    def at(self, share: float) -> Window:
        """The window after that share of the clip's time, 0..1."""
        still = Window(right=0.0, down=0.0, growth=1.0, turn=0.0)
        window = still if self.way is None else self.way.at(share)
        closer = 1.0 + PULSE * accents.level(self.shot, share * self.shot.seconds)
        return replace(window, growth=window.growth * closer)

    def scale(self, frame: Image, finish: FinishConfig) -> float:
        """Frame pixels to a delivered one at growth 1: what its way leaves, as it only ever comes closer."""
        still = Window(right=0.0, down=0.0, growth=1.0, turn=0.0)
        return _room(still, frame, finish) if self.way is None else self.way.scale(frame, finish)


Way = Move | Route | Pulse


def way_of(config: VideoConfig) -> Way | None:
    """The way of a clip's window; None where it stands still."""
    move = Route.of(config) or Move.of(config.finish, config.shot.seconds, loop=config.motion.loop)
    return Pulse(way=move, shot=config.shot) if accents.on(config.shot) else move


def _room(window: Window, frame: Image, finish: FinishConfig) -> float:
    """The scale at which a window just stays inside the frame, at most the one that `zoom` leaves."""
    height, width = frame.shape[:2]
    across, upright = finish.width / window.growth, finish.height / window.growth
    side, lean = abs(cos(window.turn)), abs(sin(window.turn))
    reach_x = 2 * finish.width * abs(window.right) + across * side + upright * lean
    reach_y = 2 * finish.height * abs(window.down) + upright * side + across * lean
    whole = min(width / finish.width, height / finish.height) / finish.zoom
    return min(whole, width / reach_x, height / reach_y)


def cut(frame: Image, share: float, move: Way, finish: FinishConfig) -> Image:
    """What the window shows of a frame after that share of the clip's time, at the delivered size."""
    window, scale = move.at(share), move.scale(frame, finish)
    step = scale / window.growth
    along = step * np.array([[cos(window.turn), -sin(window.turn)], [sin(window.turn), cos(window.turn)]])
    height, width = frame.shape[:2]
    center = [
        width / 2 + scale * finish.width * window.right,
        height / 2 + scale * finish.height * window.down,
    ]
    # Positions are pixels' middles, which lie half a pixel beside the numbers that OpenCV gives them.
    first = center - along @ [finish.width / 2 - 0.5, finish.height / 2 - 0.5] - 0.5
    if step > 1:  # the filter below takes in a few pixels only: what is finer than the result goes before
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), 0.4 * (step**2 - 1) ** 0.5), np.uint8)
    # Lanczos is 0.1 to 0.2 dB closer to drawn frames and takes five times as long.
    return np.asarray(
        cv2.warpAffine(
            frame,
            np.column_stack([along, first]),
            (finish.width, finish.height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )
