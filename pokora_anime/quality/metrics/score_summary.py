"""From a clip's series of numbers to its score: one value a metric, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.hashing import Json
from pokora_anime.quality.metrics.features import Consistency, Describer, Looks, consistency
from pokora_anime.quality.metrics.figure_parts import PartsBySecond, Worst, curve_name
from pokora_anime.quality.metrics.metric_series import JoinPicture, Series, Values
from pokora_anime.quality.metrics.metric_table import JOINS, ids_of
from pokora_anime.quality.metrics.seams import seams, source_steps

MAWE_SIDE = 720  # pixels a side that the metric is defined at
LEAST_MOTION = 0.05  # mean squared flow in those pixels below which nothing moves
LEAST_SPEED = 0.02  # pixels, mean over the frame: below it smoothness says nothing
WARP_FLOOR = 0.05  # grey levels that no eye sees
SPEED_FLOOR = 0.05  # pixels
COLOR_FLOOR = 0.01  # Lab distance
GHOST_FLOOR = 2.0  # grey levels, mean of a square: fainter, it is not seen in one frame
CUT_RATIO, CUT_WINDOW, CUT_SECONDS = 3.0, 2, 0.6  # as PySceneDetect's AdaptiveDetector
CUT_CONTENT = (
    20.0  # Lab distance; cuts between drawn scenes reach 24 to 71, their motion 30 at a ratio of 1.4
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinScore:
    """One join: its first new source frame, warp error, flow and ghost over the inside median, Lab step.

    There is no ghost in a clip's last frame: nothing comes after it to tell.
    """

    frame: int
    seconds: float
    warp_ratio: float
    motion_ratio: float
    ghost_ratio: float | None
    color_step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Something over seconds, for a plot."""

    seconds: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A clip scored at one stage. A value is None where `reasons` says why."""

    frames: int
    fps: int
    side: int
    flow: str
    features: str
    values: dict[str, float | None]
    reasons: dict[str, str]
    joins: tuple[JoinScore, ...]
    placements: dict[str, float]
    cuts: tuple[float, ...]
    curves: dict[str, Curve]
    pictures: tuple[JoinPicture, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Everything but the pictures, rounded to what a reader can use."""
        return {
            "frames": self.frames,
            "fps": self.fps,
            "measured_at": self.side,
            "flow": self.flow,
            "features": self.features,
            "values": {name: _rounded(value) for name, value in self.values.items()},
            "reasons": dict(self.reasons),
            "joins": [
                {
                    "frame": join.frame,
                    "seconds": _rounded(join.seconds),
                    "warp_ratio": _rounded(join.warp_ratio),
                    "motion_ratio": _rounded(join.motion_ratio),
                    "ghost_ratio": _rounded(join.ghost_ratio),
                    "color_step": _rounded(join.color_step),
                }
                for join in self.joins
            ],
            "placements": {name: _rounded(value) for name, value in self.placements.items()},
            "cuts": [_rounded(cut) for cut in self.cuts],
            "curves": {
                name: {
                    "seconds": [_rounded(x) for x in curve.seconds],
                    "values": [_rounded(y) for y in curve.values],
                }
                for name, curve in self.curves.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTiming:
    """When and how large a clip's frames were: `joins` and `source_fps` of its source frames, `fps` of all.

    `side` is the shorter side in pixels that they were measured at.
    """

    joins: Sequence[int]
    fps: int
    source_fps: int
    side: int

    @property
    def percent(self) -> float:
        """What turns pixels a frame into percent of the side a second."""
        return 100 * self.fps / self.side

    def steps(self, values: Values) -> Values:
        """Means over the source frames' steps, so that held frames do not pass for stillness."""
        return source_steps(values, self.fps, self.source_fps)


def summarise(
    series: Series,
    clip: ClipTiming,
    *,
    looks: Looks,
    parts: PartsBySecond,
    describer: Describer,
    flow: str,
    pictures: tuple[JoinPicture, ...],
) -> Score:
    """The score of what was pushed; a clip of fewer than three frames has hardly any values."""
    found, fps = _Found(), clip.fps
    _put_motion(found, series, clip)
    found.put("sharpness", _median(series.values("sharpness")), "no frame")
    found.put("sharpness_hold", _hold(series.values("sharpness"), fps), "fewer than two frames")
    drift = _drift(series, fps)
    found.put("color_drift", max(drift.values, default=None), "fewer than two frames")
    cuts = _cuts(series.values("content"), fps)
    found.put("scene_cuts", float(len(cuts)), "")
    likeness = _consistencies(found, looks, fps)
    value, why = describer.adherence()
    found.put("prompt_adherence", value, why)
    scores, placements = _joins(found, series, clip)
    return Score(
        frames=series.frames,
        fps=fps,
        side=clip.side,
        flow=flow,
        features=describer.name,
        values=found.values,
        reasons=found.reasons,
        joins=scores,
        placements=placements,
        cuts=cuts,
        curves=_curves(series, fps, clip.percent) | {"color_drift": drift} | likeness | _parts(parts),
        pictures=pictures,
    )


class _Found:
    """Values by metric, and reasons for those that are None."""

    def __init__(self) -> None:
        self.values: dict[str, float | None] = {}
        self.reasons: dict[str, str] = {}

    def put(self, name: str, value: float | None, why: str) -> None:
        self.values[name] = value
        if value is None:
            self.reasons[name] = why


def _put_motion(found: _Found, series: Series, clip: ClipTiming) -> None:
    """What is told from one frame to the next: flow, its errors and flicker."""

    def steps(name: str) -> Values:
        values = clip.steps(series.values(name))
        return values[np.isfinite(values)]

    found.put("warp_error", _median(steps("warp_error")), "fewer than two frames")
    found.put("mawe", _mawe(series, clip.side), "nothing moves, so there is nothing to divide by")
    found.put("median_flow", _median(steps("speed") * clip.percent), "fewer than two frames")
    found.put("dynamic_degree", _median(steps("fastest") * clip.percent), "fewer than two frames")
    found.put("motion_smoothness", _smoothness(steps("acceleration"), steps("speeds")), "nothing moves")
    found.put("flicker", _median(steps("flicker")), "fewer than three frames")
    found.put("background_flicker", _median(steps("quiet_flicker")), "fewer than three frames")


def _joins(found: _Found, series: Series, clip: ClipTiming) -> tuple[tuple[JoinScore, ...], dict[str, float]]:
    warp, speed, color = (
        seams(clip.steps(series.values(name)), clip.joins, floor)
        for name, floor in (("warp_error", WARP_FLOOR), ("speed", SPEED_FLOOR), ("color_step", COLOR_FLOOR))
    )
    if isinstance(warp, str) or isinstance(speed, str) or isinstance(color, str):
        for name in ids_of(JOINS):
            found.put(name, None, str(warp))
        return (), {}
    # What interpolation spreads over several transitions is added up again.
    spread = clip.fps / clip.source_fps
    found.put("seam_ratio", warp.median, "")
    found.put("seam_worst", warp.worst, "")
    found.put("seam_motion", speed.median, "")
    found.put("color_step", max(0.0, color.excess) * spread, "")
    ghosts = _ghosts(found, series, clip)
    scores = tuple(
        JoinScore(
            frame=join,
            seconds=join / clip.source_fps,
            warp_ratio=ratio,
            motion_ratio=motion,
            ghost_ratio=ghosts.get(join),
            color_step=step * spread,
        )
        for join, ratio, motion, step in zip(warp.joins, warp.ratios, speed.ratios, color.values, strict=True)
    )
    return scores, {
        "places": float(warp.placements),
        "warp_median": warp.raw_median,
        "warp_median_elsewhere": warp.placed_median,
        "warp_worst": warp.raw_worst,
        "warp_worst_elsewhere": warp.placed_worst,
        "motion_median": speed.raw_median,
        "motion_median_elsewhere": speed.placed_median,
        "color_step_worst": max(color.values) * spread,
        "color_step_worst_elsewhere": (max(color.values) - color.excess) * spread,
    }


def _ghosts(found: _Found, series: Series, clip: ClipTiming) -> dict[int, float]:
    """By join, how much of another picture shines through its middle frame."""
    # Middles begin at frame 1, as the steps' ends do, and have none at the last.
    ghost = seams(clip.steps(np.append(series.values("ghost"), np.nan)), clip.joins, GHOST_FLOOR)
    if isinstance(ghost, str):
        found.put("seam_ghost", None, f"{ghost} (in the last frame it cannot be told)")
        return {}
    found.put("seam_ghost", ghost.median, "")
    return dict(zip(ghost.joins, ghost.ratios, strict=True))


def _median(values: Values) -> float | None:
    return float(np.median(values)) if len(values) else None


def _mawe(series: Series, side: int) -> float | None:
    squared = series.values("squared_speed")
    motion = float(squared.mean()) * (MAWE_SIDE / side) ** 2 if len(squared) else 0.0
    return float(series.values("warp_squared").mean()) / motion if motion > LEAST_MOTION else None


def _smoothness(acceleration: Values, speeds: Values) -> float | None:
    moving = speeds > LEAST_SPEED
    return float(np.median(1 - acceleration[moving] / speeds[moving])) if moving.any() else None


def _hold(values: Values, fps: int) -> float | None:
    if len(values) < 2:
        return None
    window = max(1, min(fps, len(values) // 2))
    return float(np.median(values[-window:]) / max(float(np.median(values[:window])), 1e-9))


def _drift(series: Series, fps: int) -> Curve:
    """Lab distance of every second of the clip to its first one.

    The smaller of two: of the mean colours, which a change of content moves too, and of the summed
    changes of surfaces, which flicker moves too.
    """
    colors = series.vectors("color")
    if len(colors) < 2:
        return Curve(seconds=(), values=())
    surfaces = np.concatenate([np.zeros((1, 3)), np.cumsum(series.vectors("color_change"), axis=0)])
    window = max(1, min(fps, len(colors) // 2))
    starts = np.arange(0, len(colors) - window + 1, window)
    starts[-1] = len(colors) - window
    apart = [_to_first(values, starts, window) for values in (colors, surfaces)]
    return Curve(
        seconds=tuple(float((s + (window - 1) / 2) / fps) for s in starts),
        values=tuple(float(value) for value in np.minimum(*apart)),
    )


def _to_first(values: Values, starts: npt.NDArray[np.int_], window: int) -> Values:
    """Distances of the windows' means to that of the first."""
    means = np.stack([values[start : start + window].mean(0) for start in starts])
    return np.linalg.norm(means - means[0], axis=1)


def _cuts(content: Values, fps: int) -> tuple[float, ...]:
    """Seconds of the frames that begin a new scene."""
    found: list[float] = []
    for index, value in enumerate(content):
        first = max(0, index - CUT_WINDOW)
        around = np.delete(content[first : index + CUT_WINDOW + 1], index - first)
        usual = float(around.mean()) if len(around) else value
        sudden = value >= CUT_CONTENT and value >= CUT_RATIO * usual
        seconds = (index + 1) / fps
        if sudden and (not found or seconds - found[-1] >= CUT_SECONDS):
            found.append(seconds)
    return tuple(found)


def _consistencies(found: _Found, looks: Looks, fps: int) -> dict[str, Curve]:
    times = [frame / fps for frame in looks.frames]
    curves: dict[str, Curve] = {}
    for name in ("subject", "background"):
        result: Consistency | None = consistency([getattr(look, name) for look in looks.looks], times)
        found.put(f"{name}_consistency", None if result is None else result.far, "fewer than two frames")
        if result is not None:
            curves[f"{name}_consistency"] = Curve(seconds=result.seconds, values=result.likeness)
    return curves


def _parts(parts: PartsBySecond) -> dict[str, Curve]:
    return {
        curve_name(part): Curve(seconds=seconds, values=values)
        for part, (seconds, values) in parts.curves().items()
    }


def worst_of(score: Score, part: str) -> Worst | None:
    """When a part of the figure is least like that of the first second; None where it was not seen twice."""
    curve = score.curves.get(curve_name(part))
    if curve is None or not curve.values:
        return None
    at = int(np.argmin(curve.values))
    return Worst(second=curve.seconds[at], likeness=curve.values[at])


def _curves(series: Series, fps: int, percent: float) -> dict[str, Curve]:
    """What is plotted over time: transitions at their middle, frames at their time."""
    curves: dict[str, Curve] = {}
    for name, first, scale in (
        ("warp_error", 0.5, 1.0),
        ("color_step", 0.5, 1.0),
        ("speed", 0.5, percent),
        ("flicker", 1.0, 1.0),
        ("sharpness", 0.0, 1.0),
    ):
        values = series.values(name) * scale
        times = (np.arange(len(values)) + first) / fps
        curves[name] = Curve(seconds=tuple(times.tolist()), values=tuple(values.tolist()))
    return curves


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 4)
