"""The scorecard's parts: bands, seams, flow, streaming, prompts, plots and the page."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pokora_anime.config.compose import compose
from pokora_anime.nano.world.caption import caption_with_labels
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.clip_scorer import ClipScorer
from pokora_anime.quality.metrics.features import MOST_LOOKS, ColorsAndEdges, Look, Looks, consistency
from pokora_anime.quality.metrics.frame_pair_metrics import measure_middle, measure_pair, sharpness
from pokora_anime.quality.metrics.metric_table import (
    ADVICE,
    COLORS,
    HUB,
    METRICS,
    PROBE,
    STAGES,
    Band,
    Verdict,
    markdown,
)
from pokora_anime.quality.metrics.optical_flow import DisFlow, visible, warped
from pokora_anime.quality.metrics.score_summary import Score
from pokora_anime.quality.metrics.seams import Seams, seams, source_steps
from pokora_anime.quality.report.plots import MOST_POINTS, TEMPLATE, Chart, Dot, Level, Line, Range, chart
from pokora_anime.quality.report.scorecard_files import write
from pokora_anime.quality.report.scorecard_page import page
from pokora_anime.quality.scorecard import REPORT, SCORECARD, Scorecard, advice, as_text, brief
from pokora_anime.system.html_template import rendered

SIDE = 128
JOINS = (6, 14)
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\u202e"


def drawn(frames: int, fps: int = 8, size: int = SIDE, action: str = "waving", seed: int = 1) -> list[Image]:
    scene = sample_scene(np.random.default_rng(seed), action=action, camera="static", style="plain")
    return [draw_frame(scene, index / fps, size).rgb for index in range(frames)]


def score(frames: list[Image], joins: tuple[int, ...] = JOINS, fps: int = 8, source_fps: int = 8) -> Score:
    scorer = ClipScorer(joins=joins, fps=fps, source_fps=source_fps)
    for frame in frames:
        scorer.push(frame)
    return scorer.result()


def value(found: Score, name: str) -> float:
    number = found.values[name]
    assert number is not None, found.reasons[name]
    return number


@pytest.fixture(scope="module")
def clip() -> list[Image]:
    return drawn(22)


@pytest.fixture(scope="module")
def card(clip: list[Image]) -> Scorecard:
    held = [frame for frame in clip for _ in range(3)][:-2]
    return Scorecard(
        title="1girl, waving", origin="drawn", generated=score(clip), final=score(held, JOINS, 24, 8)
    )


# The table


def test_every_metric_has_a_band_for_every_stage_and_describer() -> None:
    for metric in METRICS:
        assert metric.definition and metric.unit and metric.source
        for stage in STAGES:
            for features in (COLORS, PROBE, HUB):
                band = metric.band(stage, features)
                assert band.good != band.bad
    assert len({metric.id for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("band", "values"),
    [
        (Band(good=1.0, bad=2.0), {1.0: "good", 0.2: "good", 1.5: "fair", 2.0: "bad", 9.0: "bad"}),
        (Band(good=0.9, bad=0.7), {0.9: "good", 1.0: "good", 0.8: "fair", 0.7: "bad", 0.0: "bad"}),
    ],
)
def test_a_band_knows_which_way_is_better(band: Band, values: dict[float, str]) -> None:
    assert {number: band.verdict(number).value for number in values} == values
    assert band.verdict(None) is Verdict.unknown


def test_the_docs_table_names_every_metric() -> None:
    table = markdown()
    assert all(f"`{metric.id}`" in table and metric.source in table for metric in METRICS)
    assert len({line.count(" | ") for line in table.splitlines()[2:]}) == 1


def test_a_score_has_a_value_or_a_reason_for_every_metric(clip: list[Image]) -> None:
    for found in (score(clip), score(clip[:2]), score([])):
        assert set(found.values) == {metric.id for metric in METRICS}
        missing = {name for name, number in found.values.items() if number is None}
        assert missing == set(found.reasons)


# Seams


@given(st.integers(30, 80), st.integers(9, 16), st.floats(0.1, 50), st.floats(1.1, 20))
def test_joins_that_are_k_times_worse_have_ratio_k(count: int, gap: int, level: float, k: float) -> None:
    joins = tuple(range(gap, count, gap))
    steps = np.full(count, level)
    steps[np.asarray(joins) - 1] *= k
    found = seams(steps, joins, 0.0)
    assert isinstance(found, Seams)
    assert found.median == pytest.approx(k) and found.worst == pytest.approx(k)
    assert found.ratios == pytest.approx([k] * len(joins))


def test_one_bad_join_is_the_worst_and_not_the_median() -> None:
    steps = np.ones(60)
    steps[35] = 3.0
    found = seams(steps, (12, 24, 36, 48), 0.0)
    assert isinstance(found, Seams)
    assert (found.median, found.worst) == (1.0, 3.0)
    assert dict(zip(found.joins, found.ratios, strict=True))[36] == 3.0


def test_natural_motion_at_an_unlucky_phase_is_divided_out() -> None:
    rng = np.random.default_rng(0)
    raw: list[float] = []
    fair: list[float] = []
    for _ in range(200):
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(8, 12)
        steps = 1.0 + 0.8 * np.maximum(0, np.sin(2 * np.pi * np.arange(64) / period + phase)) ** 3
        found = seams(steps, (16, 28, 40, 52, 64), 0.0)
        assert isinstance(found, Seams)
        raw.append(found.raw_worst)
        fair.append(found.worst)
    assert np.mean(raw) > 1.3
    assert np.mean(fair) == pytest.approx(1.0, abs=0.05)


def test_a_cut_elsewhere_does_not_hide_a_bad_join() -> None:
    steps = np.ones(60)
    steps[[35, 20]] = 3.0, 30.0
    found = seams(steps, (12, 24, 36, 48), 0.0)
    assert isinstance(found, Seams) and found.worst == pytest.approx(3.0)


@pytest.mark.parametrize("joins", [(), (90,)])
def test_without_a_join_there_is_a_reason(joins: tuple[int, ...]) -> None:
    assert seams(np.ones(60), joins, 0.0) == "there is no join"


def test_a_clip_of_hardly_more_than_joins_has_no_ratio() -> None:
    found = seams(np.ones(4), (1, 2, 3), 0.0)
    assert isinstance(found, str) and "too short" in found


@given(st.lists(st.floats(0, 10), min_size=8, max_size=40), st.sampled_from([8, 9, 10, 12]))
def test_source_steps_share_out_what_was_measured(values: list[float], source_fps: int) -> None:
    steps = source_steps(values, 24, source_fps)
    whole = [step for step in steps if np.isfinite(step)]
    assert all(min(values) - 1e-9 <= step <= max(values) + 1e-9 for step in whole)
    if len(values) * source_fps % 24 == 0:
        assert np.mean(whole) == pytest.approx(np.mean(values), abs=1e-9)


def test_source_steps_of_a_multiple_are_plain_means() -> None:
    steps = source_steps([1, 2, 3, 4, 5, 6, 7], 24, 8)
    assert steps[:2].tolist() == pytest.approx([2, 5])
    assert np.isnan(steps[2])  # a third of it was measured


# Two and three frames


def test_warping_back_undoes_a_shift() -> None:
    frame = drawn(1, size=192)[0]
    second = np.roll(frame, 5, axis=1)
    flow, back = DisFlow()(frame, second)
    inner = np.s_[20:-20, 20:-20]
    assert float(np.median(flow[inner][..., 0])) == pytest.approx(5, abs=0.3)
    before = np.abs(frame[inner].astype(int) - second[inner]).mean()
    after = np.abs(frame[inner].astype(int) - warped(second, flow)[inner]).mean()
    assert after < 0.25 * before
    assert visible(flow, back)[inner].mean() > 0.8


def test_pixels_that_disappear_are_not_seen() -> None:
    ground = cv2.resize(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8), (SIDE, SIDE))
    first, second = ground.copy(), ground.copy()
    first[40:80, 20:60], second[40:80, 50:90] = (250, 40, 40), (250, 40, 40)
    seen = measure_pair(first, second, DisFlow()).seen_mask
    assert seen[:, 100:].mean() > 0.9
    assert seen[42:78, 62:88].mean() < 0.6  # what the square moves over


def test_a_lighter_frame_is_a_colour_step_and_no_motion() -> None:
    frame = drawn(1)[0] // 2 + 40
    pair = measure_pair(frame, frame + np.uint8(8), DisFlow())
    # 8 grey levels are about 3.2 of L in the middle greys.
    assert pair.color_step == pytest.approx(3.2, abs=0.6)
    assert pair.color_change[0] == pytest.approx(3.2, abs=0.6)
    assert pair.warp_error == pytest.approx(8, abs=0.5)
    assert pair.speed < 0.1


def test_the_middle_of_three_alike_does_not_flicker() -> None:
    frame = drawn(1)[0] // 2 + 40
    flows = DisFlow()
    same, lighter = measure_pair(frame, frame, flows), measure_pair(frame, frame + np.uint8(6), flows)
    darker = measure_pair(frame + np.uint8(6), frame, flows)
    assert measure_middle(same, same).flicker == 0
    assert measure_middle(lighter, darker).flicker == pytest.approx(6, abs=0.3)
    assert measure_middle(lighter, darker).quiet_flicker == pytest.approx(6, abs=0.3)


def test_uniform_motion_is_smooth_and_a_turn_is_not() -> None:
    frame = drawn(1, size=192)[0]
    shifted = [np.roll(frame, shift, axis=1) for shift in (0, 4, 8, 4)]
    pairs = [measure_pair(a, b, DisFlow()) for a, b in pairwise(shifted)]
    on, turn = measure_middle(pairs[0], pairs[1]), measure_middle(pairs[1], pairs[2])
    assert on.acceleration < 0.15 * on.speeds
    assert turn.acceleration > 0.8 * turn.speeds


def test_blur_takes_sharpness_away() -> None:
    frame = drawn(1, size=256)[0]
    found = [sharpness(cv2.GaussianBlur(frame, (0, 0), sigma) if sigma else frame) for sigma in (0, 1, 2, 4)]
    assert found == sorted(found, reverse=True) and found[0] > 1.5 * found[-1]


# The streaming scorer


def test_the_delivered_size_does_not_matter(clip: list[Image]) -> None:
    large = [cv2.resize(frame, (512, 512), interpolation=cv2.INTER_LANCZOS4) for frame in drawn(14, size=256)]
    small, big = score(drawn(14, size=256), (6,)), score([np.asarray(f, np.uint8) for f in large], (6,))
    for name in ("median_flow", "warp_error", "seam_ratio", "sharpness"):
        assert value(big, name) == pytest.approx(value(small, name), rel=0.1), name


def test_held_frames_are_measured_as_the_motion_that_they_show(card: Scorecard) -> None:
    before, after = card.generated, card.final
    for name in ("median_flow", "dynamic_degree", "seam_ratio", "seam_worst", "seam_motion"):
        assert value(after, name) == pytest.approx(value(before, name), rel=0.03), name
    assert value(after, "color_step") == pytest.approx(value(before, "color_step"), abs=0.05)
    assert [join.frame for join in after.joins] == [join.frame for join in before.joins]


def test_motion_is_counted_by_the_second_not_by_the_frame() -> None:
    slow, fast = score(drawn(17), (8,)), score(drawn(49, fps=24), (8,), 24, 8)
    assert value(fast, "median_flow") == pytest.approx(value(slow, "median_flow"), rel=0.3)
    assert value(fast, "motion_smoothness") > value(slow, "motion_smoothness")


def test_a_cut_is_counted_once_at_its_time_also_when_it_is_a_join() -> None:
    frames = drawn(14) + drawn(14, seed=6)
    found = score(frames, (8, 14, 20))
    assert found.cuts == (14 / 8,) and value(found, "scene_cuts") == 1
    worst = max(found.joins, key=lambda join: join.warp_ratio)
    assert worst.frame == 14 and value(found, "seam_worst") > 1.6


def test_a_hand_that_one_frame_shows_is_a_ghost_of_its_join_alone() -> None:
    frames = drawn(30, size=128, action="walking")
    frames[14] = frames[14].copy()
    cv2.circle(frames[14], (24, 64), 9, (250, 225, 205), -1)
    found = score(frames, (8, 14, 20, 29))
    ratios = {join.frame: join.ghost_ratio for join in found.joins}
    assert max(ratios, key=lambda at: ratios[at] or 0) == 14 and (ratios[14] or 0) > 3
    assert ratios[29] is None  # nothing comes after it
    assert max(join.warp_ratio for join in found.joins) < 1.6
    assert "last frame" in score(frames, (29,)).reasons["seam_ghost"]


def test_what_moves_is_no_ghost_and_what_comes_to_stay_is_none() -> None:
    ground = np.random.default_rng(2).integers(60, 200, (128, 128, 3)).astype(np.uint8)
    ground = np.asarray(cv2.GaussianBlur(ground, (0, 0), 4), np.uint8)

    def at(*disc: int) -> Image:
        return (
            np.asarray(cv2.circle(ground.copy(), disc, 10, (250, 225, 205), -1), np.uint8) if disc else ground
        )

    def ghost(*clip: Image) -> float:
        first, second = (measure_pair(a, b, DisFlow()) for a, b in pairwise(clip))
        return measure_middle(first, second).ghost

    flash = ghost(at(), at(64, 64), at())
    assert flash > 40
    assert ghost(at(), at(64, 64), at(64, 64)) < 0.02 * flash
    assert ghost(at(58, 64), at(64, 64), at(70, 64)) < 0.2 * flash


def test_memory_does_not_grow_with_the_clip() -> None:
    frames = drawn(8, size=64)
    scorer = ClipScorer(joins=range(16, 600, 12), fps=8)
    tracemalloc.start()
    held: list[int] = []
    for index in range(360):
        scorer.push(frames[index % 8])
        if index in (60, 359):
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] - held[0] < 300 * 4096  # numbers, and the pictures of 25 joins; a frame alone has 12 kB


def test_watching_changes_nothing(clip: list[Image]) -> None:
    scorer = ClipScorer(joins=JOINS, fps=8)
    passed = list(scorer.watch(iter(clip[:4])))
    assert all(a is b for a, b in zip(passed, clip, strict=False)) and scorer.frames == 4


def test_pictures_lie_around_the_join_at_both_rates(card: Scorecard) -> None:
    for found, at in ((card.generated, 6), (card.final, 18)):
        shown = [picture for picture in found.pictures if picture.join == 6]
        assert [picture.frame for picture in shown] == list(range(at - 3, at + 3))
        assert [picture.offset for picture in shown] == [-3, -2, -1, 0, 1, 2]
        assert cv2.imdecode(np.frombuffer(shown[0].jpeg, np.uint8), cv2.IMREAD_COLOR) is not None


# Looks


def test_looks_are_thinned_out_evenly() -> None:
    looks = Looks()
    one = Look(subject=np.float32([1]), background=np.float32([1]))
    for frame in range(1000):
        looks.add(frame, one)
    assert len(looks.looks) <= MOST_LOOKS
    assert len({b - a for a, b in pairwise(looks.frames)}) == 1
    assert looks.frames[0] == 0 and looks.frames[-1] > 900


def test_another_girl_is_less_alike_than_the_same_one_moving() -> None:
    scene = sample_scene(np.random.default_rng(3), hair_color="blue", outfit_color="red", camera="static")
    other = replace(scene, hair_color="blonde", outfit_color="white")
    first, moved, changed = (
        ColorsAndEdges().look(draw_frame(s, time, SIDE).rgb)
        for s, time in ((scene, 0.0), (scene, 0.5), (other, 0.5))
    )
    assert first.subject @ moved.subject > 0.97
    assert first.subject @ changed.subject < first.subject @ moved.subject - 0.05
    assert first.background @ changed.background > 0.95


def test_consistency_is_by_distance() -> None:
    angles = np.linspace(0, np.pi / 2, 9)
    vectors = [np.float32([np.cos(angle), np.sin(angle)]) for angle in angles]
    found = consistency(vectors, [float(index) for index in range(9)])
    assert found is not None
    assert found.likeness == pytest.approx(
        [np.cos(angles[round(apart)]) for apart in found.seconds], abs=1e-6
    )
    assert list(found.likeness) == sorted(found.likeness, reverse=True)
    assert found.far == pytest.approx(np.mean(np.repeat(np.cos(angles[4:]), range(5, 0, -1))), abs=1e-6)


# Prompts


def test_every_caption_is_read_as_it_was_written() -> None:
    rng = np.random.default_rng(5)
    for _ in range(600):
        text, labels = caption_with_labels(sample_scene(rng), rng)
        wanted = {name: ATTRIBUTES[name][index] for name, index in labels.items() if index >= 0}
        assert asked_attributes(text) == wanted, text


def test_emphasis_and_lora_tags_hide_no_attribute() -> None:
    prompt = "(masterpiece:1.2), <lora:pastelAnimeXL:0.8>, (silver ponytail:1.3), Red Kimono, sunset"
    assert asked_attributes(prompt) == {
        "hair_color": "silver",
        "hair_style": "ponytail",
        "outfit": "kimono",
        "outfit_color": "red",
        "background": "sunset",
    }


# Plots and page


def svg(drawn: Chart) -> str:
    return rendered(TEMPLATE, chart=drawn)


def test_a_chart_keeps_its_lines_inside_and_its_peaks() -> None:
    xs = [index / 100 for index in range(5000)]
    ys = [1.0] * 5000
    ys[3333] = 9.0
    levels = [Level(y=2, name="good", style="g")]
    drawing = svg(chart([Line(xs=xs, ys=ys, style="before")], label="a < b", levels=levels))
    path = drawing.split('class="line before" d="M')[1].split('"')[0]
    points = [tuple(map(float, point.split())) for point in path.split("L")]
    assert len(points) <= MOST_POINTS
    assert all(0 <= x <= 520 and 0 <= y <= 210 for x, y in points)
    heights = sorted({y for _, y in points})
    assert len(heights) == 2 and heights[1] - heights[0] > 100
    assert "a &lt; b" in drawing


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_a_chart_of_anything_has_finite_coordinates(ys: list[float]) -> None:
    lines, dots = [Line(xs=list(range(len(ys))), ys=ys, style="x")], [Dot(x=0, y=ys[0], style="d", text="t")]
    drawing = svg(chart(lines, label="l", fixed=Range(low=None), dots=dots))
    assert "nan" not in drawing and "inf" not in drawing


class _Page(HTMLParser):
    """The elements of a page and everything in it that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.loads += [text or "" for name, text in attrs if name in ("src", "href", "srcset", "data")]


def test_the_page_shows_every_number_and_loads_nothing(card: Scorecard) -> None:
    text = page(replace(card, title=HOSTILE, origin=HOSTILE), f"../{HOSTILE}.mp4")
    read = _Page()
    read.feed(text)
    assert read.tags.count("svg") == 8 and read.tags.count("img") == 24
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert read.loads.pop(0) == f"../{HOSTILE}.mp4"
    assert read.loads and all(load.startswith("data:image/jpeg;base64,") for load in read.loads)
    assert "http:" not in text and "https:" not in text and "url(" not in text
    assert all(metric.title in text for metric in METRICS)


def test_scorecard_json_holds_both_stages_and_strict_numbers(card: Scorecard, tmp_path: Path) -> None:
    data, html = write(card, tmp_path / "reports")
    assert (data.name, html.name) == (SCORECARD, REPORT)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(data.read_text(), parse_constant=refuse)
    for stage in STAGES:
        assert set(read[stage]["values"]) == set(read[stage]["verdicts"]) == {m.id for m in METRICS}
    assert read["generated"]["values"]["median_flow"] == pytest.approx(
        value(card.generated, "median_flow"), abs=1e-3
    )
    assert len(list((tmp_path / "reports").iterdir())) == 2


def test_the_page_shows_the_clip_from_wherever_it_lies(card: Scorecard, tmp_path: Path) -> None:
    for folder, address in (("run/reports", "../video%201.mp4"), ("elsewhere", "../run/video%201.mp4")):
        _, html = write(card, tmp_path / folder, tmp_path / "run" / "video 1.mp4")
        assert f'src="{address}"' in html.read_text()


def test_bad_numbers_come_with_what_to_type(card: Scorecard) -> None:
    still = replace(card, final=score([drawn(1)[0]] * 22))
    assert "seed=random" in advice(still)
    for told in (brief(still), as_text(still), page(still)):
        assert all(way in told for way in advice(still))
    for way in ADVICE.values():
        assert compose("video", [way])
    assert set(ADVICE) == {metric.group for metric in METRICS}


def test_the_terminal_table_marks_what_is_bad(card: Scorecard) -> None:
    still = score([drawn(1)[0]] * 22)
    text = as_text(replace(card, final=still))
    line = next(line for line in text.splitlines() if line.startswith("Motion  "))
    assert line.split()[2:4] == ["0", "!"]


def test_scoring_needs_no_torch() -> None:
    code = (
        "import sys, pokora_anime.cli.judge.score, pokora_anime.quality.finished_score;"
        "from pokora_anime.quality.metrics import clip_scorer, metric_selftest, scorer_backends;"
        "from pokora_anime.quality.report import scorecard_page;"
        "assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
