"""Line charts as plain numbers for inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path

TEMPLATE = Path(__file__).parent / "templates" / "chart.svg.j2"  # of a `chart`
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SvgPath:
    """A path; `style` is a class of the page's style sheet."""

    d: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words at a point: an axis label, a level's name, or what a dot says when pointed at."""

    x: float
    y: float
    words: str
    style: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart in pixels: what lies behind the lines, the lines, the dots on them."""

    label: str
    behind: tuple[SvgPath, ...] = ()
    texts: tuple[Words, ...] = ()
    lines: tuple[SvgPath, ...] = ()
    dots: tuple[Words, ...] = ()
    size: tuple[int, int] = (WIDTH, HEIGHT)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.lines or self.dots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Ends of the y axis that are fixed; None: as the values are."""

    low: float | None = 0.0
    high: float | None = None


def chart(
    lines: Sequence[Line],
    *,
    label: str,
    x_label: str = "seconds",
    dots: Sequence[Dot] = (),
    marks: Sequence[float] = (),
    levels: Sequence[Level] = (),
    fixed: Range = Range(),
) -> Chart:
    """A chart with axes; `marks` are vertical lines.

    A level outside what the points span is left out rather than flattening them.
    """
    xs = [x for line in lines for x in line.xs] + [dot.x for dot in dots]
    ys = [y for line in lines for y in line.ys] + [dot.y for dot in dots]
    if not xs:
        return Chart(label=label)
    bottom = min(ys) if fixed.low is None else min(fixed.low, *ys)
    top = max(ys) if fixed.high is None else fixed.high
    near = [level.y for level in levels if bottom <= level.y <= top + 0.6 * (top - bottom)]
    frame = _Frame.around(min(0.0, *xs), max(xs), bottom, max([top, *near]))
    seen = [level for level in levels if frame.bottom <= level.y <= frame.top]
    marked = [_mark(frame, x) for x in marks if frame.left <= x <= frame.right]
    return Chart(
        label=label,
        behind=(*_grid(frame), *marked, *(_level(frame, level) for level in seen)),
        texts=(*_axis_texts(frame, x_label), *(_level_name(frame, level) for level in seen)),
        lines=tuple(_line(frame, line) for line in lines if len(line.xs)),
        dots=tuple(_dot(frame, dot) for dot in dots),
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


def _grid(frame: _Frame) -> Iterator[SvgPath]:
    for y in _ticks(frame.bottom, frame.top):
        yield SvgPath(d=f"M{LEFT} {frame.at(frame.left, y)[1]}H{WIDTH - RIGHT}", style="grid")


def _axis_texts(frame: _Frame, x_label: str) -> Iterator[Words]:
    for y in _ticks(frame.bottom, frame.top):
        yield Words(x=LEFT - 6, y=frame.at(frame.left, y)[1] + 4, words=f"{y:g}", anchor="end")
    for x in _ticks(frame.left, frame.right):
        at, below = frame.at(x, frame.bottom)[0], HEIGHT - BOTTOM + 15
        yield Words(x=at, y=below, words=f"{x:g}", anchor="middle")
    yield Words(x=WIDTH - RIGHT, y=HEIGHT - 2, words=x_label, anchor="end")


def _mark(frame: _Frame, x: float) -> SvgPath:
    at, _ = frame.at(x, frame.bottom)
    return SvgPath(d=f"M{at} {TOP}V{HEIGHT - BOTTOM}", style="mark")


def _level(frame: _Frame, level: Level) -> SvgPath:
    _, at = frame.at(frame.left, level.y)
    return SvgPath(d=f"M{LEFT} {at}H{WIDTH - RIGHT}", style=f"level {level.style}")


def _level_name(frame: _Frame, level: Level) -> Words:
    _, at = frame.at(frame.left, level.y)
    if level.below:
        return Words(x=LEFT + 4, y=at + 12, words=level.name, style=level.style)
    return Words(x=WIDTH - RIGHT, y=at - 4, words=level.name, style=level.style, anchor="end")


def _line(frame: _Frame, line: Line) -> SvgPath:
    stride = ceil(len(line.xs) / MOST_POINTS)
    points: list[str] = []
    for start in range(0, len(line.xs), stride):
        chosen = max(range(start, min(start + stride, len(line.xs))), key=lambda index: line.ys[index])
        x, y = frame.at(line.xs[chosen], line.ys[chosen])
        points.append(f"{x} {y}")
    return SvgPath(d=f"M{'L'.join(points)}", style=f"line {line.style}")


def _dot(frame: _Frame, dot: Dot) -> Words:
    x, y = frame.at(dot.x, min(dot.y, frame.top))
    return Words(x=x, y=y, words=dot.text, style=dot.style)
