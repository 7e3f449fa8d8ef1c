"""Face and clothes over the seconds: who is shown, by the parts that her pose tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.quality.live_score import LiveScore
from pokora_anime.quality.metrics.clip_scorer import ClipScorer
from pokora_anime.quality.metrics.features import ColorsAndEdges
from pokora_anime.quality.metrics.figure_parts import PARTS, Joints, clothes_box, described, face_box
from pokora_anime.quality.metrics.frame_judges import PosedColors
from pokora_anime.quality.metrics.score_summary import Score, worst_of
from pokora_anime.quality.report.scorecard_page import page
from pokora_anime.quality.scorecard import Scorecard
from pokora_anime.quality.shot_scores import merged
from pokora_anime.schema.settings import Family, VideoConfig

SIDE, FPS, SECONDS = 128, 4, 4
SCENE = sample_scene(
    np.random.default_rng(5), hair_color="blue", outfit_color="red", eye_color="green",
    action="waving", shot="upper body", camera="static", expression="smile",
)  # fmt: skip
Change = Callable[[int], Scene]


def scored(change: Change, describer: ColorsAndEdges | None = None) -> Score:
    """A clip of the drawn world; `change` tells its scene second by second."""
    frames = [draw_frame(change(index // FPS), index / FPS, SIDE) for index in range(FPS * SECONDS + 1)]
    joints = iter(frames)
    scorer = ClipScorer(joins=(), fps=FPS, describer=describer or PosedColors(lambda _: next(joints).joints))
    for frame in frames:
        scorer.push(frame.rgb)
    return scorer.result()


def changed(second: int, **fields: str) -> Change:
    return lambda at: replace(SCENE, **fields) if at == second else SCENE


@pytest.mark.parametrize(
    ("fields", "part", "other"),
    [
        ({"outfit_color": "white"}, "clothes", "face"),
        ({"hair_color": "blonde", "eye_color": "brown"}, "face", "clothes"),
    ],
)
def test_the_second_in_which_a_part_is_another_is_named(
    fields: dict[str, str], part: str, other: str
) -> None:
    score = scored(changed(2, **fields))
    worst, beside = worst_of(score, part), worst_of(score, other)
    assert worst is not None and beside is not None
    assert worst.second == 2.5
    assert worst.likeness < 0.95 < 0.98 < beside.likeness
    told = score.curves[f"{part}_likeness"]
    assert told.seconds == (0.5, 1.5, 2.5, 3.5)  # the one frame after the last whole second is none
    assert told.values[0] == pytest.approx(1) and min(told.values[1], told.values[3]) > 0.98


def test_parts_change_no_other_number() -> None:
    with_parts, without = scored(lambda _: SCENE), scored(lambda _: SCENE, ColorsAndEdges())
    assert with_parts.values == without.values and with_parts.reasons == without.reasons
    names = {f"{part}_likeness" for part in PARTS}
    assert set(with_parts.curves) - set(without.curves) == names
    assert all(with_parts.curves[name] == curve for name, curve in without.curves.items())


def test_without_a_reader_the_planned_poses_tell_where_they_are() -> None:
    config = VideoConfig()
    config.base.family, config.base.width, config.base.height = Family.sdxl, 2 * SIDE, 2 * SIDE
    config.shot.prompt, config.shot.fps = "1girl", FPS
    frames = [draw_frame(SCENE, index / FPS, SIDE) for index in range(FPS * 2)]
    score = LiveScore.start(config, (), "cpu", light=True)
    score.plan(0, np.stack([frame.joints * [2, 2, 1] for frame in frames]).astype(np.float32))
    deque(score.watch_generated(frame.rgb for frame in frames), maxlen=0)
    deque(score.watch_delivered(frame.rgb for frame in frames), maxlen=0)
    card, read = score.card(), scored(lambda _: SCENE)
    for part in PARTS:
        told, wanted = (one.curves[f"{part}_likeness"] for one in (card.generated, read))
        assert told.values == pytest.approx(wanted.values[:2]) and told.seconds == wanted.seconds[:2]
        assert f"{part}_likeness" not in card.final.curves


def test_what_no_pose_shows_is_not_told() -> None:
    frame = draw_frame(SCENE, 0.0, SIDE)
    away: Joints = frame.joints.copy()
    away[[0, 14, 15], 2] = 0  # she looks away
    assert face_box(away) is None and set(described(frame.rgb, away)) == {"clothes"}
    away[2, 2] = 0
    assert clothes_box(away) is None and described(frame.rgb, away) == {}
    outside: Joints = frame.joints.copy()
    outside[:, 0] += 2 * SIDE
    assert described(frame.rgb, outside) == {} == described(frame.rgb, None)


def test_the_report_draws_both_and_names_the_worst_second() -> None:
    score, unseen = scored(changed(2, outfit_color="white")), scored(lambda _: SCENE, ColorsAndEdges())
    card = Scorecard(title="1girl", origin="drawn", generated=score, final=score)
    shown = page(card)
    assert "Face over time" in shown and "Clothes over time" in shown and "least at 2.5 s: 0." in shown
    blind = page(replace(card, generated=unseen, final=unseen))
    assert "no pose tells where the face is" in blind and "least at" not in blind
    both = merged([card, card]).generated.curves["clothes_likeness"]
    assert both.seconds[4:] == pytest.approx([one + 4.25 for one in score.curves["clothes_likeness"].seconds])
