"""The metrics of the scorecard in one table: code, docs and report all read it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

GENERATED, FINAL = "generated", "final"  # before and after interpolation
STAGES = (GENERATED, FINAL)
COLORS, PROBE, HUB = "colours and edges", "nano probe", "DINOv2 and CLIP"  # what describes frames


class Verdict(Enum):
    """How a value stands in its band."""

    good = "good"
    fair = "fair"
    bad = "bad"
    unknown = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Good from `good` on, bad from `bad` on, fair between; which way is better follows from the two."""

    good: float
    bad: float

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return self.good > self.bad

    def worth(self, value: float) -> float:
        """Where a value lies between bad (0) and good (1), and no more beyond."""
        return min(1.0, max(0.0, (value - self.bad) / (self.good - self.bad)))

    def verdict(self, value: float | None) -> Verdict:
        """Where a value falls."""
        if value is None:
            return Verdict.unknown
        sign = 1 if self.higher else -1
        if sign * value >= sign * self.good:
            return Verdict.good
        return Verdict.bad if sign * value <= sign * self.bad else Verdict.fair

    def __str__(self) -> str:
        good, bad = ("≥", "≤") if self.higher else ("≤", "≥")
        return f"{good} {self.good:g} / {bad} {self.bad:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of the scorecard.

    `bands` are by what describes the frames where that decides, else by stage, else "any".
    """

    id: str
    title: str
    group: str
    definition: str
    unit: str
    source: str
    bands: Mapping[str, Band]

    def judged_by(self, stage: str, features: str) -> bool:
        """Whether there is a band for a stage and a describer."""
        return not self.bands.keys().isdisjoint({features, stage, "any"})

    def band(self, stage: str, features: str) -> Band:
        """The band that holds for a stage and a describer."""
        known = (key for key in (features, stage, "any") if key in self.bands)
        return self.bands[next(known)]


def _any(good: float, bad: float) -> dict[str, Band]:
    return {"any": Band(good=good, bad=bad)}


def _stages(generated: tuple[float, float], final: tuple[float, float]) -> dict[str, Band]:
    return {
        GENERATED: Band(good=generated[0], bad=generated[1]),
        FINAL: Band(good=final[0], bad=final[1]),
    }


def _features(
    colors: tuple[float, float], probe: tuple[float, float], hub: tuple[float, float]
) -> dict[str, Band]:
    bands = zip((COLORS, PROBE, HUB), (colors, probe, hub), strict=True)
    return {name: Band(good=good, bad=bad) for name, (good, bad) in bands}


JOINS, COLOR, FLICKER, MOTION, CONTENT, PICTURE = "joins", "colour", "flicker", "motion", "content", "picture"

# What to type where a number of the group is bad, best first.
ADVICE = {
    JOINS: "quality.reroll=2",
    COLOR: "motion=color_lock",
    FLICKER: "motion=overlap_8",
    MOTION: "seed=random",
    CONTENT: "seed=random",
    PICTURE: "speed=hq",
}

METRICS: tuple[Metric, ...] = (
    Metric(
        id="seam_ratio",
        title="Seam ratio",
        group=JOINS,
        definition="Warp error across a join over the median warp error inside the two segments that it "
        "joins, median over the joins; divided by the mean of the same figure over every other placement of "
        "the joins in this clip",
        unit="ratio, 1 = no seam",
        source="this project; warp error after Lai et al., arXiv 1808.00449",
        bands=_any(1.1, 1.25),
    ),
    Metric(
        id="seam_worst",
        title="Seam ratio, worst join",
        group=JOINS,
        definition="As the seam ratio, for the worst join against the worst of joins placed elsewhere",
        unit="ratio, 1 = no seam",
        source="this project",
        bands=_any(1.3, 1.6),
    ),
    Metric(
        id="seam_motion",
        title="Motion jump at joins",
        group=JOINS,
        definition="As the seam ratio, with the mean optical flow in place of the warp error, which does "
        "not see a figure that jumps to another place",
        unit="ratio, 1 = no jump",
        source="this project",
        bands=_any(1.4, 1.9),
    ),
    Metric(
        id="seam_ghost",
        title="Ghosts at joins",
        group=JOINS,
        definition="As the seam ratio, with what the first new frame shows and neither of its neighbours, "
        "warped to it, does: the smaller of the two differences where they have one sign, largest mean over "
        "squares of a tenth of the shorter side. A second hand that is there for one frame is too small to "
        "move the warp error",
        unit="ratio, 1 = none",
        source="this project",
        bands=_any(1.2, 1.6),
    ),
    Metric(
        id="color_step",
        title="Colour step, worst join",
        group=JOINS,
        definition="Lab difference of seen pixels across a join after warping, mean over 4 x 4 cells, of the "
        "worst join; less that of the worst of joins placed elsewhere, at least 0. 2.3 is just noticeable",
        unit="ΔE (CIE76)",
        source="this project; just noticeable difference after Mahy et al. 1994",
        bands=_any(1.0, 2.3),
    ),
    Metric(
        id="color_drift",
        title="Colour drift",
        group=COLOR,
        definition="Largest Lab distance of any second of the clip to its first: the smaller of that "
        "between mean colours (which new content moves too) and that summed along moving surfaces (which "
        "flicker moves too)",
        unit="ΔE (CIE76)",
        source="this project",
        bands=_any(2.0, 4.0),
    ),
    Metric(
        id="flicker",
        title="Flicker",
        group=FLICKER,
        definition="How far a frame differs from the mean of its two neighbours warped to it, absolute "
        "mean over 8 x 8 blocks of pixels seen in all three; median over the clip",
        unit="grey levels",
        source="this project; the idea of VBench's temporal flickering, arXiv 2311.17982, with motion "
        "removed",
        bands=_stages((1.2, 2.5), (0.8, 1.8)),
    ),
    Metric(
        id="background_flicker",
        title="Flicker of what stands still",
        group=FLICKER,
        definition="The same pixel by pixel, warped or not, whichever is less, in the quietest quarter of "
        "the 8 x 8 blocks; median over the clip",
        unit="grey levels",
        source="this project",
        bands=_any(0.4, 1.5),
    ),
    Metric(
        id="warp_error",
        title="Warp error",
        group=FLICKER,
        definition="Mean absolute difference of a frame and the next one warped to it, over pixels whose "
        "flow there and back agrees; median over the transitions",
        unit="grey levels",
        source="Lai et al., arXiv 1808.00449 (with the absolute difference)",
        bands=_any(4.0, 8.0),
    ),
    Metric(
        id="median_flow",
        title="Motion",
        group=MOTION,
        definition="Median over the transitions of the mean optical flow; its floor keeps a still picture "
        "from passing as a clip",
        unit="% of the shorter side a second",
        source="this project",
        bands=_any(0.8, 0.4),
    ),
    Metric(
        id="dynamic_degree",
        title="Dynamic degree",
        group=MOTION,
        definition="As motion, over the fastest 5 % of the pixels",
        unit="% of the shorter side a second",
        source="VBench's dynamic degree, arXiv 2311.17982, before its threshold",
        bands=_any(3.0, 1.5),
    ),
    Metric(
        id="motion_smoothness",
        title="Motion smoothness",
        group=MOTION,
        definition="1 - |f + b| / (|f| + |b|) over moving pixels, f and b the flows of a frame to the next "
        "and to the one before; median over the clip. 1 = uniform motion; natural swings at 8 fps reach "
        "about 0.45 to 0.9",
        unit="0..1",
        source="this project",
        bands=_stages((0.42, 0.25), (0.65, 0.4)),
    ),
    Metric(
        id="mawe",
        title="MAWE",
        group=MOTION,
        definition="W / OFS: mean squared RGB distance of a frame and the next one warped to it over seen "
        "pixels, over the mean squared optical flow in pixels of a 720-pixel frame. Flicker that passes "
        "for motion lowers it: read it with the warp error",
        unit="squared levels / squared pixels",
        source="motion-aware warp error, StreamingT2V, arXiv 2403.14773, section 12",
        bands=_stages((35.0, 70.0), (90.0, 180.0)),
    ),
    Metric(
        id="subject_consistency",
        title="Subject consistency",
        group=CONTENT,
        definition="Mean likeness (cosine) of the subject in two frames that lie at least half the clip "
        "apart",
        unit="0..1",
        source="after VBench's subject consistency, arXiv 2311.17982, over distance",
        bands=_features((0.96, 0.92), (0.9, 0.75), (0.85, 0.7)),
    ),
    Metric(
        id="background_consistency",
        title="Background consistency",
        group=CONTENT,
        definition="The same for the background",
        unit="0..1",
        source="after VBench's background consistency, arXiv 2311.17982, over distance",
        bands=_features((0.94, 0.88), (0.9, 0.75), (0.88, 0.75)),
    ),
    Metric(
        id="scene_cuts",
        title="Scene cuts",
        group=CONTENT,
        definition="Frames whose mean Lab distance to the one before is at least 20 and 3 times that of "
        "the two transitions before and after, at least 0.6 s apart",
        unit="count",
        source="PySceneDetect's AdaptiveDetector (as in arXiv 2403.14773), in Lab, where greys have no hue",
        bands=_any(0.0, 1.0),
    ),
    Metric(
        id="prompt_adherence",
        title="Prompt adherence",
        group=CONTENT,
        definition="nano: share of the attributes named by the prompt that the probe reads from the "
        "frames; elsewhere CLIP's cosine of prompt and frames",
        unit="0..1",
        source="this project's probe; CLIPScore, arXiv 2104.08718",
        bands={HUB: Band(good=0.26, bad=0.2), "any": Band(good=0.9, bad=0.7)},
    ),
    Metric(
        id="sharpness",
        title="Sharpness",
        group=PICTURE,
        definition="1 - blur: the share of neighbouring differences that a further 9-pixel blur would take "
        "away; median over the frames, at 256 pixels",
        unit="0..1",
        source="Crété-Roffet et al., SPIE 6492 (2007)",
        bands=_any(0.65, 0.5),
    ),
    Metric(
        id="sharpness_hold",
        title="Sharpness held",
        group=PICTURE,
        definition="Median sharpness of the last second over that of the first",
        unit="ratio, 1 = held",
        source="this project",
        bands=_any(0.95, 0.85),
    ),
)

BY_ID: Mapping[str, Metric] = {metric.id: metric for metric in METRICS}


def ids_of(group: str) -> list[str]:
    """The metrics of a group, in the table's order."""
    return [metric.id for metric in METRICS if metric.group == group]


def markdown() -> str:
    """The table for the docs."""
    lines = [
        "| Metric | Definition | Unit | Source | Good / bad |",
        "|---|---|---|---|---|",
    ]
    for metric in METRICS:
        bands = "; ".join(
            f"{band}" if key == "any" else f"{key}: {band}" for key, band in metric.bands.items()
        )
        definition = metric.definition.replace("|", "\\|")
        name = f"{metric.title} (`{metric.id}`)"
        lines.append(f"| {name} | {definition} | {metric.unit} | {metric.source} | {bands} |")
    return "\n".join(lines)
