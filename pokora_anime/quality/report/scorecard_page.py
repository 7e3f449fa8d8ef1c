"""A scorecard as one HTML page with plots: no script, no outside resource, every word escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.quality.metrics.figure_parts import PARTS, curve_name
from pokora_anime.quality.metrics.metric_series import JoinPicture
from pokora_anime.quality.metrics.metric_table import FINAL, GENERATED, METRICS, Metric, Verdict, ids_of
from pokora_anime.quality.metrics.score_summary import JoinScore, Score, worst_of
from pokora_anime.quality.report.plots import Chart, Dot, Level, Line, Range, chart
from pokora_anime.quality.scorecard import Scorecard, advice
from pokora_anime.system.html_template import rendered

TEMPLATE = Path(__file__).parent / "templates" / "scorecard.html.j2"
MOST_JOINS = 12  # shown in pictures, the worst first
SHOWN = {GENERATED: "before", FINAL: "after"}
WORST_SHOWN = 4
COUNTED = {Verdict.good: "good", Verdict.fair: "fair", Verdict.bad: "bad", Verdict.unknown: "not told"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Styled:
    """Words with a class of the style sheet, and why there is no number."""

    words: str
    style: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group's first metric in large; its worst verdict is its colour."""

    title: str
    worst: str
    values: tuple[Styled, ...]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A box with a chart, or with the reason why there is none."""

    title: str
    about: str
    chart: Chart | None
    instead: str = ""
    key: tuple[Styled, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A join with the frames around it, before and after interpolation."""

    frame: int
    seconds: str
    words: str
    films: Mapping[str, tuple[JoinPicture, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A metric with its values and its ranges."""

    metric: Metric
    cells: tuple[Styled, ...]
    bands: str


def page(card: Scorecard, clip: str = "", track: bytes = b"") -> str:
    """The page; `clip` is the address of the delivered clip as seen from it, `track` a film (WebP) of the
    poses that were planned for it."""
    joins = sorted(card.generated.joins, key=lambda join: -join.warp_ratio)
    return rendered(
        TEMPLATE,
        card=card,
        clip=clip,
        track=track,
        facts=_facts(card),
        counts=[
            Styled(words=f"{count} {name}", style=verdict.value)
            for verdict, name in COUNTED.items()
            if (count := card.count(verdict))
        ],
        groups=[_group(card, name) for name in dict.fromkeys(metric.group for metric in METRICS)],
        advice=advice(card),
        plots=_plots(card),
        joined=bool(joins),
        joins=[_join(join, card) for join in joins[:MOST_JOINS]],
        joins_left=len(joins[MOST_JOINS:]),
        rows=[_row(card, metric) for metric in METRICS],
    )


def number(value: float | None) -> str:
    """A value as it is read: three significant digits."""
    if value is None:
        return "none"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _facts(card: Scorecard) -> str:
    before, after = card.generated, card.final
    seconds = after.frames / after.fps
    return (
        f"{seconds:.1f} s, {len(before.joins) + 1} segments, {before.frames} frames generated at "
        f"{before.fps} fps, {after.frames} delivered at {after.fps} fps. Measured at {after.side} px with "
        f"{after.flow} flow; subject and background by {after.features}."
    )


def _group(card: Scorecard, name: str) -> Group:
    names = ids_of(name)
    found = {stage: card.verdicts(stage) for stage in card.stages()}
    verdicts = [found[stage][one] for stage in found for one in names]
    worst = next((v for v in (Verdict.bad, Verdict.fair, Verdict.good) if v in verdicts), Verdict.unknown)
    by_id = {metric.id: metric for metric in METRICS}
    first = by_id[names[0]]
    bad = [
        f"{by_id[one].title.lower()} {SHOWN[stage]}"
        for stage in found
        for one in names
        if found[stage][one] is Verdict.bad
    ]
    return Group(
        title=name.capitalize(),
        worst=worst.value,
        values=tuple(
            Styled(words=number(score.values[first.id]), style=found[stage][first.id].value)
            for stage, score in card.stages().items()
        ),
        words=f"bad: {', '.join(bad[:WORST_SHOWN])}" if bad else first.title.lower(),
    )


def _row(card: Scorecard, metric: Metric) -> Row:
    cells: list[Styled] = []
    bands: list[str] = []
    for stage, score in card.stages().items():
        band, value = metric.band(stage, score.features), score.values[metric.id]
        bands.append(str(band))
        why = score.reasons.get(metric.id, "") if value is None else ""
        cells.append(Styled(words=number(value), style=band.verdict(value).value, why=why))
    return Row(metric=metric, cells=tuple(cells), bands="; ".join(dict.fromkeys(bands)))


def _plots(card: Scorecard) -> list[Plot]:
    before = card.generated
    joins = [join.seconds - 0.5 / before.fps for join in before.joins]
    timed = [
        ("Warp error", "grey levels; dots are joins", _over_time(card, "warp_error", joins, dots=True)),
        ("Colour from frame to frame", "ΔE after warping", _over_time(card, "color_step", joins)),
        (
            "Colour drift",
            "ΔE of each second to the first",
            _over_time(card, "color_drift", joins, bands=True),
        ),
        ("Flicker", "grey levels, motion removed", _over_time(card, "flicker", joins, bands=True)),
        ("Motion", "mean flow, % of the side a second", _over_time(card, "speed", joins)),
        ("Sharpness", "0..1", _over_time(card, "sharpness", joins, low=0.5)),
    ]
    found = [Plot(title=title, about=about, chart=drawn) for title, about, drawn in timed]
    return [found[0], _ratios(before), *found[1:], _likeness(card), *(_part(card, one) for one in PARTS)]


def _over_time(
    card: Scorecard,
    name: str,
    joins: Sequence[float],
    *,
    dots: bool = False,
    bands: bool = False,
    low: float | None = 0.0,
) -> Chart:
    lines = [
        Line(xs=score.curves[name].seconds, ys=score.curves[name].values, style=SHOWN[stage])
        for stage, score in _after_first(card)
    ]
    marked: list[Dot] = []
    if dots:
        drawn = card.generated.curves[name]
        curve = dict(zip(drawn.seconds, drawn.values, strict=True))
        for join, x in zip(card.generated.joins, joins, strict=True):
            nearest = min(curve, key=lambda at: abs(at - x))
            text = f"join before frame {join.frame}: {number(join.warp_ratio)} x the median inside"
            marked.append(Dot(x=nearest, y=curve[nearest], style="before", text=text))
    levels = _levels(name, card) if bands else ()
    return chart(
        lines, label=name.replace("_", " "), dots=marked, marks=joins, levels=levels, fixed=Range(low=low)
    )


def _after_first(card: Scorecard) -> list[tuple[str, Score]]:
    """The stages in the order that they are drawn in: what is drawn last lies on top."""
    return [(FINAL, card.final), (GENERATED, card.generated)]


def _levels(name: str, card: Scorecard) -> Sequence[Level]:
    band = next(metric for metric in METRICS if metric.id == name).band(GENERATED, card.generated.features)
    return (
        Level(y=band.good, name="good", style="good", below=not band.higher),
        Level(y=band.bad, name="bad", style="bad", below=band.higher),
    )


def _ratios(score: Score) -> Plot:
    title, about = "Joins against inside", "warp error and motion over the median inside"
    if not score.joins:
        return Plot(title=title, about=about, chart=None, instead=score.reasons.get("seam_ratio", "no join"))
    xs = [join.seconds for join in score.joins]
    warps = [join.warp_ratio for join in score.joins]
    moves = [join.motion_ratio for join in score.joins]
    dots = [
        Dot(
            x=join.seconds,
            y=value,
            style=style,
            text=f"join before frame {join.frame}: {kind} {number(value)}",
        )
        for values, style, kind in ((moves, "after", "motion"), (warps, "before", "warp error"))
        for join, value in zip(score.joins, values, strict=True)
    ]
    worst = score.placements["warp_worst_elsewhere"]
    levels = (
        Level(y=1.0, name="1: as inside segments", style="soft", below=True),
        Level(y=worst, name=f"{number(worst)}: the worst where joins are placed elsewhere", style="soft"),
    )
    lines = (
        Line(xs=xs, ys=moves, style="after thin"),
        Line(xs=xs, ys=warps, style="before thin"),
    )
    drawing = chart(lines, label="ratios of the joins", dots=dots, levels=levels)
    key = (Styled(words="warp error", style="before"), Styled(words="motion", style="after"))
    return Plot(title=title, about=about, chart=drawing, key=key)


def _likeness(card: Scorecard) -> Plot:
    lines = [
        Line(
            xs=score.curves[name].seconds,
            ys=score.curves[name].values,
            style=f"{SHOWN[stage]}{' dashed' if part == 'background' else ''}",
        )
        for stage, score in _after_first(card)
        for part in ("subject", "background")
        if (name := f"{part}_consistency") in score.curves
    ]
    drawing = chart(
        lines, label="likeness over distance", x_label="seconds apart", fixed=Range(low=0.8, high=1.0)
    )
    return Plot(
        title="Likeness over distance",
        about="subject and background, by seconds apart",
        chart=drawing,
        key=(Styled(words="solid: subject"), Styled(words="dashed: background")),
    )


def _part(card: Scorecard, part: str) -> Plot:
    """A part of the figure over time, with the second in which it has changed most."""
    title, name = f"{part.capitalize()} over time", curve_name(part)
    worst = worst_of(card.generated, part) or worst_of(card.final, part)
    if worst is None:
        instead = f"no pose tells where the {part} is in two seconds of the clip"
        return Plot(title=title, about="likeness to the first second", chart=None, instead=instead)
    told = f"least at {worst.second:g} s: {worst.likeness:.3f}"
    dots = [Dot(x=worst.second, y=worst.likeness, style="before", text=f"{part} {told}")]
    lines = [
        Line(xs=score.curves[name].seconds, ys=score.curves[name].values, style=SHOWN[stage])
        for stage, score in _after_first(card)
        if name in score.curves
    ]
    drawing = chart(lines, label=name.replace("_", " "), dots=dots, fixed=Range(low=0.8, high=1.0))
    return Plot(title=title, about=f"likeness to the first second; {told}", chart=drawing)


def _join(join: JoinScore, card: Scorecard) -> Join:
    words = (
        f"warp error {number(join.warp_ratio)} x, motion {number(join.motion_ratio)} x the median inside; "
        f"colour step {number(join.color_step)} ΔE"
        + (f"; ghost {number(join.ghost_ratio)} x" if join.ghost_ratio is not None else "")
    )
    films = {
        SHOWN[stage]: tuple(picture for picture in score.pictures if picture.join == join.frame)
        for stage, score in card.stages().items()
    }
    return Join(frame=join.frame, seconds=f"{join.seconds:.2f}", words=words, films=films)
