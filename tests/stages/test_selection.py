"""Of several keyframes the one that shows most of the prompt begins the clip, and the record proves it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from support import once_per_session as once
from support import replay_runs
from support.forged_run import Forgery, codes

from pokora_anime.cli.render.render import parse
from pokora_anime.config.compose import compose_video
from pokora_anime.errors import ConfigError
from pokora_anime.nano.probe import AttributeProbe
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.networks.extraction.picture_judge import ProbeJudge
from pokora_anime.quality.metrics.scorer_backends import PROBE_FOLDER
from pokora_anime.quality.overall import overall
from pokora_anime.replay.examine_replay import replay
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import Step, read_record
from pokora_anime.verify.verdict import Verdict

PROMPT = "shot.prompt=1girl, blue hair, red eyes, kimono, beach"


@cache
def chosen() -> Path:
    """A clip that goes on from the best of three keyframes."""
    return once.made("best-of", lambda root: replay_runs.rendered(root, "best_of=3", PROMPT))


def steps(folder: Path, op: str) -> list[Step]:
    return [step for step in read_record(Folder(folder, LIMITS), LIMITS).steps if step.op == op]


@pytest.fixture
def forged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forgery:
    monkeypatch.setattr("support.forged_run.honest", chosen)
    return Forgery(tmp_path)


def test_the_judge_prefers_what_the_prompt_names() -> None:
    judge = ProbeJudge(AttributeProbe.from_pretrained(PROBE_FOLDER))
    scene = sample_scene(np.random.default_rng(4), action="standing", hair_color="blue", style="plain")
    picture = draw_frame(scene, 0.0, 128).rgb
    assert judge(picture, "1girl, blue hair") > 0.9 > 0.2 > judge(picture, "1girl, pink hair")
    assert 0 < judge(picture, "a thing") <= 1  # nothing that it knows is named


def test_all_candidates_and_their_scores_are_recorded_and_the_best_goes_on() -> None:
    drawn, (taken,) = steps(chosen(), "keyframe"), steps(chosen(), "selection")
    assert [step.params["part"] for step in drawn] == [["keyframe", number] for number in range(3)]
    assert taken.parents[1:] == tuple(step.id for step in drawn)
    assert all(taken.id in step.parents for step in steps(chosen(), "motion"))
    with Pictures.open(chosen() / "reports" / "keyframes.png") as sheet:
        assert sheet.width > sheet.height


def test_verification_finds_nothing_wrong_with_it() -> None:
    assert {code for code in codes(chosen()) if code.startswith(("INT-", "POL-", "GATE-"))} == set()


def test_every_candidate_and_the_scores_are_replayed_bit_for_bit() -> None:
    report, _ = replay(chosen(), replay_runs.ALL)
    kinds = [part.name.split()[0] for part in report.parts]
    assert kinds.count("keyframe") == 3 and kinds.count("selection") == 1
    assert [part.exact for part in report.parts] == [True] * len(report.parts)
    assert report.verdict is Verdict.passed


def test_another_keyframe_than_the_best_is_refused(forged: Forgery) -> None:
    taken = forged.of("selection")
    stored = forged.arrays(taken)
    assert len(set(stored["scores"].tolist())) == 3
    forged.store(taken, {**stored, "scores": np.roll(stored["scores"], 1)})
    assert "POL-CHOICE" in codes(forged.seal())


def test_fewer_candidates_than_the_config_asks_for_are_refused(forged: Forgery) -> None:
    forged.record["summary"]["config"]["best_of"] = 4
    assert {"POL-CHAIN", "POL-PARAMS"} <= set(codes(forged.seal()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["best_of=0"], "1 to 16"),
        (["best_of=17"], "1 to 16"),
        (["best_of=two"], "whole number"),
        (["best_of=4", "keyframe=none", "control=none"], "there is no keyframe to choose"),
    ],
)
def test_what_cannot_be_chosen_from_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        compose_video(words)
    assert "\n" not in caught.value.line()


def test_a_still_that_is_animated_is_the_keyframe() -> None:
    still = replay_runs.stills()
    with pytest.raises(ConfigError, match="the still is the keyframe"):
        parse("video", ["--from", f"{still}#1", "best_of=4"])


def test_the_overall_score_counts_where_numbers_lie_in_their_bands() -> None:
    card = {
        stage: {"features": "nano probe", "values": {"flicker": value, "sharpness": None}}
        for stage, value in (("generated", 1.2), ("final", 1.3))
    }
    assert overall(card) == pytest.approx((1 + 0.5) / 2)


@pytest.mark.parametrize(
    "values",
    [None, [], {"flicker": "1"}, {"flicker": True}, {"flicker": float("nan")}, {"flicker": 10**400}],
)
def test_a_card_that_anybody_wrote_gives_no_overall_score(values: object) -> None:
    assert overall({"generated": {"features": "x", "values": values}, "final": "none"}) is None
    strange = {"prompt_adherence": 1, "subject_consistency": 1, "beauty": 1}  # some know no such features
    assert overall({"final": {"features": "x", "values": strange}}) == 1
