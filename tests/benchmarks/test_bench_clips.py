"""`pokora bench clips`: real clips of the shipped family, rows that stay, figures that can be recomputed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.clips import clips
from benchmarks.clips.clips_arms import CONTROLS
from benchmarks.clips.clips_measure import Made, joins_strip
from benchmarks.clips.clips_prompts import asked
from benchmarks.clips.clips_table import figures, table
from pokora_anime.errors import ConfigError
from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.schema.config_groups import options

TINY = ("--seconds", "1", "--prompts", "1", "--threads", "2", "--set", "speed.steps=1", "control=none")


def row(**changes: Any) -> dict[str, Any]:
    return {
        "open": False,
        **dict.fromkeys(
            ("seam_ratio", "seam_worst", "seam_motion", "seam_ghost", "color_drift", "flicker"), 1.0
        ),
        "dynamic_degree": 2.0,
        "pck": None,
        "constancy": {"outfit": 1.0, "hair": 1.0, "eyes": None},
        "first": {"hair_color": 1.0, "outfit": 1.0},
        "last": {"hair_color": 1.0, "outfit": 0.0},
        "kept": {"hair_color": 1.0, "outfit": 0.5},
        "kept_worst": 0.5,
        "flow": 2.0,
        "drawn_flow": 1.0,
        "seconds": 3.0,
        "cpu_seconds": 4.0,
        "peak_bytes": 2**20,
        **changes,
    }


def test_every_second_prompt_leaves_the_outfit_open() -> None:
    named = [asked_attributes(asked(index).text).keys() for index in range(6)]
    assert all({"outfit", "outfit_color"} <= names for names in named[::2])
    assert not any({"outfit", "outfit_color"} & names for names in named[1::2])
    assert [asked(index).open for index in range(4)] == [False, True, False, True]


def test_no_strategy_is_measured_twice() -> None:
    def names(*words: str) -> set[str]:
        return {task.strategy for task in clips.tasks(clips.parser().parse_args(["--seconds", "8", *words]))}

    every = {*options("motion"), *CONTROLS}
    planned = "control_choreography"  # nano's default
    assert every - names() == {"anchor_both", planned}
    assert every - names("--set", "base.anchor=attention") == {"anchor_attention", planned}
    assert names("--strategies", "anchor_both") == {"anchor_both"}


def test_figures_are_means_over_clips_and_differences_over_pairs() -> None:
    found = figures([row(), row(open=True, seam_ratio=None, kept={"outfit": 0.25}, peak_bytes=3 * 2**20)])
    assert (found["clips"], found["seam_ratio"], found["flow_of_drawn"]) == (2, 1.0, 2.0)
    assert (found["kept"], found["kept_open"]) == (0.5, 0.25)
    assert found["accuracy_first"] == 1.0
    assert found["accuracy_change"][0] == -50.0
    assert found["peak_bytes"] == 3 * 2**20
    assert found["seam_ghost"] == 1.0
    earlier = {name: value for name, value in row().items() if name != "seam_ghost"}
    assert figures([row(), earlier])["seam_ghost"] is None  # not of half of the clips
    line = table({"default, 8 s": found}).splitlines()[-1]
    assert line.startswith("| default, 8 s | 2 | 1.00 |") and "| 50 % | 25 % |" in line


def test_control_is_held_against_clips_without_it_and_against_its_draft() -> None:
    on = [row(dynamic_degree=3.0, pck=[8, 10]), row(dynamic_degree=1.0, pck=[1, 2])]
    found = figures(on, [row(), row(dynamic_degree=6.0), row(dynamic_degree=99.0)])
    assert (found["dynamic_of_off"], found["pck"]) == (0.5, 0.75)
    assert "| 0.50 | 75 % |" in table({"control_draft, 8 s": found})
    assert figures(on)["dynamic_of_off"] is None and figures([row()])["pck"] is None


@pytest.mark.parametrize("strategy", ["control_draft", "control_choreography"])
def test_joints_that_steer_are_those_of_the_clips_frames(
    strategy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--seconds", "1", "--prompts", "1", "--threads", "2", "--strategies", strategy]
    settings = ["--set", "speed.steps=1", "motion.frames=6", "motion.overlap=2"]  # two segments
    assert clips.main([*command, *settings, "--work", str(tmp_path), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "clips.json").read_text())["strategies"][f"{strategy}, 1 s"]
    assert 0 <= found["pck"] <= 1 and 0 <= found["constancy"] <= 1
    (rows,) = tmp_path.glob("*/rows.jsonl")
    near, wanted = json.loads(rows.read_text())["pck"]
    assert found["pck"] == near / wanted and wanted <= 8 * 8
    assert "1/1" in capsys.readouterr().out


def test_a_strip_shows_the_frames_on_both_sides_of_each_join() -> None:
    frames = np.stack([np.full((256, 256, 3), 10 * i, np.uint8) for i in range(20)])
    strip = joins_strip(Made(frames, (8, 16), 0.0, 0.0, 0))
    assert strip.shape == (256, 6 * 128, 3)
    assert [int(strip[200, 128 * k + 64, 0]) for k in range(6)] == [130, 140, 150, 160, 170, 180]


def test_the_bench_measures_once_and_goes_on_from_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TINY, "--strategies", "default", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert clips.main(command) == 0
    assert "1/1" in capsys.readouterr().out
    result = json.loads((tmp_path / "clips.json").read_text())
    found = result["strategies"]["default, 1 s"]
    assert found["clips"] == 1 and 0 <= found["kept"] <= 1 and found["cpu_seconds"] > 0
    assert found["seam_ratio"] is None  # one segment has no join
    assert "| default, 1 s | 1 | - |" in (tmp_path / "clips.md").read_text()
    (rows,) = tmp_path.glob("*/rows.jsonl")
    before = rows.read_text()
    assert clips.main(command) == 0
    assert "1/1" not in capsys.readouterr().out
    assert rows.read_text() == before
    (tmp_path / "clips.json").unlink()
    settings = [*TINY, "--strategies", "default", "last_latent"]  # of which one has no rows
    assert clips.main([*settings, "--rows", str(rows), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == (tmp_path / "clips.md").read_text().split("\n\n")[0]
    assert not (tmp_path / "clips.json").exists()  # of what was measured elsewhere nothing is written


def test_rows_of_other_settings_are_no_table(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(ConfigError, match=r"CFG-ROWS: no file .*rows\.jsonl"):
        clips.main(["--rows", str(rows)])
    task = clips.Task("default", 8.0, 30)
    line = {"section": clips._section(task, ()), "index": 0, "prompt": "1girl", **row()}
    rows.write_text(json.dumps(line) + "\n")
    assert clips.main(["--strategies", "default", "--rows", str(rows)]) == 0
    with pytest.raises(ConfigError, match="none of these strategies"):
        clips.main(["--strategies", "default", "--set", "motion.step_share=0.5", "--rows", str(rows)])
