"""Replay: which parts a nonce picks, what figures come to, and that an honest run comes out the same."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pictures
from support import replay_runs
from support.forged_run import zipped

from pokora_anime.catalogue import needed_weights
from pokora_anime.cli.judge import replay as command
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, WeightsError
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.replay.replay_parts import FRAMES, chance_missed, choose, replayable
from pokora_anime.replay.segment_frames import belonging
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import Record, read_record
from pokora_anime.verify.verdict import Verdict
from pokora_anime.verify.video import thresholds
from pokora_anime.verify.video.frame_figures import figures, picture_figures, worst

ALL = 99


@pytest.fixture(scope="module")
def record() -> Record:
    return read_record(Folder(replay_runs.honest(), LIMITS), LIMITS)


# What is picked


def test_a_nonce_picks_the_same_parts_every_time(record: Record) -> None:
    picked = [unit.key for unit in choose(record, "seven", 7).units]
    assert picked == [unit.key for unit in choose(record, "seven", 7).units]
    assert len(picked) == len(set(picked)) == 7
    others = {tuple(unit.key for unit in choose(record, str(nonce), 7).units) for nonce in range(20)}
    assert len(others) > 5


@given(nonce=st.text(max_size=20), count=st.integers(0, 20))
def test_doors_noise_keyframe_and_one_segment_are_always_picked(nonce: str, count: int) -> None:
    record = read_record(Folder(replay_runs.honest(), LIMITS), LIMITS)
    choice = choose(record, nonce, count)
    every = replayable(record)
    assert len(choice.units) == min(max(count, 5), len(every))
    kinds = [unit.kind for unit in choice.units]
    assert {"prompt", "noise", "keyframe", "control", FRAMES} <= set(kinds)
    first = next(unit.step for unit in choice.units if unit.kind == "keyframe")
    assert set(first.parents) & {unit.step.id for unit in choice.units if unit.kind == "noise"}


def test_every_part_is_picked_by_some_nonce(record: Record) -> None:
    picked = {unit.key for nonce in range(60) for unit in choose(record, str(nonce), 6).units}
    assert picked == {unit.key for unit in replayable(record)}


@pytest.mark.parametrize(("parts", "replayed_", "forged"), [(6, 2, 1), (6, 0, 1), (7, 3, 2), (5, 5, 1)])
def test_the_chance_to_miss_is_that_of_counting(parts: int, replayed_: int, forged: int) -> None:
    draws = list(combinations(range(parts), replayed_))
    missed = sum(not set(draw) & set(range(forged)) for draw in draws) / len(draws)
    assert chance_missed(parts, replayed_, forged) == pytest.approx(missed)


@pytest.mark.parametrize(
    ("interpolation", "fps", "out"),
    [("flow", 8, 24), ("flow", 12, 24), ("flow", 8, 30), ("flow", 10, 24), ("none", 8, 24), ("none", 12, 24)],
)
def test_the_segments_frames_are_the_clip_each_once(interpolation: str, fps: int, out: int) -> None:
    from pokora_anime.timeline import frame_timing, segment_plan

    asked = [f"shot.fps={fps}", f"finish.fps={out}", f"finish.interpolation={interpolation}"]
    config = compose("video", [*asked, "control=none", "base=nano"])
    assert isinstance(config, VideoConfig)
    planned = segment_plan.of(config, frame_timing.frames_generated(config))
    found: list[int] = []
    before = 0
    for span in planned:
        stop = span.start + span.frames
        found += belonging(before, stop, config)
        before = stop
    assert found == list(range(round(config.shot.seconds * out)))


# What figures come to


def test_figures_of_numbers() -> None:
    one = np.full((2, 3), 2.0, np.float32)
    other = one.copy()
    other[0, 0] = 3.0
    found = figures(one, other)
    assert found is not None
    assert (found.most, found.rms) == (1.0, pytest.approx(math.sqrt(1 / 6) / 2))
    assert figures(one, other[:1]) is None


def test_figures_of_pictures_see_a_small_patch() -> None:
    one = np.full((64, 64, 3), 100, np.uint8)
    other = one.copy()
    other[8:16, 8:16] = 200
    found = picture_figures(one, other)
    assert found.block == 100
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / (100**2 / 64)))
    assert found.judge(thresholds.limit(thresholds.HALF, "picture")) is Verdict.failed
    equal = picture_figures(one, one)
    assert equal.psnr == math.inf and equal.judge(thresholds.encoded()) is Verdict.passed


def test_not_a_number_never_passes() -> None:
    one = np.ones((2, 2), np.float32)
    found = figures(one, one * np.float32(np.nan))
    assert found is not None
    assert found.judge(thresholds.limit(thresholds.HALF, "latent")) is Verdict.failed


def test_every_limit_leaves_room_for_a_person_or_none_at_all() -> None:
    formats = (thresholds.FULL, thresholds.HALF)
    limits = [*thresholds.LIMITS.values(), *(thresholds.encoded(one) for one in formats)]
    for limit in limits:
        passes, fails = limit.passes, limit.fails
        assert passes.rms <= fails.rms and passes.most <= fails.most
        assert passes.psnr >= fails.psnr and passes.block <= fails.block
    assert worst([Verdict.passed, Verdict.failed, Verdict.review]) is Verdict.failed


# Whole replays


def test_every_part_of_an_honest_run_is_bit_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = replay_runs.honest()
    status = command.main([str(run), "--nonce", "7", "--nodes", str(ALL), "--json", "--out", str(tmp_path)])
    told = json.loads(capsys.readouterr().out)
    assert [part["bit_equal"] for part in told["parts"]] == [True] * told["replayable"]
    assert all(part["same_environment"] for part in told["parts"])
    assert (status, told["verdict"], told["chance_missed"]) == (0, "PASS", 0.0)
    assert json.loads((tmp_path / "replay.json").read_text())["verdict"] == "PASS"
    with Pictures.open(tmp_path / "replay.png") as picture:
        assert picture.width == 3 * 256 + 4 * 8 and picture.height > 5 * 256


def test_another_number_of_threads_passes_within_the_thresholds() -> None:
    report, _ = replay(replay_runs.honest(), Question(nonce="7", nodes=3, wishes=Wishes(threads=2)))
    assert not any(part.same for part in report.parts)
    assert all("threads 1, here 2" in " ".join(part.reasons) for part in report.parts)
    assert report.verdict is Verdict.passed, [part.to_plain() for part in report.parts]


def test_a_bundle_is_replayed_like_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = zipped(replay_runs.honest(), tmp_path / "run.zip")
    assert command.main([str(bundle), "--nonce", "x", "--nodes", "3"]) == 0
    assert "REPLAY     PASS" in capsys.readouterr().out
    assert (tmp_path / "run-reports" / "replay.png").exists()


def test_every_part_of_stills_is_bit_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = zipped(replay_runs.stills(), tmp_path / "stills.zip")
    assert command.main([str(bundle), "--nonce", "x", "--nodes", str(ALL), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    kinds = [part["name"].split()[0] for part in told["parts"]]
    assert kinds == ["prompt", "noise", "noise", "keyframe", "keyframe", "still", "still"]
    assert all(part["bit_equal"] and part["same_environment"] for part in told["parts"])


def test_a_still_is_picked_with_the_picture_and_the_noise_that_it_was_made_from() -> None:
    record = read_record(Folder(replay_runs.stills(), LIMITS), LIMITS)
    for nonce in range(20):
        prompt, noise, first, still = choose(record, str(nonce), 3).units
        assert (prompt.kind, noise.kind, first.kind, still.kind) == ("prompt", "noise", "keyframe", "still")
        assert still.step.parents == (first.step.id,)
        assert first.step.parents == (prompt.step.id, noise.step.id)


def test_a_clip_without_keyframe_and_control_is_bit_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = replay_runs.rendered(tmp_path, "keyframe=none", "control=none", "motion.anchor=none")
    assert command.main([str(run), "--nonce", "x", "--nodes", "4"]) == 0
    said = capsys.readouterr().out
    assert "REPLAY     PASS" in said and "4 of 7 parts" in said
    assert "segment 0): bit-equal" in said and "not bit-equal" not in said
    assert "gone unseen with a chance of 100%" in said
    assert (run / "reports" / "replay.png").is_file()


def test_what_cannot_be_read_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path), "--nonce", "1"]) == 2
    assert "SRC-RECORD" in capsys.readouterr().out


def test_a_changed_file_fails_before_anything_is_computed(tmp_path: Path) -> None:
    folder = shutil.copytree(replay_runs.honest(), tmp_path / "run")
    with (folder / "keyframe.png").open("ab") as file:
        file.write(b"\0")
    report, picture = replay(folder, Question(nonce="1"))
    assert report.exit_code == 1 and not report.parts and not picture
    assert "INT-HASH" in {found.code for found in report.findings}


def test_missing_weights_name_the_command_that_fetches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needed_weights, "locate", lambda row: None)
    with pytest.raises(WeightsError, match="WGT-MISSING"):
        replay(replay_runs.honest(), Question(nonce="1"))


@pytest.mark.parametrize("words", [["--nodes", "2"], ["--nodes", "x"], ["--threads", "-1"]])
def test_numbers_that_make_no_sense_are_one_line(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="CFG-SYNTAX"):
        command.main(["run", "--nonce", "1", *words])


def test_the_command_line_needs_no_torch() -> None:
    code = (
        "import sys; from pokora_anime.replay import examine_replay, replay_device, replay_parts;"
        "from pokora_anime.replay import replay_report;"
        "from pokora_anime.cli.judge import replay; print({'torch', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
