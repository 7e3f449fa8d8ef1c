"""A scorecard as one HTML page with plots: no script, no outside resource, every word escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from string import Template

from pokora_anime.quality.metrics.metric_series import JoinPicture
from pokora_anime.quality.metrics.metric_table import FINAL, GENERATED, METRICS, Metric, Verdict, ids_of
from pokora_anime.quality.metrics.score_summary import JoinScore, Score
from pokora_anime.quality.report.plots import Dot, Level, Line, chart
from pokora_anime.quality.report.report_style import STYLE
from pokora_anime.quality.scorecard import Scorecard, advice

MOST_JOINS = 12  # shown in pictures, the worst first
SHOWN = {GENERATED: "before", FINAL: "after"}
WORST_SHOWN = 4
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' file:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pokora score: $title</title>
<style>$style</style>
</head>
<body><main>
<header><p>pokora score</p><h1>$title</h1><p>$facts</p><p>$counts</p></header>
$body
<footer>Before: generated frames ($origin). After: delivered frames, interpolated and scaled.
Good and bad ranges are those of clips that the drawn world makes, where everything is known; the numbers of
two clips compare only where flow and features are the same.</footer>
</main></body>
</html>
""")


def page(card: Scorecard, clip: str = "", track: bytes = b"") -> str:
    """The page; `clip` is the address of the delivered clip as seen from it, `track` a film (WebP) of the
    poses that were planned for it."""
    return PAGE.substitute(
        title=escape(card.title),
        style=STYLE,
        facts=escape(_facts(card)),
        counts=_counts(card),
        body="\n".join(
            [_clip(clip, track), _summary(card), _advice(card), _plots(card), _joins(card), _table(card)]
        ),
        origin=escape(card.origin),
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


def _counts(card: Scorecard) -> str:
    """How many numbers have each verdict, over both stages."""
    shown = (
        (Verdict.good, "good"),
        (Verdict.fair, "fair"),
        (Verdict.bad, "bad"),
        (Verdict.unknown, "not told"),
    )
    pills = [
        f'<span class="pill {verdict.value}">{count} {name}</span>'
        for verdict, name in shown
        if (count := card.count(verdict))
    ]
    return " ".join(pills)


def _clip(address: str, track: bytes) -> str:
    if not address:
        return ""
    shown = f'<video class="clip" controls loop muted preload="auto" src="{escape(address)}"></video>'
    if not track:
        return shown
    data = base64.b64encode(track).decode()
    film = f'<img alt="the poses planned for the clip" src="data:image/webp;base64,{data}">'
    return f'<div class="beside">{shown}<figure>{film}<figcaption>planned poses</figcaption></figure></div>'


def _advice(card: Scorecard) -> str:
    ways = " or ".join(f"<code>{escape(way)}</code>" for way in advice(card))
    return f"<p>Against what is bad, render again with {ways}.</p>" if ways else ""


def _summary(card: Scorecard) -> str:
    groups = dict.fromkeys(metric.group for metric in METRICS)
    cards = [_card(card, group.capitalize(), ids_of(group)) for group in groups]
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(card: Scorecard, title: str, names: Sequence[str]) -> str:
    """A group's first metric in large and its worst verdict as colour; the rest small."""
    found = {stage: card.verdicts(stage) for stage in card.stages()}
    verdicts = [found[stage][name] for stage in found for name in names]
    worst = next((v for v in (Verdict.bad, Verdict.fair, Verdict.good) if v in verdicts), Verdict.unknown)
    by_id = {metric.id: metric for metric in METRICS}
    first = by_id[names[0]]
    bad = [
        f"{by_id[name].title.lower()} {SHOWN[stage]}"
        for stage in found
        for name in names
        if found[stage][name] is Verdict.bad
    ]
    told = f"bad: {', '.join(bad[:WORST_SHOWN])}" if bad else first.title.lower()
    values = " → ".join(
        f'<span class="{found[stage][first.id].value}">{number(score.values[first.id])}</span>'
        for stage, score in card.stages().items()
    )
    return (
        f'<section class="card {worst.value}"><small>{title}</small><b>{values}</b>'
        f"<p>{escape(told)}</p></section>"
    )


def _table(card: Scorecard) -> str:
    rows: list[str] = []
    group = ""
    for metric in METRICS:
        if metric.group != group:
            group = metric.group
            rows.append(f'<tr class="group"><th colspan="4">{escape(group)}</th></tr>')
        rows.append(_row(card, metric))
    head = "<tr><th>Metric</th><th>Before</th><th>After</th><th>Good / bad</th></tr>"
    return f'<h2>All numbers</h2><div class="box"><table>{head}{"".join(rows)}</table></div>'


def _row(card: Scorecard, metric: Metric) -> str:
    cells: list[str] = []
    bands: list[str] = []
    for stage, score in card.stages().items():
        band = metric.band(stage, score.features)
        bands.append(str(band))
        value = score.values[metric.id]
        verdict = band.verdict(value)
        why = f"<small>{escape(score.reasons.get(metric.id, ''))}</small>" if value is None else ""
        cells.append(f'<td><span class="pill {verdict.value}">{number(value)}</span>{why}</td>')
    told = "; ".join(dict.fromkeys(bands))
    return (
        f"<tr><td><b>{escape(metric.title)}</b> <i>{escape(metric.unit)}</i>"
        f"<small>{escape(metric.definition)}. <span>{escape(metric.source)}</span></small></td>"
        f"{''.join(cells)}<td>{escape(told)}</td></tr>"
    )


def _plots(card: Scorecard) -> str:
    before = card.generated
    joins = [join.seconds - 0.5 / before.fps for join in before.joins]
    boxes = [
        _box("Warp error", "grey levels; dots are joins", _over_time(card, "warp_error", joins, dots=True)),
        _box("Joins against inside", "warp error and motion over the median inside", _ratios(before)),
        _box("Colour from frame to frame", "ΔE after warping", _over_time(card, "color_step", joins)),
        _box(
            "Colour drift",
            "ΔE of each second to the first",
            _over_time(card, "color_drift", joins, bands=True),
        ),
        _box("Flicker", "grey levels, motion removed", _over_time(card, "flicker", joins, bands=True)),
        _box("Motion", "mean flow, % of the side a second", _over_time(card, "speed", joins)),
        _box("Sharpness", "0..1", _over_time(card, "sharpness", joins, low=0.5)),
        _box("Likeness over distance", "subject and background, by seconds apart", _likeness(card)),
    ]
    key = '<p class="key"><span class="before">before interpolation</span><span class="after">after</span>'
    key += '<span class="mark">join</span></p>' if joins else "</p>"
    return f'<h2>Over the clip</h2>{key}<div class="plots">{"".join(boxes)}</div>'


def _box(title: str, about: str, drawing: str) -> str:
    return f'<section class="box"><h3>{escape(title)} <small>{escape(about)}</small></h3>{drawing}</section>'


def _over_time(
    card: Scorecard,
    name: str,
    joins: Sequence[float],
    *,
    dots: bool = False,
    bands: bool = False,
    low: float | None = 0.0,
) -> str:
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
    return chart(lines, label=name.replace("_", " "), dots=marked, marks=joins, levels=levels, low=low)


def _after_first(card: Scorecard) -> list[tuple[str, Score]]:
    """The stages in the order that they are drawn in: what is drawn last lies on top."""
    return [(FINAL, card.final), (GENERATED, card.generated)]


def _levels(name: str, card: Scorecard) -> Sequence[Level]:
    band = next(metric for metric in METRICS if metric.id == name).band(GENERATED, card.generated.features)
    return (
        Level(y=band.good, name="good", style="good", below=not band.higher),
        Level(y=band.bad, name="bad", style="bad", below=band.higher),
    )


def _ratios(score: Score) -> str:
    if not score.joins:
        return f'<p class="none">{escape(score.reasons.get("seam_ratio", "no join"))}</p>'
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
    return (
        drawing
        + '<p class="key small"><span class="before">warp error</span><span class="after">motion</span></p>'
    )


def _likeness(card: Scorecard) -> str:
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
    drawing = chart(lines, label="likeness over distance", x_label="seconds apart", low=0.8, high=1.0)
    return drawing + '<p class="key small"><span>solid: subject</span><span>dashed: background</span></p>'


def _joins(card: Scorecard) -> str:
    scores = sorted(card.generated.joins, key=lambda join: -join.warp_ratio)[:MOST_JOINS]
    if not scores:
        return ""
    pictures = {SHOWN[stage]: score.pictures for stage, score in card.stages().items()}
    parts = [_join(join, pictures) for join in scores]
    left = len(card.generated.joins) - len(scores)
    rest = f"<p>{left} more joins, all with a lower ratio.</p>" if left else ""
    return f"<h2>Around each join, the worst first</h2>{''.join(parts)}{rest}"


def _join(join: JoinScore, pictures: dict[str, tuple[JoinPicture, ...]]) -> str:
    told = (
        f"warp error {number(join.warp_ratio)} x, motion {number(join.motion_ratio)} x the median inside; "
        f"colour step {number(join.color_step)} ΔE"
        + (f"; ghost {number(join.ghost_ratio)} x" if join.ghost_ratio is not None else "")
    )
    rows: list[str] = []
    for stage, all_pictures in pictures.items():
        frames = [picture for picture in all_pictures if picture.join == join.frame]
        cells = "".join(_picture(picture) for picture in frames)
        rows.append(f'<div class="film"><span>{stage}</span>{cells}</div>')
    return (
        f'<section class="box join"><h3>Frame {join.frame}, {join.seconds:.2f} s '
        f"<small>{escape(told)}</small></h3>{''.join(rows)}</section>"
    )


def _picture(picture: JoinPicture) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    kind = "new" if picture.offset == 0 else ""
    return (
        f'<figure class="{kind}"><img alt="frame {picture.frame}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{picture.frame}</figcaption></figure>"
    )
