"""Line charts as inline SVG: no script, no outside resource, coloured by the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 520, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 30
MOST_POINTS = 700  # of a line; beyond, the largest of each stretch is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line; `style` is a class of the page's style sheet."""

    xs: Sequence[float]
    ys: Sequence[float]
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A marked point with a text that shows when pointed at."""

    x: float
    y: float
    style: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A horizontal line; its name stands above its right end, `below` under its left one."""

    y: float
    name: str
    style: str
    below: bool = False


def chart(
    lines: Sequence[Line],
    *,
    label: str,
    x_label: str = "seconds",
    dots: Sequence[Dot] = (),
    marks: Sequence[float] = (),
    levels: Sequence[Level] = (),
    low: float | None = 0.0,
    high: float | None = None,
) -> str:
    """An SVG with axes; `marks` are vertical lines, `low` and `high` fix an end of the y axis.

    A level outside what the points span is left out rather than flattening them.
    """
    xs = [x for line in lines for x in line.xs] + [dot.x for dot in dots]
    ys = [y for line in lines for y in line.ys] + [dot.y for dot in dots]
    if not xs:
        return f'<p class="none">{escape(label)}: nothing to draw</p>'
    bottom = min(ys) if low is None else min(low, *ys)
    top = max(ys) if high is None else high
    near = [level.y for level in levels if bottom <= level.y <= top + 0.6 * (top - bottom)]
    frame = _Frame.around(min(0.0, *xs), max(xs), bottom, max([top, *near]))
    parts = [_axes(frame, x_label)]
    parts += [_mark(frame, x) for x in marks if frame.left <= x <= frame.right]
    parts += [_level(frame, level) for level in levels if frame.bottom <= level.y <= frame.top]
    parts += [_line(frame, line) for line in lines]
    parts += [_dot(frame, dot) for dot in dots]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """The part of the plane that is shown."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, left: float, right: float, bottom: float, top: float) -> _Frame:
        tall = (top - bottom) or max(abs(top), 1e-3)
        wide = (right - left) or 1.0
        step = _step(tall)
        return cls(
            left=left,
            right=left + wide,
            bottom=floor(bottom / step + 1e-6) * step,
            top=ceil((top + 0.04 * tall) / step - 1e-6) * step,
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT)
        up = (y - self.bottom) / (self.top - self.bottom)
        return round(across, 1), round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1)


def _step(span: float, ticks: int = 5) -> float:
    """A round distance between ticks."""
    rough = span / ticks
    size = 10 ** floor(log10(rough))
    return next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(high - low)
    first = ceil(low / step - 1e-6)
    return [index * step for index in range(first, floor(high / step + 1e-6) + 1)]


def _axes(frame: _Frame, x_label: str) -> str:
    parts: list[str] = []
    for y in _ticks(frame.bottom, frame.top):
        _, at = frame.at(frame.left, y)
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{y:g}</text>')
    for x in _ticks(frame.left, frame.right):
        at, _ = frame.at(x, frame.bottom)
        parts.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(x_label)}</text>')
    return "".join(parts)


def _mark(frame: _Frame, x: float) -> str:
    at, _ = frame.at(x, frame.bottom)
    return f'<path class="mark" d="M{at} {TOP}V{HEIGHT - BOTTOM}"/>'


def _level(frame: _Frame, level: Level) -> str:
    _, at = frame.at(frame.left, level.y)
    place = (
        f'x="{LEFT + 4}" y="{at + 12}"'
        if level.below
        else f'x="{WIDTH - RIGHT}" y="{at - 4}" text-anchor="end"'
    )
    line = f'<path class="level {level.style}" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>'
    return f'{line}<text class="{level.style}" {place}>{escape(level.name)}</text>'


def _line(frame: _Frame, line: Line) -> str:
    stride = ceil(len(line.xs) / MOST_POINTS)
    points: list[str] = []
    for start in range(0, len(line.xs), stride):
        chosen = max(range(start, min(start + stride, len(line.xs))), key=lambda index: line.ys[index])
        x, y = frame.at(line.xs[chosen], line.ys[chosen])
        points.append(f"{x} {y}")
    return f'<path class="line {line.style}" d="M{"L".join(points)}"/>' if points else ""


def _dot(frame: _Frame, dot: Dot) -> str:
    x, y = frame.at(dot.x, min(dot.y, frame.top))
    return f'<circle class="{dot.style}" cx="{x}" cy="{y}" r="4"><title>{escape(dot.text)}</title></circle>'
