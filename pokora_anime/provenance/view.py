"""Noise that moves with the camera: a view of a canvas of noise, which a pan shifts and a zoom scales.

What frames have in common in their noise, a diffusion model draws alike; noise that moves makes it move
(arXiv 2305.10474 mixes noise that frames share with their own, arXiv 2501.08331 warps noise by a flow).
The canvas repeats itself. A view is read by periodic sinc interpolation, whose rows have unit length, so
that it is as white as the canvas, and unlike the nearest cells does not jump.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.hashing import Json

Noise = npt.NDArray[np.float32]

PAN = 0.066  # frame widths a second
# Log of the scale: swings so far about the middle, and is at its end after a quarter of the period (seconds).
ZOOM, ZOOM_MIDDLE, ZOOM_PERIOD = 0.2, 0.09, 36.0
PIVOT = 0.62  # of the height, which a zoom leaves in place
MOVES = ("pan left", "pan right", "zoom in", "zoom out")
MOST_FPS = 240
CANVAS = 2  # widths of a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A move of MOVES, for frames at so many a second."""

    move: str
    fps: int

    def derivation(self) -> dict[str, Json]:
        """As a noise node records it."""
        return {"move": self.move, "fps": self.fps}

    @classmethod
    def recorded(cls, told: Mapping[str, Json]) -> Camera:
        """From a noise node's derivation; ValueError for what no run of ours records."""
        move, fps = told["move"], told["fps"]
        if move not in MOVES or not isinstance(fps, int) or isinstance(fps, bool) or not 0 < fps <= MOST_FPS:
            raise ValueError(f"camera {dict(told)}")
        return cls(move=str(move), fps=fps)

    def frames(self, canvas_CHW: Noise, start: int, count: int) -> Noise:
        """What clip frames start..start+count have in common: [C, count, H, W]."""
        seconds = [(start + k) / self.fps for k in range(count)]
        return np.stack([seen(canvas_CHW, self.move, at) for at in seconds], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Noise of frames: `share` of its variance is common to all of a clip, and moves with its camera."""

    share: float
    camera: Camera | None = None

    def derivation(self) -> dict[str, Json]:
        """As a noise node records it."""
        moving: dict[str, Json] = {} if self.camera is None else {"camera": self.camera.derivation()}
        return {"share": self.share, **moving}


def canvas(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Channels, height and width of the canvas of frames of this shape."""
    channels, height, width = shape
    return channels, height, CANVAS * width


def seen(canvas_CHW: Noise, move: str, seconds: float) -> Noise:
    """What the camera sees of the canvas after so many seconds of its move: [C, H, W]."""
    height, width = canvas_CHW.shape[1], canvas_CHW.shape[2] // CANVAS
    y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    shift = {"pan left": -1.0, "pan right": 1.0}.get(move, 0.0) * PAN * seconds * width
    grown = ZOOM * math.sin(2 * math.pi * seconds / ZOOM_PERIOD) - ZOOM_MIDDLE
    scale = math.exp({"zoom in": -1.0, "zoom out": 1.0}.get(move, 0.0) * grown)
    rows = _weights((y - PIVOT * height) * scale + PIVOT * height, height)
    columns = _weights((x - 0.5 * width) * scale + 0.5 * width + shift, CANVAS * width)
    return np.asarray(rows @ canvas_CHW.astype(np.float64) @ columns.T, np.float32)


def _weights(places: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Rows of unit length that read a row of `count` (even) repeating values at these places."""
    away = np.mod(places[:, None] - np.arange(count) + count / 2, count) - count / 2
    near = np.abs(away) < 1e-9
    angle = np.pi * np.where(near, 0.5, away)
    read = np.where(near, 1.0, np.sin(angle) / (count * np.tan(angle / count)))
    return read / np.linalg.norm(read, axis=1, keepdims=True)
