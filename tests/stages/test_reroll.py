"""A segment whose join fails is made again, alone, with the next seed; the record says so and is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support import replay_runs
from support.forged_run import Forgery, codes
from torch import Tensor

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.seed_noise import expected
from pokora_anime.provenance.stage_records import Image, Segment
from pokora_anime.quality.joining import Steps, failing
from pokora_anime.quality.metrics.optical_flow import DisFlow
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.stages.motion import segments as motion
from pokora_anime.stages.motion.reroll import Attempts, names
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import Step, read_record
from pokora_anime.verify.verdict import Verdict

REROLL = "quality.reroll=2"


def moving(first: int, frames: int, *, warm: float = 1.0, seed: int = 1) -> list[Image]:
    scene = sample_scene(np.random.default_rng(seed), action="waving", camera="static", style="plain")
    tint = np.array([warm, 1.0, 1 / warm])
    drawn = (draw_frame(scene, (first + i) / 8, 128).rgb * tint for i in range(frames))
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in drawn]


def judged(second: list[Image]) -> float:
    flows = DisFlow()
    before = Steps.of(moving(0, 12), flows)
    return failing(Steps.of(second, flows), [before], joined=True)


# The judge


def test_a_segment_that_goes_on_does_not_fail() -> None:
    assert judged(moving(11, 13)) < 1


@pytest.mark.parametrize("second", ["another girl", "warmer"])
def test_an_injected_seam_fails(second: str) -> None:
    last = moving(11, 1)
    after = moving(12, 12, seed=9) if second == "another girl" else moving(12, 12, warm=1.08)
    assert judged(last + after) > 1


@pytest.mark.parametrize(("frame", "fails"), [(1, True), (5, False)])
def test_a_hand_that_the_first_new_frame_alone_shows_fails(frame: int, fails: bool) -> None:
    after = moving(11, 13)
    cv2.circle(after[frame], (24, 64), 9, (250, 225, 205), -1)
    assert (judged(after) > 1) == fails


@pytest.mark.parametrize("new", [1, 2])
def test_where_there_is_no_ghost_to_compare_with_none_is_judged(new: int) -> None:
    steps = Steps.of(moving(11, new + 1), DisFlow())
    assert np.isfinite(steps.ghost).sum() == new - 1
    assert failing(steps, [], joined=True) < 2  # nothing was kept of the segment before: a resumed run


def test_a_cut_inside_a_segment_fails() -> None:
    assert judged(moving(11, 6) + moving(17, 7, seed=9)) > 1


def test_a_first_segment_without_a_join_is_judged_by_its_cuts_alone() -> None:
    steps = Steps.of(moving(0, 6), DisFlow())
    assert failing(steps, [], joined=False) < 1


# The choice


def segment(index: int) -> Segment:
    return Segment(index=index, start=0, known=0, latents=torch.zeros(1), node=None)  # type: ignore[arg-type]


def test_the_first_attempt_that_passes_is_taken_and_else_the_best() -> None:
    figures = {0: 3.0, 1: 1.5, 2: 0.9, 3: 0.1}
    notes: list[str] = []

    def chosen(last: int) -> int:
        attempts = Attempts(of=lambda _: range(last + 1), failing=lambda one: figures[one.index])
        return attempts.best(0, segment, notes.append).index

    assert [chosen(0), chosen(1), chosen(3)] == [0, 1, 2]
    assert len(notes) == 0 + 1 + 2 and "3.00" in notes[0]


def test_every_attempt_has_a_noise_of_its_own_that_can_be_derived_again() -> None:
    derivation: dict[str, Any] = {"kind": "frames", "start": 3, "share": 0.5}
    params: dict[str, Any] = {"seed": 7, "shape": [4, 2, 4, 4], "derivation": derivation}
    again = {**params, "derivation": {**derivation, "attempt": 1}}
    assert np.abs(expected(params) - expected(again)).max() > 0.5
    assert names(("motion", 3), 0) == ("motion", 3) and names(("motion", 3), 2) == ("motion", 3, 2)


# A whole run


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments that hardly move, the first attempt at the second one with a seam injected by hand."""
    patch = pytest.MonkeyPatch()
    honest = motion.sample
    spoiled: list[bool] = []

    def with_seam(*arguments: Any) -> Tensor:
        # What nano draws at 64 pixels in two steps fails by itself now and then.
        latents, known = honest(*arguments), arguments[3]
        fresh = known[:, :, -1:] + 0.005 * latents[:, :, known.shape[2] :]
        if known.shape[2] > 1 and not spoiled:  # the first segment knows one frame, the keyframe
            spoiled.append(True)
            fresh = fresh + 2.0
        return torch.cat([known, fresh], dim=2)

    patch.setattr(motion, "sample", with_seam)
    folder = replay_runs.rendered(
        tmp_path_factory.mktemp("seam"), REROLL, "shot.seconds=1.5", "motion.deflicker=0"
    )
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest run of two segments whose second one was made twice, as told."""
    return replay_runs.made_twice(tmp_path_factory.mktemp("again"), REROLL)


def segments(folder: Path) -> list[Step]:
    return [step for step in read_record(Folder(folder, LIMITS), LIMITS).steps if step.op == "motion"]


def test_a_seam_injected_by_hand_is_found_and_only_that_segment_made_again(broken: Path) -> None:
    drawn = [step.params["generator"] for step in segments(broken)]
    assert drawn == [["motion", 0], ["motion", 1, 1], ["motion", 2]]
    assert len(list((broken / "stages").glob("motion-*"))) == 3


def test_verification_finds_nothing_wrong_with_it(again: Path) -> None:
    assert {code for code in codes(again) if code.startswith(("INT-", "POL-", "GATE-"))} == set()


def test_replay_makes_the_attempt_that_was_taken(again: Path) -> None:
    assert [step.params["generator"] for step in segments(again)] == [["motion", 0], ["motion", 1, 1]]
    report, _ = replay(again, Question(nonce="7", nodes=99, wishes=Wishes()))
    assert [part.exact for part in report.parts] == [True] * len(report.parts)
    assert report.verdict is Verdict.passed


def test_an_attempt_that_the_config_does_not_allow_is_refused(
    again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "POL-PLACE" not in codes(again)
    monkeypatch.setattr("support.forged_run.honest", lambda: again)
    forgery = Forgery(tmp_path)
    forgery.record["summary"]["config"]["quality"]["reroll"] = 0
    assert "POL-PLACE" in codes(forgery.seal())
