"""One scorecard of a list of shots, each scored by itself: a cut is no seam, no flicker and no cut within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pokora_anime.quality.metrics.score_summary import Curve, JoinScore, Score
from pokora_anime.quality.scorecard import Scorecard

# Numbers of the worst place of a clip; all others are means over the frames.
WORST = ("seam_worst", "color_step", "color_drift")
SUMMED = ("scene_cuts",)


def merged(cards: Sequence[Scorecard]) -> Scorecard:
    """The card of all shots in their order; that of a single one as it is."""
    if len(cards) == 1:
        return cards[0]
    return replace(
        cards[0],
        generated=_merged([card.generated for card in cards]),
        final=_merged([card.final for card in cards]),
    )


def _merged(scores: Sequence[Score]) -> Score:
    first = scores[0]
    starts = [sum(one.frames for one in scores[:index]) for index in range(len(scores))]
    seconds = [start / first.fps for start in starts]
    values = {name: _value(name, scores) for name in first.values}
    reasons = {
        name: next(one.reasons[name] for one in scores if name in one.reasons)
        for name, value in values.items()
        if value is None
    }
    return replace(
        first,
        frames=sum(one.frames for one in scores),
        values=values,
        reasons=reasons,
        joins=tuple(
            _later(join, start, second)
            for one, start, second in zip(scores, starts, seconds, strict=True)
            for join in one.joins
        ),
        cuts=tuple(cut + second for one, second in zip(scores, seconds, strict=True) for cut in one.cuts),
        curves=_curves(scores, seconds),
        pictures=tuple(picture for one in scores for picture in one.pictures),
    )


def _value(name: str, scores: Sequence[Score]) -> float | None:
    known = [(value, one.frames) for one in scores if (value := one.values[name]) is not None]
    if not known:
        return None
    if name in SUMMED:
        return sum(value for value, _ in known)
    if name in WORST:
        return max(value for value, _ in known)
    return sum(value * frames for value, frames in known) / sum(frames for _, frames in known)


def _later(join: JoinScore, frames: int, seconds: float) -> JoinScore:
    return replace(join, frame=join.frame + frames, seconds=join.seconds + seconds)


def _curves(scores: Sequence[Score], seconds: Sequence[float]) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for name in dict.fromkeys(name for one in scores for name in one.curves):
        told = [(one.curves[name], at) for one, at in zip(scores, seconds, strict=True) if name in one.curves]
        if name.endswith("_consistency"):  # over distance, not over time
            found[name] = told[0][0]
            continue
        found[name] = Curve(
            seconds=tuple(second + at for curve, at in told for second in curve.seconds),
            values=tuple(value for curve, _ in told for value in curve.values),
        )
    return found
