"""One frame of a scene: pixels, joints, depth and the character's mask."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.world.canvas import Canvas
from pokora_anime.nano.world.character.figure import draw_figure, joints_of
from pokora_anime.nano.world.character.joint_motion import Pose, solve
from pokora_anime.nano.world.places.background import Camera, draw_background, ground_shadow
from pokora_anime.nano.world.scene import Scene

OVERSAMPLE = 2
# Pastel, RGB 0..1: what black and white become; middle tones rise by the exponent, so much colour stays.
PASTEL_DARK, PASTEL_LIGHT = np.float32((0.235, 0.235, 0.295)), np.float32((0.973, 0.973, 0.973))
PASTEL_SCREEN, PASTEL_COLOR = 1.65, 0.62
_CHARACTER_DEPTH = 165 / 255


@dataclass(frozen=True, slots=True)
class Frame:
    """rgb uint8 [s,s,3]; joints float32 [18,3] (x, y in pixels, visible); depth float32 [s,s]
    in 0..1 with 1 nearest; character bool [s,s]."""

    rgb: NDArray[np.uint8]
    joints: NDArray[np.float32]
    depth: NDArray[np.float32]
    character: NDArray[np.bool_]


def camera_at(scene: Scene, time: float) -> Camera:
    """Scroll in frames and zoom factor at a time in seconds."""
    speed = scene.camera_speed
    pan = {"pan left": -1.0, "pan right": 1.0}.get(scene.camera, 0.0)
    walk = 0.07 * scene.side if scene.action == "walking" else 0.0
    zoom = {"zoom in": 1.0, "zoom out": -1.0}.get(scene.camera, 0.0) * speed
    return Camera(
        scroll=scene.scroll + (0.11 * pan * speed + walk) * time,
        shift=-0.045 * pan * sin(2 * pi * time / 24.0),
        zoom=exp(zoom * (0.2 * sin(2 * pi * time / 36.0) - 0.09)),
    )


def placing(scene: Scene, camera: Camera, side: int) -> tuple[float, NDArray[np.float64]]:
    """Scale (pixels a unit) and origin (pixels) of the figure's ground point."""
    if scene.shot == "full body":
        unit, ground, pivot, spread = 0.0074, 0.945, 0.62, 1.0
    else:
        unit, ground, pivot, spread = 0.0142, 1.515, 0.36, 0.4
        ground += 0.03 if scene.action == "jumping" or scene.hair_style == "ponytail" else 0.0
    zoom = camera.zoom
    center = 0.5 + (scene.x * spread + camera.shift) * zoom
    origin = np.array([center, pivot + (ground - pivot) * zoom]) * side
    return unit * scene.scale * zoom * side, origin


def draw_frame(scene: Scene, time: float, size: int = 192, lines_of: int | None = None) -> Frame:
    """Draws the scene at a time in seconds as a square of `size` pixels.

    With `lines_of` its lines are, in shares of the frame, as wide as in a drawing of that size.
    """
    return draw_pose(scene, time, solve(scene, time), size, lines_of)


def draw_pose(scene: Scene, time: float, pose: Pose, size: int, lines_of: int | None = None) -> Frame:
    """Draws the scene at a time with its figure in a pose; the rest as `draw_frame` does."""
    side = size * OVERSAMPLE
    canvas = Canvas(side, flat=scene.style == "flat color", line=_line(scene, size, lines_of or size))
    camera = camera_at(scene, time)
    draw_background(canvas, scene, camera, time)
    scale, origin = placing(scene, camera, side)
    canvas.place(scale, origin)
    if scene.shot == "full body":
        ground_shadow(canvas, pose.pelvis[0], pose.lift)
    head = draw_figure(canvas, scene, pose, time)
    points = (joints_of(pose, head) * scale + origin) / OVERSAMPLE
    inside = np.all((points >= 0) & (points < size), axis=1).astype(np.float64)
    small = np.asarray(cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    rgb = np.ascontiguousarray(small[..., :3])
    depth = small[..., 3].astype(np.float32) / np.float32(255)
    return Frame(
        rgb=_pastel(rgb) if scene.style == "pastel" else rgb,
        joints=np.concatenate([points, inside[:, None]], 1).astype(np.float32),
        depth=depth,
        character=depth > _CHARACTER_DEPTH,
    )


def _line(scene: Scene, size: int, like: int) -> int:
    """Thickness of contours; OpenCV's antialiased lines are a pixel wider than they are called."""
    named = max(1, round(like * OVERSAMPLE * (0.0052 if scene.shot == "full body" else 0.0078)))
    return named if size == like else max(1, round((named + 1) * size / like) - 1)


def _pastel(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lighter and softer colours: lightness is screened, hues stay, and a night is darker than a day."""
    weights = np.array([[0.30, 0.59, 0.11]], np.float32)
    colors = rgb.astype(np.float32) / np.float32(255)
    light = np.asarray(cv2.transform(colors, weights), np.float32)[..., None]
    lifted = PASTEL_DARK + (PASTEL_LIGHT - PASTEL_DARK) * (1 - (1 - light) ** PASTEL_SCREEN)
    return np.rint(255 * np.clip(lifted + PASTEL_COLOR * (colors - light), 0, 1)).astype(np.uint8)
