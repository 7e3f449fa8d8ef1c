"""The metrics against constructed truth: clips with one known fault, and what it must move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.clip_scorer import scored
from pokora_anime.quality.metrics.metric_table import COLORS, GENERATED, METRICS, Metric

FPS = 8
RAMP = 3.0  # Lab b, first frame to last
HAND = 0.07  # radius, of a side
TOLERANCE = 0.05
MOVES = 0.5  # of the way from good to bad
Clip = list[Image]


class Expected(Enum):
    """What a fault does to a metric."""

    up = "up"  # by half of the way from good to bad at least
    down = "down"
    stays = "="  # within 5 % of the clean clip's value or of the bad bound, whichever is larger
    ideal = "ideal"  # its perfect value, within 5 % of the bad bound
    gone = "none"  # there is no value
    free = "·"  # either is right


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A metric under one fault: the clean clip's value, the faulty one's, and whether it did as expected."""

    clean: float | None
    value: float | None
    expected: Expected
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A clean clip: a scene, a size, a length and where its segments would join."""

    scene: Scene
    size: int
    frames: int
    joins: tuple[int, ...]

    def at(self, frame: int) -> Image:
        """A frame of the clean clip."""
        return draw_frame(self.scene, frame / FPS, self.size).rgb


def ground(seed: int = 1, size: int = 256, frames: int = 65, **fixed: str) -> Ground:
    """A scene with natural motion, cut as 16-frame segments with four known frames would be."""
    pinned = {"action": "waving", "camera": "static", "shot": "upper body", "style": "plain"} | fixed
    scene = sample_scene(np.random.default_rng(seed), **pinned)
    return Ground(scene=scene, size=size, frames=frames, joins=tuple(range(16, frames, 12)))


def clean(given: Ground) -> Clip:
    """The clip as it was drawn."""
    return [given.at(frame) for frame in range(given.frames)]


def static(given: Ground) -> Clip:
    """The first frame all along."""
    return [given.at(0)] * given.frames


def cut(given: Ground) -> Clip:
    """From the middle of a segment on, mirrored and in opposite hues: another scene, the same motion."""
    middle = given.frames // 2 + 1
    return [_other(frame) if index >= middle else frame for index, frame in enumerate(clean(given))]


def seam(given: Ground) -> Clip:
    """Every second segment draws her a little larger, to the side, with other hair and warmer."""
    scene = given.scene
    other = replace(
        scene,
        scale=scene.scale * 1.01,
        x=scene.x + 0.02,
        fringe=(scene.fringe + 1) % 3,
        hair_width=scene.hair_width * 1.03,
    )
    warm = np.array([1.015, 1.0, 0.985])
    frames: Clip = []
    for frame in range(given.frames):
        if sum(frame >= join for join in given.joins) % 2:
            frames.append(_levels(draw_frame(other, frame / FPS, given.size).rgb * warm))
        else:
            frames.append(given.at(frame))
    return frames


def ghost(given: Ground) -> Clip:
    """A pale hand, half transparent, somewhere in the first frame of every segment, and gone in the next."""
    rng = np.random.default_rng(3)
    frames = clean(given)
    rows, columns = np.mgrid[: given.size, : given.size] / given.size
    for join in given.joins:
        x, y = rng.uniform(0.2, 0.8, 2)
        share = np.clip((HAND - np.hypot(columns - x, rows - y)) / 0.01, 0, 1)[..., None] * 0.6
        frames[join] = _levels(frames[join] * (1 - share) + np.array([250, 225, 205]) * share)
    return frames


def flicker(given: Ground) -> Clip:
    """Every frame lighter or darker by 2 %, with soft blotches of its own."""
    rng = np.random.default_rng(5)
    gains = rng.choice([0.02, -0.02], given.frames)
    size = (given.size, given.size)
    frames: Clip = []
    for frame, gain in zip(clean(given), gains, strict=True):
        blotches = cv2.resize(rng.normal(0, 2, (16, 16, 3)), size, interpolation=cv2.INTER_CUBIC)
        frames.append(_levels(frame * (1 + gain) + blotches))
    return frames


def ramp(given: Ground) -> Clip:
    """Yellower from frame to frame, by 3 in Lab over the clip."""
    frames: Clip = []
    for index, frame in enumerate(clean(given)):
        lab = np.asarray(cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
        lab[..., 2] += RAMP * index / (given.frames - 1)
        frames.append(_levels(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)) * 255))
    return frames


def shuffled(given: Ground) -> Clip:
    """Every two neighbouring frames in each other's place: she stutters, and leaps at every join too."""
    frames = clean(given)
    return [frames[min(index ^ 1, given.frames - 1)] for index in range(given.frames)]


def blur(given: Ground) -> Clip:
    """Softer from frame to frame, up to a Gaussian of 3 pixels."""
    widths = np.linspace(0.3, 3.0, given.frames)
    frames = zip(clean(given), widths, strict=True)
    return [np.asarray(cv2.GaussianBlur(frame, (0, 0), width), np.uint8) for frame, width in frames]


FAULTS: Mapping[str, Callable[[Ground], Clip]] = {
    "static": static,
    "cut": cut,
    "seam": seam,
    "ghost": ghost,
    "flicker": flicker,
    "ramp": ramp,
    "shuffled": shuffled,
    "blur": blur,
}
IDEAL: Mapping[str, float] = {"seam_ratio": 1, "seam_worst": 1, "seam_motion": 1, "seam_ghost": 1} | {
    "sharpness_hold": 1,
    "subject_consistency": 1, "background_consistency": 1, "color_step": 0, "color_drift": 0, "flicker": 0,
    "background_flicker": 0, "warp_error": 0, "scene_cuts": 0,
}  # fmt: skip
_U, _D, _S, _G, _F = Expected.up, Expected.down, Expected.stays, Expected.gone, Expected.free
_I = Expected.ideal
EXPECTED: Mapping[str, tuple[Expected, ...]] = {  # in the order of FAULTS
    "seam_ratio": (_I, _S, _U, _F, _S, _S, _F, _F),
    "seam_worst": (_I, _S, _U, _F, _S, _S, _F, _F),
    "seam_motion": (_I, _S, _U, _F, _F, _S, _F, _F),
    "seam_ghost": (_I, _S, _S, _U, _F, _S, _F, _F),
    "color_step": (_I, _S, _U, _F, _F, _S, _F, _S),
    "color_drift": (_I, _F, _F, _S, _F, _U, _S, _F),
    "flicker": (_I, _S, _S, _S, _U, _S, _F, _F),
    "background_flicker": (_I, _S, _S, _S, _U, _S, _S, _S),
    "warp_error": (_I, _S, _S, _S, _U, _S, _F, _F),
    "median_flow": (_D, _S, _S, _S, _F, _S, _F, _F),
    "dynamic_degree": (_D, _S, _S, _S, _F, _S, _F, _F),
    "motion_smoothness": (_G, _S, _F, _S, _F, _S, _D, _F),
    "mawe": (_G, _F, _F, _F, _F, _S, _F, _F),
    "subject_consistency": (_I, _D, _S, _S, _S, _F, _S, _S),
    "background_consistency": (_I, _D, _S, _S, _S, _F, _S, _S),
    "scene_cuts": (_I, _U, _S, _S, _S, _S, _S, _S),
    "prompt_adherence": (_G, _G, _G, _G, _G, _G, _G, _G),
    "sharpness": (_S, _S, _S, _S, _S, _S, _S, _D),
    "sharpness_hold": (_I, _S, _S, _S, _S, _S, _S, _D),
}


def measure(given: Ground, frames: Sequence[Image]) -> dict[str, float | None]:
    """The values of a clip, by metric; features are colours and edges."""
    return scored(frames, joins=given.joins, fps=FPS).values


def compare(grounds: Sequence[Ground]) -> dict[str, dict[str, Cell]]:
    """By metric and fault: means over the clean clips and over the faulty ones."""
    before = _means([measure(given, clean(given)) for given in grounds])
    table: dict[str, dict[str, Cell]] = {metric.id: {} for metric in METRICS}
    for column, (name, make) in enumerate(FAULTS.items()):
        after = _means([measure(given, make(given)) for given in grounds])
        for metric in METRICS:
            expected = EXPECTED[metric.id][column]
            pair = before[metric.id], after[metric.id]
            right = _right(metric, *pair, expected)
            table[metric.id][name] = Cell(clean=pair[0], value=pair[1], expected=expected, right=right)
    return table


def selftest() -> int:
    """Measure the constructed clips and print the table; 0 if every number did as expected."""
    table = compare([ground(1), ground(5, shot="full body", action="dancing"), ground(8, action="walking")])
    print(as_text(table))
    wrong = sum(not cell.right for row in table.values() for cell in row.values())
    print(f"\n{wrong} numbers did not do what they must" if wrong else "\nevery number did what it must")
    return 1 if wrong else 0


def as_text(table: Mapping[str, Mapping[str, Cell]]) -> str:
    """The table for the terminal: what was found, what was expected, ! where they differ."""
    lines = [f"{'':24}{'clean':>9}" + "".join(f"{name:>16}" for name in FAULTS)]
    for name, row in table.items():
        cells = [
            f"{_number(cell.value)} {cell.expected.value:>4}{' ' if cell.right else '!'}"
            for cell in row.values()
        ]
        first = next(iter(row.values()))
        lines.append(f"{name:24}{_number(first.clean):>9}" + "".join(f"{cell:>16}" for cell in cells))
    lines += [
        "",
        "up, down: must move, by half of the way from good to bad at least; none: there must be no value;",
        "=: must stay within 5 % of the clean value (of the bad bound where that is larger);",
        "ideal: must be perfect, to the same 5 %; ·: either is right; !: it did not do what it must.",
    ]
    return "\n".join(lines)


def _right(metric: Metric, clean: float | None, value: float | None, expected: Expected) -> bool:
    if expected is Expected.free:
        return True
    if expected is Expected.gone or value is None or clean is None:
        return expected is Expected.gone and value is None
    band = metric.band(GENERATED, COLORS)
    near = TOLERANCE * abs(band.bad)
    if expected is Expected.stays:
        return abs(value - clean) <= max(TOLERANCE * abs(clean), near)
    if expected is Expected.ideal:
        return abs(value - IDEAL[metric.id]) <= near
    change = value - clean if expected is Expected.up else clean - value
    return change >= MOVES * abs(band.bad - band.good)


def _means(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in found[0]:
        known = [value for one in found if (value := one[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _other(frame: Image) -> Image:
    """Mirrored, with the opposite hues at the same brightness."""
    channels = np.asarray(cv2.cvtColor(frame[:, ::-1], cv2.COLOR_RGB2YCrCb), np.float32)
    channels[..., 1:] = 128 - 0.6 * (channels[..., 1:] - 128)
    return np.asarray(cv2.cvtColor(_levels(channels), cv2.COLOR_YCrCb2RGB), np.uint8)


def _levels(frame: npt.ArrayLike) -> Image:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)
