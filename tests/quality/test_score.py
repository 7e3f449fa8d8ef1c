"""Every clip is scored while it is rendered; the score is that of the stored clip, and may refuse it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import replay_runs
from support.forged_run import codes

from pokora_anime import cli
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, QualityError
from pokora_anime.quality import quality_gate
from pokora_anime.quality.finished_score import DECODED
from pokora_anime.quality.live_score import RENDERED
from pokora_anime.quality.metrics.metric_table import COLORS, METRICS, PROBE, STAGES
from pokora_anime.quality.metrics.scorer_backends import describer_for
from pokora_anime.quality.scorecard import REPORT, SCORECARD
from pokora_anime.schema.run_identity import run_key
from pokora_anime.schema.settings import Family, Minimum, RunConfig, VideoConfig


@pytest.fixture(scope="module")
def live() -> dict[str, Any]:
    """What the render itself wrote."""
    return json.loads((replay_runs.honest() / "reports" / SCORECARD).read_text())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(replay_runs.honest(), tmp_path / "run")


def asking(level: str) -> RunConfig:
    return compose("video", [*replay_runs.SMALL, f"quality.min={level}"])


def edited(folder: Path, verdict: str) -> None:
    """Makes every number of the scorecard stand so."""
    path = folder / "reports" / SCORECARD
    card = json.loads(path.read_text())
    for stage in STAGES:
        card[stage]["verdicts"] = dict.fromkeys(card[stage]["verdicts"], verdict)
        card[stage]["values"] = dict.fromkeys(card[stage]["values"], 0.5)
    path.write_text(json.dumps(card))


def test_a_render_leaves_a_scorecard_of_both_stages(live: dict[str, Any]) -> None:
    assert (replay_runs.honest() / "reports" / REPORT).is_file()
    assert live["generated_frames_from"] == RENDERED
    assert (live["generated"]["frames"], live["final"]["frames"]) == (9, 24)
    for stage in STAGES:
        assert set(live[stage]["values"]) == {metric.id for metric in METRICS}
        assert live[stage]["features"] == PROBE


def test_the_stored_clip_has_the_score_that_its_render_had(
    live: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", str(replay_runs.honest()), "--json", "--out", str(tmp_path)]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["generated_frames_from"] == DECODED
    assert again["generated"]["values"] == pytest.approx(live["generated"]["values"], rel=1e-3, abs=1e-3)
    # What is scored now has been through H.264, where the flow of what are hardly more than blots differs.
    sharpness = [card["final"]["values"]["sharpness"] for card in (again, live)]
    assert sharpness[0] == pytest.approx(sharpness[1], rel=0.15)
    assert again["final"]["frames"] == live["final"]["frames"]


def test_reports_are_no_part_of_what_is_sealed(copy: Path) -> None:
    before = codes(copy)
    edited(copy, "good")
    assert codes(copy) == before


def test_how_a_clip_is_judged_does_not_change_which_clip_it_is() -> None:
    plain, judged = asking("none"), asking("good")
    assert isinstance(judged, VideoConfig)
    judged.quality.preview = False
    assert run_key("video", plain) == run_key("video", judged)
    judged.quality.reroll = 1
    assert run_key("video", plain) != run_key("video", judged)


@pytest.mark.parametrize(
    ("level", "verdict", "refused"),
    [
        ("none", "bad", False),
        ("fair", "bad", True),
        ("fair", "fair", False),
        ("good", "fair", True),
        ("good", "good", False),
        ("good", "unknown", False),
    ],
)
def test_a_minimum_refuses_what_is_below_it(copy: Path, level: str, verdict: str, refused: bool) -> None:
    edited(copy, verdict)
    if not refused:
        quality_gate.require(asking(level), copy)
        return
    with pytest.raises(QualityError) as caught:
        quality_gate.require(asking(level), copy)
    assert (caught.value.code, caught.value.exit_code) == ("QUA-MIN", 6)
    assert "seam ratio 0.5" in caught.value.line() and str(copy) in caught.value.line()
    assert (copy / "video.mp4").is_file()


def test_a_clip_without_a_scorecard_is_scored_before_it_is_judged(copy: Path) -> None:
    shutil.rmtree(copy / "reports")
    with pytest.raises(QualityError):  # two steps at 64 pixels draw nothing good
        quality_gate.require(asking("good"), copy)
    assert (copy / "reports" / SCORECARD).is_file()


def test_a_refused_clip_ends_the_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = replay_runs.honest().parents[1]
    status = cli.main(["video", *replay_runs.SMALL, "quality.min=good", "--out", str(root)])
    told = capsys.readouterr()
    assert status == 6
    assert told.out.strip().splitlines()[-1] == str(replay_runs.honest())
    assert told.err.strip().splitlines()[-1].startswith("pokora: QUA-MIN: kept in ")
    assert "Traceback" not in told.err


def test_a_minimum_needs_a_score() -> None:
    with pytest.raises(ConfigError, match=r"quality\.score"):
        compose("video", ["quality.min=good", "quality.score=false"])
    assert {one.name for one in Minimum} == {"none", "fair", "good"}


def test_without_the_probe_colours_and_edges_judge_and_say_so(tmp_path: Path) -> None:
    describer = describer_for(Family.nano, "1girl", probe=tmp_path)
    value, why = describer.adherence()
    assert describer.name == COLORS and value is None and "probe" in why
