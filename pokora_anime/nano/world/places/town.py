"""The city and the beach."""

from __future__ import annotations

from math import pi, sin

import numpy as np

from pokora_anime.nano.world.palette import RGB, mix
from pokora_anime.nano.world.places.scenery import Stage

_FRONTS: tuple[RGB, ...] = (
    (214, 178, 160),
    (178, 190, 208),
    (226, 208, 172),
    (190, 170, 186),
    (170, 196, 190),
)


def city(stage: Stage) -> None:
    """Rows of buildings with windows above a street."""
    stage.layer(0, 0.1)
    stage.gradient([(0.0, (176, 208, 238)), (0.6, (228, 234, 240)), (1.0, (246, 234, 214))])
    stage.layer(20, 0.2)
    for i, x in stage.tiles(0.2, 0.15, 0.2):
        top = 0.18 + 0.30 * stage.noise(i, 1)
        stage.bar(x, top, x + 0.12 + 0.05 * stage.noise(i, 2), 0.9, (174, 190, 214))
    for parallax, spacing, depth in ((0.45, 0.36, 50),):
        stage.layer(depth, parallax)
        for i, x in stage.tiles(parallax, spacing, 0.4):
            _building(stage, i, x, spacing * (0.78 + 0.18 * stage.noise(i, 3)))
    _street(stage)


def _building(stage: Stage, i: int, x: float, width: float) -> None:
    front = _FRONTS[int(stage.noise(i, 4) * 4.99)]
    top = 0.10 + 0.30 * stage.noise(i, 5)
    stage.bar(x, top, x + width, 0.86, front)
    if not stage.canvas.flat:
        stage.bar(x + width * 0.86, top, x + width, 0.86, mix(front, (110, 100, 140), 0.3))
    stage.bar(x - 0.008, top - 0.016, x + width + 0.008, top + 0.008, mix(front, (90, 84, 110), 0.4))
    columns = 3 if width > 0.31 else 2
    step = width * 0.8 / columns
    rows = int((0.74 - top) / 0.105)
    for r in range(rows):
        for c in range(columns):
            key = i * 64 + r * 4 + c
            lit = 0.5 + 0.5 * sin(2 * pi * (stage.time / (5 + 3 * stage.noise(key, 6)) + stage.noise(key, 7)))
            glow = min(1.0, max(0.0, (lit - 0.5) * 6)) if stage.noise(key, 8) > 0.6 else 0.0
            color = mix((120, 146, 182), (255, 232, 150), glow)
            wx, wy = x + 0.04 + c * step, top + 0.045 + r * 0.105
            stage.bar(wx, wy, wx + step * 0.62, wy + 0.058, color)
    stage.bar(x + 0.02, 0.765, x + width * 0.8, 0.785, mix(front, (200, 60, 70), 0.55))


def _street(stage: Stage) -> None:
    stage.layer(70, 0.8)
    stage.gradient([(0.83, (206, 202, 204)), (0.875, (190, 186, 192))], (70, 90))
    stage.layer(90, 1.0)
    stage.gradient([(0.868, (138, 138, 152)), (1.0, (116, 116, 132))], (90, 150))
    stage.bar(-0.2, 0.862, 1.2, 0.870, (232, 228, 226))
    for _, x in stage.tiles(1.0, 0.34, 0.2):
        stage.fill(
            np.array([(x, 0.925), (x + 0.16, 0.925), (x + 0.155, 0.942), (x - 0.01, 0.942)]), (236, 232, 214)
        )
    stage.layer(100, 0.85)
    for _, x in stage.tiles(0.85, 0.9, 0.2):
        stage.bar(x - 0.007, 0.34, x + 0.007, 0.866, (98, 104, 122))
        stage.bar(x - 0.007, 0.34, x + 0.085, 0.352, (98, 104, 122))
        stage.canvas.disc(np.array([x + 0.08, 0.362]), 0.020, stage.tone((255, 240, 190)))


def beach(stage: Stage) -> None:
    """Sea with rolling waves, sand and palms."""
    stage.layer(0, 0.1)
    stage.gradient([(0.0, (104, 196, 244)), (0.55, (206, 240, 252)), (1.0, (226, 246, 252))])
    stage.layer(6, 0.15)
    for i, x in stage.tiles(0.15, 0.7, 0.3, drift=0.01):
        stage.puffs(
            x + 0.3 * stage.noise(i, 1),
            0.30 + 0.1 * stage.noise(i, 2),
            0.10,
            (255, 255, 255),
            (220, 240, 250),
            i,
        )
    stage.layer(20, 0.2)
    stage.gradient([(0.50, (40, 132, 204)), (0.80, (84, 206, 214))], (20, 60))
    for row in range(7):
        y = 0.525 + 0.004 * row * row + 0.02 * row
        for i, x in stage.tiles(0.2 + 0.06 * row, 0.34, 0.2, drift=0.018 * (1 if row % 2 else -1)):
            half = 0.03 + 0.012 * row + 0.03 * stage.noise(i, row)
            bob = 0.003 * sin(stage.time * 2 + i + row)
            glint = np.array([(-half, 0), (0, -0.004), (half, 0), (0, 0.004)])
            stage.fill(glint + np.array([x + 0.2 * stage.noise(i, row + 9), y + bob]), (190, 236, 246))
    _shore(stage)
    stage.layer(80, 0.6)
    for i, x in stage.tiles(0.6, 1.05, 0.5):
        _palm(stage, x + 0.12 + 0.2 * stage.noise(i, 50), 0.86, i)


def _shore(stage: Stage) -> None:
    """Wet and dry sand behind a line of foam that rolls in and out."""
    stage.layer(70, 0.9)
    edges = np.linspace(-0.15, 1.15, 33)
    world = edges + stage.camera.scroll * 0.9
    roll = 0.018 * sin(stage.time * 2 * pi / 3.2)
    line = (
        0.785
        + roll
        + 0.008 * np.sin(world * 11 + stage.time * 0.9)
        + 0.005 * np.sin(world * 23 - stage.time * 0.7)
    )
    below = np.array([(1.2, 1.3), (-0.2, 1.3)])
    shift = 0.0
    for color, width in (((250, 254, 255), 0.020), ((222, 198, 146), 0.022), ((246, 228, 178), 0.0)):
        stage.fill(np.concatenate([np.stack([edges, line + shift], 1), below]), color)
        shift += width
    stage.gradient([(0.86, (246, 228, 178)), (1.0, (232, 206, 148))], (90, 150))
    for i, x in stage.tiles(0.95, 0.21, 0.1):
        y = 0.89 + 0.09 * stage.noise(i, 60)
        stage.canvas.disc(np.array([x, y]), 0.006 + 0.006 * stage.noise(i, 61), stage.tone((214, 186, 134)))


def _palm(stage: Stage, x: float, ground: float, i: int) -> None:
    lean = 0.08 * (1 if stage.noise(i, 51) > 0.5 else -1)
    u = np.linspace(0.0, 1.0, 7)
    stem = np.stack([x + lean * u**2, ground - 0.62 * u], 1)
    half = np.stack([0.026 - 0.012 * u, np.zeros(7)], 1)
    stage.fill(np.concatenate([stem - half, (stem + half)[::-1]]), (176, 128, 84))
    for k in range(1, 7):
        stage.bar(
            float(stem[k, 0]) - 0.015,
            float(stem[k, 1]) + 0.03,
            float(stem[k, 0]) + 0.013,
            float(stem[k, 1]) + 0.036,
            (146, 100, 70),
        )
    crown = stem[-1]
    for k, (dx, dy) in enumerate(
        (
            (-0.24, 0.10),
            (-0.22, -0.05),
            (-0.08, -0.14),
            (0.10, -0.13),
            (0.23, -0.04),
            (0.23, 0.11),
            (0.02, 0.12),
        )
    ):
        tip = crown + np.array([dx, dy + 0.012 * sin(stage.time * 1.6 + k + i)])
        middle = (crown + tip) / 2 + np.array([0.0, -0.055])
        under = (crown + tip) / 2 + np.array([0.0, -0.005])
        stage.fill(np.stack([crown, middle, tip, under]), (70, 168, 92) if k % 2 else (54, 146, 86))
