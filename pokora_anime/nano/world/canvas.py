"""A supersampled canvas that draws colour and depth together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.world.palette import RGB

Points = NDArray[np.float64]
SHIFT = 4
ONE = 1 << SHIFT


def spline(points: Points, closed: bool = True, steps: int = 5) -> Points:
    """Catmull-Rom curve through points [n,2]."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    u = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
    flat: Points = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def rotate(points: Points, angle: float) -> Points:
    """Points [n,2] turned by angle (radians, clockwise on the screen)."""
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return points @ np.array([[cos, sin], [-sin, cos]])


class Canvas:
    """Image uint8 [side,side,4] (RGB, depth); draws in units mapped by scale and origin."""

    def __init__(self, side: int, *, flat: bool, line: int) -> None:
        self.image: NDArray[np.uint8] = np.zeros((side, side, 4), np.uint8)
        self.side = side
        self.flat = flat
        self.line = line
        self.depth = 0
        self.scale = float(side)
        self.origin = np.zeros(2)

    def place(self, scale: float, origin: Points) -> None:
        """Units to pixels: pixel = origin + scale * unit."""
        self.scale = scale
        self.origin = origin

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        pixels = (points * self.scale + self.origin - 0.5) * ONE
        return np.rint(np.clip(pixels, -2e5, 2e5)).astype(np.int32)

    def fill(self, points: Points, color: RGB) -> None:
        """A filled polygon [n,2]."""
        cv2.fillPoly(self.image, [self._fixed(points)], (*color, self.depth), cv2.LINE_AA, SHIFT)

    def stroke(self, points: Points, color: RGB, width: float = 1.0, closed: bool = False) -> None:
        """A line through points [n,2]; width in outline widths."""
        thickness = max(1, round(self.line * width))
        cv2.polylines(
            self.image,
            [self._fixed(points)],
            closed,
            (*color, self.depth),
            thickness,
            cv2.LINE_AA,
            SHIFT,
        )

    def ink(self, points: Points, color: RGB, width: float = 1.0, closed: bool = False) -> None:
        """A contour line, which the flat style leaves out."""
        if not self.flat:
            self.stroke(points, color, width, closed)

    def shape(self, points: Points, color: RGB, line: RGB) -> None:
        """A filled polygon with its contour."""
        self.fill(points, color)
        self.ink(points, line, closed=True)

    def ellipse(self, center: Points, radii: tuple[float, float], color: RGB) -> None:
        """A filled ellipse; center [2] and radii in units."""
        x, y = self._fixed(center[None])[0]
        rx, ry = (max(1, round(r * self.scale * ONE)) for r in radii)
        cv2.ellipse(
            self.image,
            (int(x), int(y)),
            (rx, ry),
            0,
            0,
            360,
            (*color, self.depth),
            -1,
            cv2.LINE_AA,
            SHIFT,
        )

    def disc(self, center: Points, radius: float, color: RGB, grow: float = 0.0) -> None:
        """A filled circle; radius in units, grow in pixels."""
        x, y = self._fixed(center[None])[0]
        r = max(1, round((radius * self.scale + grow) * ONE))
        cv2.circle(self.image, (int(x), int(y)), r, (*color, self.depth), -1, cv2.LINE_AA, SHIFT)

    def tube(self, path: Points, radii: tuple[float, ...], color: RGB, grow: float = 0.0) -> None:
        """A limb: round joints at path [n,2] with tapering pieces between; grow in pixels."""
        extra = grow / self.scale
        for start, end, r0, r1 in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
            along = end - start
            length = float(np.hypot(along[0], along[1])) or 1.0
            normal = np.array([-along[1], along[0]]) / length
            a, b = normal * (r0 + extra), normal * (r1 + extra)
            self.fill(np.stack([start + a, end + b, end - b, start - a]), color)
        for point, radius in zip(path, radii, strict=True):
            self.disc(point, radius, color, grow)

    def limb(self, path: Points, radii: tuple[float, ...], color: RGB, dark: RGB, line: RGB) -> None:
        """A limb with contour and a two-tone cel shadow on its right."""
        if self.flat:
            self.tube(path, radii, color)
            return
        self.tube(path, radii, line, grow=self.line * 0.8)
        self.tube(path, radii, dark)
        lit = tuple(r * 0.74 for r in radii)
        self.tube(path + np.array([-0.26 * radii[0], -0.06 * radii[0]]), lit, color)
