"""Hair in layers: what hangs behind the body, and what frames the face."""

from __future__ import annotations

import numpy as np

from pokora_anime.nano.world import palette
from pokora_anime.nano.world.canvas import Canvas, Points, spline
from pokora_anime.nano.world.character.head import HeadFrame, mirrored
from pokora_anime.nano.world.palette import RGB, mix
from pokora_anime.nano.world.scene import Scene

_TOP = [(1.6, -17.1), (7.0, -15.9), (12.3, -11.6), (15.4, -5.0)]
# Lower edge of the bangs from image right to left, for each fringe.
_FRINGES: tuple[list[tuple[float, float]], ...] = (
    [(12.6, 5.0), (11.4, -1.2), (9.4, 0.4), (7.2, -4.4), (4.4, -0.6), (3.0, -4.6), (0.4, 1.6),
     (-2.2, -4.6), (-4.6, -0.4), (-7.0, -4.6), (-9.6, 0.6), (-11.4, -1.4), (-12.6, 5.0)],
    [(12.6, 5.0), (11.6, -2.4), (10.0, 0.0), (8.4, -5.2), (6.4, -1.2), (3.6, -7.0), (1.6, -2.4),
     (-2.6, -7.6), (-5.6, -1.0), (-7.4, -3.8), (-9.8, 0.8), (-11.4, -1.2), (-12.6, 5.0)],
    [(12.6, 5.0), (11.6, -1.6), (9.0, -0.6), (7.8, -2.8), (5.4, -0.8), (4.2, -3.0), (1.8, -0.8),
     (0.0, -2.8), (-1.8, -0.8), (-4.2, -3.0), (-5.4, -0.8), (-7.8, -2.8),
         (-9.0, -0.6), (-11.6, -1.6), (-12.6, 5.0)],
)  # fmt: skip


def _curved(fringe: list[tuple[float, float]]) -> Points:
    """The lower edge with strands that curve away from the middle, 4 points a side."""
    pieces: list[Points] = []
    for a, b in zip(fringe[:-1], fringe[1:], strict=True):
        start, end = np.array(a), np.array(b)
        bend = (start + end) / 2 + np.array([0.75 * np.tanh((a[0] + b[0]) / 6), 0.0])
        u = (np.arange(4) / 4)[:, None]
        pieces.append((1 - u) ** 2 * start + 2 * u * (1 - u) * bend + u**2 * end)
    return np.concatenate([*pieces, np.array(fringe[-1:])])


_EDGES = tuple(_curved(fringe) for fringe in _FRINGES)


_AHOGE = spline(
    np.array([(-1.2, -16.4), (-0.6, -19.6), (2.4, -22.0), (6.0, -21.6),
        (3.2, -20.4), (1.6, -18.4), (1.4, -16.4)]),
    steps=4,
)  # fmt: skip
_CROWN_SHADE = spline(
    np.array([(15.6, 2.0), (15.4, -5.0), (12.3, -11.6), (7.0, -15.9),
        (10.6, -11.4), (12.8, -5.6), (13.3, -0.6)]),
    steps=4,
)  # fmt: skip


def _tones(scene: Scene) -> tuple[RGB, RGB, RGB, RGB]:
    """Base, shadow, highlight and line colours."""
    base = palette.HAIR[scene.hair_color]
    shine = 0.28 if scene.hair_color == "black" else 0.5
    glow: RGB = (130, 136, 190) if scene.hair_color == "black" else (255, 250, 240)
    return base, palette.shade(base), mix(base, glow, shine), palette.outline(base)


def _flatten(canvas: Canvas, base: RGB, dark: RGB) -> RGB:
    """The tone of hair behind the head; flat style keeps a slight step so shapes stay readable."""
    return mix(base, dark, 0.55) if canvas.flat else dark


def draw_back_hair(canvas: Canvas, head: HeadFrame, scene: Scene) -> None:
    """Hair behind the body."""
    base, dark, _, line = _tones(scene)
    back = _flatten(canvas, base, dark)
    w, long = scene.hair_width, scene.hair_length
    if scene.hair_style == "long hair":
        end = 39.0 * long
        outline = mirrored([*_TOP, (16.4 * w, 6), (17.2 * w, 18), (19.2 * w, end * 0.8), (18.6 * w, end + 1),
                            (14.6 * w, end - 2.2), (12 * w, end + 2.2),
                                (7.6 * w, end - 1.6), (4 * w, end + 2.6), (0.6, end)])  # fmt: skip
        canvas.shape(head.hair(spline(outline, steps=4), 4, 40), back, line)
        for x in (-15.4, -8.0, 8.0, 15.4):
            strand = np.array([(x * 0.95, 8), (x * w, 22), (x * 1.06 * w, end - 5)])
            canvas.ink(head.hair(spline(strand, closed=False), 4, 40), line, 0.6)
        return
    if scene.hair_style == "ponytail":
        _ponytail(canvas, head, scene, base, dark, line)
    low = 17.0 * long if scene.hair_style == "short hair" else 11.0
    wide = 16.6 * w if scene.hair_style == "short hair" else 14.4
    outline = mirrored([*_TOP, (wide, 3), (wide * 1.02, low * 0.65),
        (wide * 0.98, low), (wide * 0.72, low - 1.8),
                        (wide * 0.55, low + 0.8), (wide * 0.3, low - 1.6), (0.6, low + 0.6)])  # fmt: skip
    canvas.shape(head.hair(spline(outline, steps=4), 2, 26), back, line)
    if scene.hair_style == "twintails":
        for side in (-1.0, 1.0):
            _twintail(canvas, head, scene, side)


def _tail(canvas: Canvas, outline: Points, shadow: Points, tones: tuple[RGB, RGB, RGB]) -> None:
    base, dark, line = tones
    canvas.shape(outline, base, line)
    if not canvas.flat:
        canvas.fill(shadow, dark)


def _twintail(canvas: Canvas, head: HeadFrame, scene: Scene, side: float) -> None:
    base, dark, shine, line = _tones(scene)
    w, long = scene.hair_width, scene.hair_length
    mirror = np.array([side, 1.0])
    outer = [(13.6, -9.0), (18.4, -11.6), (23.8 * w, -5.0), (26.6 * w, 8),
        (25.6 * w, 22 * long), (21.2, 35 * long),
             (20.8, 29 * long), (17.6, 31 * long), (18.0, 20 * long), (17.4, 8), (16.0, -2.0)]  # fmt: skip
    inner = [(14.4, -7.0), (17.4, -4), (19.6, 6), (20.2, 18 * long), (20.6, 28 * long), (18.2, 29 * long),
             (18.4, 19 * long), (17.8, 8), (16.2, -1.6)]  # fmt: skip
    gleam = [(20.6, -6.4), (23.2 * w, -0.4), (24.6 * w, 7), (23.0 * w, 3), (21.2, -2.2)]
    shapes = [head.hair(spline(np.array(p) * mirror, steps=4), -8, 30) for p in (outer, inner, gleam)]
    _tail(canvas, shapes[0], shapes[1], (base, dark, line))
    if not canvas.flat:
        canvas.fill(shapes[2], shine)


def _ponytail(canvas: Canvas, head: HeadFrame, scene: Scene, base: RGB, dark: RGB, line: RGB) -> None:
    w, long = scene.hair_width, scene.hair_length
    mirror = np.array([-scene.side, 1.0])
    outer = [(2.0, -14.0), (5.6, -20.6), (13.0, -22.4), (20.6, -17.4),
        (25.4 * w, -6), (26.6 * w, 8), (24.6 * w, 20 * long),
             (19.4, 31 * long), (20.2, 24 * long), (16.4, 26 * long), (18.8, 12),
                 (18.0, 0), (13.6, -9.0), (8.0, -12.0)]  # fmt: skip
    inner = [(8.0, -15.6), (13.6, -14.6), (18.6, -8.0), (21.4, 4),
        (20.8, 16 * long), (18.4, 25 * long), (17.0, 25 * long),
             (19.0, 12), (18.2, 0), (13.8, -9.0)]  # fmt: skip
    shapes = [head.hair(spline(np.array(p) * mirror, steps=4), -14, 26) for p in (outer, inner)]
    _tail(canvas, shapes[0], shapes[1], (base, dark, line))


def draw_front_hair(canvas: Canvas, head: HeadFrame, scene: Scene) -> None:
    """Side locks, bangs, highlight band, strand lines and ribbons over the face."""
    base, dark, shine, line = _tones(scene)
    _side_locks(canvas, head, scene)
    lower = _FRINGES[scene.fringe]
    edge = _EDGES[scene.fringe]
    top = [(15.7, 2.0), *_TOP[::-1]]
    cap = [*top, *[(-x, y) for x, y in top[::-1]]]
    curve = spline(np.array(cap, dtype=np.float64), closed=False, steps=4)
    bangs = np.concatenate([curve, edge[::-1] + np.array([head.turn * 0.9, 0.0])])
    if not canvas.flat:
        tone = palette.skin(scene.skin_tone)
        fringe = edge[4:-4] + np.array([head.turn * 0.9, 1.1])
        closed = np.concatenate([fringe, np.array([(-10.0, -8.0), (10.0, -8.0)])])
        canvas.fill(head.at(closed), mix(palette.skin_shade(tone), tone, 0.15))
    if scene.fringe == 1 and scene.hair_style != "ponytail":
        canvas.shape(head.at(_AHOGE), base, line)
    canvas.fill(head.at(bangs), base)
    if not canvas.flat:
        canvas.fill(head.at(_CROWN_SHADE), mix(dark, base, 0.25))
    # The temples stay without a line: there the bangs run on into the side locks.
    canvas.ink(head.at(curve), line)
    canvas.ink(head.at(bangs[len(curve) + 1 : -1]), line, 0.8)
    if not canvas.flat:
        _shine(canvas, head, shine, dark, lower)
        _slits(canvas, head, mix(line, base, 0.25), lower)
    _ornaments(canvas, head, scene)


def _shine(canvas: Canvas, head: HeadFrame, shine: RGB, dark: RGB, lower: list[tuple[float, float]]) -> None:
    """A zig-zag band of light across the crown and darker strand tips."""
    turn = head.turn * 0.9
    for x0, y0 in lower[2:-2:2]:
        tip = np.array([(x0, y0), (x0 + 1.5, y0 - 2.4), (x0 * 0.93 + 1.1, y0 - 6.0), (x0 + 0.2, y0 - 2.8)])
        canvas.fill(head.at(tip + np.array([turn, 0])), mix(dark, shine, 0.08))
    xs = np.linspace(-11.0, 11.0, 13)
    upper = -10.6 + 0.030 * xs**2
    zig = np.where(np.arange(13) % 2 == 0, 0.7, 2.9) * (1 - (np.abs(xs) / 12.6) ** 2)
    band = np.concatenate([np.stack([xs, upper], 1), np.stack([xs, upper + zig], 1)[::-1]])
    canvas.fill(head.at(band + np.array([turn * 0.5, 0])), shine)


def _slits(canvas: Canvas, head: HeadFrame, color: RGB, lower: list[tuple[float, float]]) -> None:
    """Tapering lines that part the strands of the bangs."""
    shape = np.array([(-0.42, 0.0), (-0.2, -3.2), (0.0, -5.4), (0.25, -3.0), (0.42, 0.0)])
    narrow = np.array([1.0, 0.90, 0.74, 0.90, 1.0])
    for x, y in lower[3:-3:2]:
        slit = shape + np.stack([x * narrow + head.turn * 0.9, np.full(5, y)], 1)
        canvas.fill(head.at(slit), color)


def _side_locks(canvas: Canvas, head: HeadFrame, scene: Scene) -> None:
    base, dark, _, line = _tones(scene)
    reach = {"short hair": 13.6, "long hair": 25.0, "twintails": 15.0, "ponytail": 17.0}[scene.hair_style]
    for side in (-1.0, 1.0):
        mirror = np.array([side, 1.0])
        lock = [
            (14.9, -6),
            (15.9, 2),
            (15.7, reach * 0.6),
            (13.2, reach + 1.4),
            (12.6, reach * 0.72),
            (11.7, reach * 0.5),
            (12.1, 3),
            (11.0, -6),
        ]
        inner = [
            (12.6, 0),
            (13.3, 5),
            (13.2, reach * 0.6),
            (13.0, reach),
            (12.3, reach * 0.62),
            (11.9, reach * 0.42),
            (12.2, 3),
        ]
        canvas.shape(head.hair(spline(np.array(lock) * mirror, steps=4), 2, 34), base, line)
        if not canvas.flat:
            canvas.fill(head.hair(spline(np.array(inner) * mirror, steps=4), 2, 34), dark)


def _ornaments(canvas: Canvas, head: HeadFrame, scene: Scene) -> None:
    color = palette.RIBBONS[scene.ribbon_hue]
    if color == palette.HAIR[scene.hair_color] or (scene.ribbon_hue == 0 and scene.hair_color == "red"):
        color = palette.WHITE
    if scene.hair_style == "twintails":
        for side in (-1.0, 1.0):
            draw_bow(canvas, head.at(np.array([[side * 14.6, -9.6]]))[0], 3.6, color)
    elif scene.hair_style == "ponytail":
        draw_bow(canvas, head.at(np.array([[-scene.side * 4.8, -16.6]]))[0], 4.0, color)


def draw_bow(canvas: Canvas, center: Points, size: float, color: RGB) -> None:
    """A ribbon bow; size is half its width in units."""
    line = palette.outline(color)
    wing = np.array([(0.0, 0.0), (0.55, -0.62), (1.0, -0.6), (1.05, 0.0), (1.0, 0.6), (0.55, 0.6)])
    for side in (-1.0, 1.0):
        canvas.shape(center + wing * np.array([side, 1.0]) * size, color, line)
        if not canvas.flat:
            fold = np.array([(0.15, 0.1), (0.95, 0.2), (0.98, 0.58), (0.55, 0.56)]) * np.array([side, 1])
            canvas.fill(center + fold * size, palette.shade(color))
    if not canvas.flat:
        canvas.disc(center, size * 0.26, line, canvas.line * 0.7)
    canvas.disc(center, size * 0.26, palette.mix(color, (255, 255, 255), 0.15))
