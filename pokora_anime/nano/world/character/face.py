"""The face: skin, blush, eyes, brows, nose and mouth."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sin

import numpy as np

from pokora_anime.nano.world import palette
from pokora_anime.nano.world.canvas import Canvas, Points, spline
from pokora_anime.nano.world.character.head import HeadFrame, mirrored
from pokora_anime.nano.world.palette import RGB, mix
from pokora_anime.nano.world.scene import Scene

_FACE = spline(mirrored([(0, -12), (9, -9), (13, -2), (13.2, 4), (11.5, 9), (6.8, 13.0), (1.9, 15.0)]))
_LASH: RGB = (46, 28, 44)
_EYE_X, _EYE_Y = 6.3, 3.9
_ARC = np.linspace(-1.0, 1.0, 9)


def blink(scene: Scene, time: float) -> float:
    """How far the lids are closed, 0..1: a quarter of a second every 3.6 s."""
    moment = (time + scene.blink_phase) % 3.6
    return sin(pi * moment / 0.26) ** 2 if moment < 0.26 else 0.0


def draw_face(canvas: Canvas, head: HeadFrame, scene: Scene, time: float) -> None:
    """Skin, then features, in head units; the bangs come later."""
    tone = palette.skin(scene.skin_tone)
    line = palette.outline(tone)
    for side in (-1.0, 1.0):
        ear = np.array([[side * 13.2 - head.turn * 1.2, 4.0]])
        canvas.disc(head.at(ear)[0], 2.3, line if not canvas.flat else tone, canvas.line * 0.6)
        canvas.disc(head.at(ear)[0], 2.3, tone)
    canvas.shape(head.at(_FACE), tone, line)
    _blush(canvas, head, tone)
    closing = 1.0 if scene.expression == "closed eyes" else blink(scene, time)
    for side in (-1.0, 1.0):
        _eye(canvas, head, scene, side, closing)
        _brow(canvas, head, scene, side)
    _nose_mouth(canvas, head, scene, time, tone)


def _features(head: HeadFrame, points: Points) -> Points:
    return head.at(points + np.array([head.turn * 1.7, 0.0]))


def _blush(canvas: Canvas, head: HeadFrame, tone: RGB) -> None:
    for side in (-1.0, 1.0):
        spot = _features(head, np.array([[side * 8.0 - head.turn * 0.6, 9.2]]))[0]
        canvas.ellipse(spot, (2.3, 1.3), mix(tone, (255, 120, 130), 0.38))


def _eye(canvas: Canvas, head: HeadFrame, scene: Scene, side: float, closing: float) -> None:
    """One eye; closing squeezes it on to its lower lid."""
    center = np.array([side * _EYE_X, _EYE_Y])
    if closing > 0.5:
        _closed_lid(canvas, head, center, side)
        return
    open_ = 1.0 - closing
    low = 3.9

    def put(points: Points) -> Points:
        squeezed = points.copy()
        squeezed[:, 1] = low + (squeezed[:, 1] - low) * open_
        return _features(head, squeezed + center)

    white = spline(
        np.array(
            [(-3.7, 0.0), (-3.0, -3.9), (0, -4.9), (3.1, -3.9), (3.8, 0.2), (2.4, 3.6), (0, 4.3), (-2.5, 3.6)]
        )
        * np.array([side, 1.0])
    )
    canvas.fill(put(white), (255, 253, 253))
    _iris(canvas, put, scene, side)
    lash = np.array(
        [(-4.2, 0.4), (-3.7, -3.0), (-2.2, -5.0), (0.2, -5.8), (2.9, -5.1), (4.3, -3.2), (5.1, -2.9),
         (4.4, -1.1), (3.7, -1.6), (2.4, -3.5), (0.1, -4.2), (-2.0, -3.5), (-3.2, -1.7)]
    ) * np.array([side, 1.0])  # fmt: skip
    canvas.fill(put(lash), _LASH)
    canvas.stroke(put(np.array([(-1.6, 4.3), (0.4, 4.6), (2.4, 4.0)]) * np.array([side, 1])), _LASH, 0.6)


def _iris(canvas: Canvas, put: Callable[[Points], Points], scene: Scene, side: float) -> None:
    color = palette.EYES[scene.eye_color]
    turn = np.stack([np.cos(np.linspace(0, 2 * pi, 25)[:-1]), np.sin(np.linspace(0, 2 * pi, 25)[:-1])], 1)
    size = np.array([3.05, 4.35]) * scene.iris

    def oval(x: float, y: float, rx: float, ry: float) -> Points:
        return put(turn * np.array([rx, ry]) + np.array([x, y]))

    shift = -0.15 * side
    canvas.fill(oval(shift, -0.1, size[0], size[1]), mix(color, (16, 8, 30), 0.45))
    canvas.fill(oval(shift, 0.5, size[0] * 0.86, size[1] * 0.83), color)
    canvas.fill(oval(shift, 2.1, size[0] * 0.66, size[1] * 0.42), mix(color, (255, 255, 255), 0.36))
    canvas.fill(oval(shift, -0.5, size[0] * 0.40, size[1] * 0.42), mix(color, (16, 8, 30), 0.72))
    canvas.fill(oval(-1.15, -2.0, 1.2, 1.45), (255, 255, 255))
    canvas.fill(oval(1.2, 2.1, 0.7, 0.75), (255, 255, 255))


def _closed_lid(canvas: Canvas, head: HeadFrame, center: Points, side: float) -> None:
    arc = np.stack([_ARC * 4.3, 2.3 + 1.9 * (1 - _ARC**2)], 1)
    inner = np.stack([_ARC[::-1] * 4.0, 1.7 + 0.9 * (1 - _ARC**2)], 1)
    canvas.fill(_features(head, np.concatenate([arc, inner]) + center), _LASH)
    for x, y, dx, dy in ((3.9, 2.6, 1.6, 0.9), (2.4, 3.7, 1.1, 1.5)):
        tick = np.array([(x * side, y), ((x + dx) * side, y + dy)]) + center
        canvas.stroke(_features(head, tick), _LASH, 0.9)


def _brow(canvas: Canvas, head: HeadFrame, scene: Scene, side: float) -> None:
    color = mix(palette.shade(palette.HAIR[scene.hair_color]), (50, 26, 40), 0.4)
    points = np.array([(3.0, -3.6), (6.2, -4.7), (9.2, -3.8)]) * np.array([side, 1.0])
    canvas.stroke(_features(head, spline(points, closed=False)), color, 0.8)


def _nose_mouth(canvas: Canvas, head: HeadFrame, scene: Scene, time: float, tone: RGB) -> None:
    nose = np.array([(0.25, 7.5), (-0.25, 8.3)])
    canvas.stroke(_features(head, nose), mix(palette.skin_shade(tone), (170, 70, 70), 0.4), 0.9)
    lip: RGB = (150, 48, 58)
    if scene.expression == "open mouth":
        gap = 0.88 + 0.12 * sin(time * 5.2 + scene.blink_phase)
        mouth = spline(
            np.array(
                [
                    (-2.9, 9.7),
                    (0, 10.0),
                    (2.9, 9.7),
                    (2.1, 9.7 + 3.0 * gap),
                    (0, 9.8 + 3.9 * gap),
                    (-2.1, 9.7 + 3.0 * gap),
                ]
            )
        )
        canvas.fill(_features(head, mouth), (176, 44, 58))
        canvas.ellipse(_features(head, np.array([[0, 9.6 + 2.9 * gap]]))[0], (1.5, 0.9), (248, 132, 134))
        canvas.stroke(_features(head, mouth), (122, 30, 48), 0.7, closed=True)
        return
    width = 3.0 if scene.expression == "smile" else 2.0
    smile = np.stack([_ARC * width, 10.2 + width * 0.42 * (1 - _ARC**2)], 1)
    canvas.stroke(_features(head, smile), lip, 1.1)
