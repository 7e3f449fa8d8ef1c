"""The seven places, drawn in parallax layers that go on for ever."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sin

import cv2
import numpy as np

from pokora_anime.nano.world.canvas import Canvas
from pokora_anime.nano.world.palette import RGB, mix
from pokora_anime.nano.world.places.scenery import Camera, Stage
from pokora_anime.nano.world.places.town import beach, city
from pokora_anime.nano.world.scene import Scene

__all__ = ["Camera", "draw_background", "ground_shadow"]


def draw_background(canvas: Canvas, scene: Scene, camera: Camera, time: float) -> None:
    """Fills the canvas; depth stays at or below 160 of 255."""
    stage = Stage(canvas, camera, scene.layout_seed, scene.light, time)
    _PLACES[scene.background](stage)


def ground_shadow(canvas: Canvas, x: float, lift: float) -> None:
    """Darkens an ellipse under the feet; canvas in figure units."""
    shrink = 1.0 / (1.0 + 0.03 * lift)
    cx, cy = np.array([x, 0.0]) * canvas.scale + canvas.origin
    rx, ry = 13.0 * shrink * canvas.scale, 2.5 * shrink * canvas.scale
    x0, x1 = max(0, int(cx - rx) - 2), min(canvas.side, int(cx + rx) + 3)
    y0, y1 = max(0, int(cy - ry) - 2), min(canvas.side, int(cy + ry) + 3)
    if x0 >= x1 or y0 >= y1:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    center = (round((cx - x0 - 0.5) * 16), round((cy - y0 - 0.5) * 16))
    cv2.ellipse(mask, center, (round(rx * 16), round(ry * 16)), 0, 0, 360, 255, -1, cv2.LINE_AA, 4)
    factor = 1.0 - mask[..., None].astype(np.float32) * (0.36 / 255)
    region = canvas.image[y0:y1, x0:x1, :3]
    region[:] = (region * factor).astype(np.uint8)


def _ground(stage: Stage, horizon: float, far: RGB, near: RGB) -> None:
    stage.layer(60, 1.0)
    stage.gradient([(horizon, far), (1.0, near)], (70, 150))


def _tufts(stage: Stage, color: RGB, dots: RGB) -> None:
    """Grass tufts and flowers on the ground."""
    for row, (y, size) in enumerate(((0.86, 0.010), (0.93, 0.014), (0.985, 0.018))):
        stage.canvas.depth = 90 + 20 * row
        for i, x in stage.tiles(0.8 + 0.1 * row, 0.23, 0.05):
            x += 0.16 * stage.noise(i, row)
            y1 = y + 0.03 * (stage.noise(i, row + 3) - 0.5)
            blades = np.array(
                [(-1.4, 0), (-1.6, -1.8), (-0.5, -0.4), (0, -2.4), (0.5, -0.4), (1.6, -1.7), (1.4, 0)]
            )
            stage.fill(blades * size + np.array([x, y1]), color)
            if stage.noise(i, row + 7) > 0.5:
                stage.canvas.disc(np.array([x + 0.05, y1 - size]), size * 0.6, stage.tone(dots))


def _clouds(stage: Stage, color: RGB, under: RGB) -> None:
    for row, (y, size, parallax) in enumerate(((0.36, 0.10, 0.15), (0.15, 0.16, 0.25))):
        stage.layer(6 + 6 * row, parallax)
        for i, x in stage.tiles(parallax, 0.62, 0.3, drift=0.012 * (1 + row)):
            stage.puffs(
                x + 0.25 * stage.noise(i, row), y + 0.1 * stage.noise(i, row + 2), size, color, under, i
            )


def _blue_sky(stage: Stage) -> None:
    stage.layer(0, 0.1)
    stage.gradient([(0.0, (92, 170, 246)), (0.45, (160, 212, 252)), (1.0, (222, 242, 255))])
    _clouds(stage, (255, 255, 255), (206, 226, 248))
    stage.layer(30, 0.3)
    stage.hills(0.3, 0.76, 0.14, (158, 206, 204), 5.0)
    stage.layer(50, 0.5)
    stage.hills(0.5, 0.82, 0.12, (134, 202, 140), 6.3, (164, 220, 160))
    _ground(stage, 0.80, (150, 214, 122), (116, 188, 96))
    _tufts(stage, (96, 170, 84), (255, 246, 214))


def _night_sky(stage: Stage) -> None:
    stage.layer(0, 0.1)
    stage.gradient([(0.0, (18, 22, 66)), (0.5, (46, 50, 112)), (1.0, (92, 88, 150))])
    for i, x in stage.tiles(0.06, 0.045, 0.05):
        y = 0.70 * stage.noise(i, 1)
        twinkle = 0.55 + 0.45 * sin(2 * pi * (stage.time / (1.6 + stage.noise(i, 2)) + stage.noise(i, 3)))
        radius = 0.0030 + 0.0038 * stage.noise(i, 4)
        color = mix((84, 88, 150), (255, 250, 220), twinkle)
        stage.canvas.disc(np.array([x, y]), radius, color)
        if stage.noise(i, 5) > 0.8:
            arm = radius * (1.6 + 1.6 * twinkle)
            for dx, dy in ((1.0, 0.0), (0.0, 1.0)):
                axis, across = np.array([dx, dy]) * arm, np.array([dy, dx]) * radius * 0.4
                stage.canvas.fill(np.array([x, y]) + np.stack([axis, across, -axis, -across]), color)
    stage.layer(2, 0.1)
    for _, x in stage.tiles(0.05, 1.7, 0.3):
        moon = np.array([x + 0.22 + 0.6 * stage.noise(0, 9), 0.18])
        for radius, color in ((0.16, (40, 44, 104)), (0.125, (62, 64, 126)), (0.092, (255, 246, 206))):
            stage.canvas.disc(moon, radius, color)
        for dx, dy, r in ((-0.03, -0.02, 0.018), (0.025, 0.03, 0.024), (0.03, -0.035, 0.011)):
            stage.canvas.disc(moon + np.array([dx, dy]), r, (240, 226, 178))
    stage.layer(30, 0.3)
    stage.hills(0.3, 0.78, 0.16, (44, 48, 102), 4.6)
    stage.layer(50, 0.5)
    stage.hills(0.5, 0.84, 0.12, (34, 42, 84), 6.1, (60, 66, 122))
    _ground(stage, 0.82, (52, 66, 100), (34, 46, 78))
    _tufts(stage, (28, 40, 70), (150, 160, 210))


def _sunset(stage: Stage) -> None:
    stage.layer(0, 0.1)
    stage.gradient(
        [(0.0, (140, 84, 160)), (0.3, (240, 116, 104)), (0.62, (255, 184, 96)), (1.0, (255, 214, 130))]
    )
    stage.layer(2, 0.1)
    for _, x in stage.tiles(0.05, 1.7, 0.4):
        sun = np.array([x + 0.25 + 0.5 * stage.noise(0, 9), 0.52])
        for radius, color in ((0.30, (255, 190, 104)), (0.235, (255, 208, 118)), (0.175, (255, 240, 176))):
            stage.canvas.disc(sun, radius, stage.tone(color))
    for row, y in enumerate((0.12, 0.26, 0.36)):
        for i, x in stage.tiles(0.15, 0.55, 0.3, drift=0.010 * (row + 1)):
            streak = np.array(
                [
                    (-0.16, 0.006),
                    (-0.06, -0.010),
                    (0.05, -0.012),
                    (0.17, 0.004),
                    (0.05, 0.012),
                    (-0.06, 0.012),
                ]
            )
            stage.fill(
                streak + np.array([x + 0.3 * stage.noise(i, row), y]),
                (255, 164, 132) if row else (206, 112, 158),
            )
    stage.layer(30, 0.3)
    stage.gradient([(0.64, (250, 160, 100)), (0.84, (190, 92, 112))], (30, 50))
    for row in range(6):
        for i, x in stage.tiles(0.3, 0.26, 0.1, drift=0.02 * (1 if row % 2 else -1)):
            half = 0.035 + 0.05 * stage.noise(i, row)
            y = 0.665 + 0.026 * row
            glint = np.array([(-half, 0), (0, -0.0035), (half, 0), (0, 0.0035)])
            stage.fill(glint + np.array([x + 0.2 * stage.noise(i, row + 9), y]), (255, 222, 150))
    stage.layer(44, 0.4)
    stage.hills(0.4, 0.74, 0.12, (142, 70, 112), 3.4)
    stage.layer(60, 0.6)
    stage.hills(0.6, 0.86, 0.09, (112, 54, 94), 5.7)
    _ground(stage, 0.84, (132, 68, 90), (96, 46, 76))
    _tufts(stage, (84, 38, 68), (255, 190, 120))


def _tree(stage: Stage, x: float, ground: float, top: float, width: float, bark: RGB) -> None:
    trunk = np.array([(-0.5, 0.0), (-0.32, -0.5), (-0.28, -1), (0.28, -1), (0.32, -0.5), (0.5, 0.0)])
    stage.fill(trunk * np.array([width, ground - top]) + np.array([x, ground]), bark)


def _cherry(stage: Stage) -> None:
    stage.layer(0, 0.1)
    stage.gradient([(0.0, (190, 222, 252)), (0.5, (246, 226, 242)), (1.0, (255, 228, 238))])
    stage.layer(20, 0.25)
    stage.hills(0.25, 0.80, 0.14, (250, 206, 226), 9.0)
    _ground(stage, 0.80, (206, 226, 172), (172, 206, 140))
    for parallax, spacing, size, pale, deep, depth in (
        (0.4, 0.30, 0.15, (255, 214, 230), (248, 188, 214), 60),
        (0.65, 0.52, 0.25, (255, 190, 214), (246, 154, 190), 100),
    ):
        stage.layer(depth, parallax)
        for i, x in stage.tiles(parallax, spacing, 0.3):
            x += 0.2 * spacing * stage.noise(i, 1)
            ground = 0.80 + 0.10 * (size - 0.12)
            top = ground - 2.0 * size - 0.1
            _tree(stage, x, ground, top, size * 0.26, (168, 124, 122) if size < 0.2 else (140, 96, 98))
            for k, (dx, dy) in enumerate(((-0.55, 0.18), (0.6, 0.1), (0.0, -0.35))):
                rustle = 0.006 * sin(stage.time * 1.8 + i * 1.3 + k)
                stage.puffs(x + dx * size + rustle, top + dy * size, size * 0.78, pale, deep, i * 3 + k)
    _petals(stage)


def _petals(stage: Stage) -> None:
    stage.layer(150, 0.9)
    for row in range(3):
        for i, x in stage.tiles(0.8, 0.2, 0.2, drift=0.05):
            fall = (stage.noise(i, row) + stage.time * (0.09 + 0.05 * stage.noise(i, row + 3))) % 1.2 - 0.1
            turn = stage.time * 2.2 + 6.3 * stage.noise(i, row + 6)
            x1 = x + 0.18 * stage.noise(i, row + 9) + 0.02 * sin(turn)
            size = 0.010 + 0.006 * stage.noise(i, row + 12)
            c, s = np.cos(turn), np.sin(turn)
            leaf = (
                np.array([(-1.3, 0), (-0.3, -0.75), (1.0, -0.5), (0.75, 0), (1.0, 0.5), (-0.3, 0.75)]) * size
            )
            leaf = leaf @ np.array([[c, s], [-s, c]])
            stage.fill(leaf + np.array([x1, fall]), (255, 168, 200) if row else (255, 222, 234))


def _canopy(stage: Stage) -> None:
    for row, (y, size, color, under) in enumerate(
        ((-0.02, 0.21, (106, 172, 92), (84, 148, 82)), (0.02, 0.14, (134, 196, 104), (100, 164, 88)))
    ):
        stage.layer(60 + row * 8, 0.5 + 0.1 * row)
        for i, x in stage.tiles(0.5 + 0.1 * row, 0.26, 0.3):
            stage.puffs(
                x + 0.012 * sin(stage.time * 1.2 + i),
                y + 0.06 * stage.noise(i, row),
                size,
                color,
                under,
                i + 50 * row,
            )


def _forest(stage: Stage) -> None:
    stage.layer(0, 0.1)
    stage.gradient([(0.0, (150, 200, 130)), (0.5, (214, 238, 176)), (1.0, (176, 216, 146))])
    for parallax, spacing, width, bark, depth in (
        (0.25, 0.13, 0.045, (158, 192, 138), 20),
        (0.45, 0.27, 0.075, (124, 132, 92), 45),
    ):
        stage.layer(depth, parallax)
        for i, x in stage.tiles(parallax, spacing, 0.1):
            _tree(
                stage,
                x + 0.5 * spacing * stage.noise(i, depth),
                0.86,
                -0.2,
                width * (0.8 + 0.5 * stage.noise(i, depth + 1)),
                bark,
            )
        stage.hills(parallax, 0.84, 0.10, (136, 190, 112) if depth < 40 else (104, 168, 92), 19.0)
    _ground(stage, 0.82, (126, 182, 96), (88, 146, 76))
    _canopy(stage)
    stage.layer(80, 0.75)
    for i, x in stage.tiles(0.75, 0.62, 0.3):
        x += 0.15 * stage.noise(i, 30)
        _tree(stage, x, 0.90, -0.2, 0.12, (122, 92, 68))
        stage.bar(x + 0.012, -0.2, x + 0.034, 0.86, (104, 76, 62))
        stage.puffs(x + 0.1, 0.885, 0.075, (96, 166, 84), (72, 136, 74), i)
    _tufts(stage, (72, 136, 66), (250, 250, 190))
    stage.layer(140, 0.9)
    for i, x in stage.tiles(0.7, 0.16, 0.1, drift=0.01):
        y = (stage.noise(i, 40) + 0.02 * sin(stage.time + i) - stage.time * 0.02) % 1.0
        stage.canvas.disc(np.array([x, y]), 0.006 + 0.004 * stage.noise(i, 41), (250, 252, 190))


_PLACES: dict[str, Callable[[Stage], None]] = {
    "blue sky": _blue_sky,
    "night sky": _night_sky,
    "sunset": _sunset,
    "cherry blossoms": _cherry,
    "forest": _forest,
    "city": city,
    "beach": beach,
}
