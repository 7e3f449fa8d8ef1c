"""Building blocks of backgrounds: endless tiles, hills, gradients and clouds, all in frame units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from pokora_anime.nano.world.canvas import Canvas, Points
from pokora_anime.nano.world.palette import RGB, mix

_EDGES = np.linspace(-0.02, 1.02, 27)


@dataclass(frozen=True, slots=True)
class Camera:
    """Scroll of the view to the right (frames), shift of the character (frames), zoom factor."""

    scroll: float
    shift: float
    zoom: float


@dataclass(slots=True)
class Stage:
    """A canvas with the camera and the scene's layout, on which backgrounds are drawn."""

    canvas: Canvas
    camera: Camera
    seed: int
    light: float
    time: float

    def tone(self, color: RGB) -> RGB:
        """The colour under the scene's light."""
        r, g, b = (min(255, round(c * self.light)) for c in color)
        return (r, g, b)

    def layer(self, depth: int, parallax: float) -> None:
        """Sets depth (0..160) and the zoom of what follows: far layers zoom less."""
        self.canvas.depth = depth
        zoom = 1.0 + (self.camera.zoom - 1.0) * (0.35 + 0.65 * parallax)
        side = self.canvas.side
        pivot = np.array([0.5, 0.62]) * side
        self.canvas.place(side * zoom, pivot * (1 - zoom))

    def tiles(
        self, parallax: float, spacing: float, margin: float, drift: float = 0.0
    ) -> Iterator[tuple[int, float]]:
        """Index and x of every element in view of an endless row; drift in frames a second."""
        start = self.camera.scroll * parallax + drift * self.time
        low, high = start - margin - 0.12, start + 1.12 + margin
        for index in range(ceil(low / spacing), floor(high / spacing) + 1):
            yield index, index * spacing - start

    def noise(self, index: int, channel: int) -> float:
        """A fixed random number in 0..1 for an element of the layout."""
        h = (index * 374761393 + channel * 668265263 + self.seed * 2246822519) & 0xFFFFFFFF
        h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
        h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
        return ((h ^ (h >> 15)) & 0xFFFF) / 65535.0

    def gradient(self, stops: list[tuple[float, RGB]], depth: tuple[int, int] = (0, 0)) -> None:
        """Fills rows between the first and last stop's y (frames); depth runs from top to bottom."""
        canvas = self.canvas
        ys = np.array([y for y, _ in stops]) * canvas.scale + canvas.origin[1]
        top, bottom = max(0, round(float(ys[0]))), min(canvas.side, round(float(ys[-1])))
        if stops[0][0] <= 0.0:
            top = 0
        if stops[-1][0] >= 1.0:
            bottom = canvas.side
        rows = np.arange(top, bottom) + 0.5
        colors = np.array(
            [(*self.tone(c), d) for (_, c), d in zip(stops, np.linspace(*depth, len(stops)), strict=True)]
        )
        if canvas.flat:
            share = (np.floor((rows - ys[0]) / (ys[-1] - ys[0]) * 4).clip(0, 3) + 0.5) / 4
            rows = ys[0] + share * (ys[-1] - ys[0])
        table = np.stack([np.interp(rows, ys, colors[:, k]) for k in range(4)], 1)
        canvas.image[top:bottom] = np.rint(table).astype(np.uint8)[:, None, :]

    def hills(
        self,
        parallax: float,
        base: float,
        height: float,
        color: RGB,
        frequency: float,
        edge: RGB | None = None,
    ) -> None:
        """A rolling silhouette down to the bottom of the frame."""
        x = _EDGES + self.camera.scroll * parallax
        p = self.seed * 1.7 + base * 31
        y = base - height * (
            0.5 + 0.32 * np.sin(frequency * x + p) + 0.18 * np.sin(2.3 * frequency * x + 2.1 * p)
        )
        ridge = np.stack([_EDGES + (_EDGES - 0.5) * 0.25, y], 1)
        ground = np.array([(1.3, 1.3), (-0.3, 1.3)])
        if edge is not None and not self.canvas.flat:
            self.canvas.fill(np.concatenate([ridge, ground]), self.tone(edge))
            ridge = ridge + np.array([0.0, 0.014])
        self.canvas.fill(np.concatenate([ridge, ground]), self.tone(color))

    def puffs(self, x: float, y: float, size: float, color: RGB, under: RGB, index: int) -> None:
        """A cloud or a crown of leaves: round puffs with a cel shadow below."""
        layout = [
            (-0.62, 0.12, 0.36),
            (-0.25, -0.14, 0.46),
            (0.22, -0.08, 0.42),
            (0.62, 0.14, 0.32),
            (0.0, 0.14, 0.44),
        ]
        for offset, tint in ((0.0, under), (-0.16, color)):
            if self.canvas.flat and offset == 0.0:
                continue
            for k, (dx, dy, r) in enumerate(layout):
                grow = r * (0.85 + 0.3 * self.noise(index, 20 + k)) * (1.0 if offset == 0.0 else 0.86)
                center = np.array([x + dx * size, y + (dy + offset * r) * size])
                self.canvas.disc(center, grow * size, self.tone(tint))

    def bar(self, x0: float, y0: float, x1: float, y1: float, color: RGB) -> None:
        """An upright rectangle."""
        self.canvas.fill(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), self.tone(color))

    def fill(self, points: Points, color: RGB) -> None:
        """A polygon under the scene's light."""
        self.canvas.fill(points, self.tone(color))

    def soft(self, color: RGB, amount: float = 0.25) -> RGB:
        """The colour with the haze of distance."""
        return mix(color, (235, 240, 248), amount)
