"""`pokora stats` and `pokora score --against`: runs held against runs, with a verdict and an exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import replay_runs

from pokora_anime.cli.history import stats
from pokora_anime.cli.judge import score
from pokora_anime.errors import PokoraError
from pokora_anime.history.run_statistics import groups
from pokora_anime.quality.score_difference import Change, compare

CARD = "reports/scorecard.json"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five copies of one finished run, the last one the newest."""
    root = tmp_path_factory.mktemp("work") / "outputs"
    for number in range(5):
        folder = root / f"video/run-{number}"
        shutil.copytree(replay_runs.honest(), folder)
        timings(folder, 30.0 + number, 1_000_000_000)
        (folder / "record.json").touch()
    return root


def timings(folder: Path, seconds: float, memory: float) -> None:
    told = {"taken": seconds, "peak_bytes": memory}
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs/timings.json").write_text(json.dumps(told))


def card_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CARD).read_text())


def refused(arguments: list[str]) -> PokoraError:
    command = stats if arguments[0] == "stats" else score
    with pytest.raises(PokoraError) as caught:
        command.main(arguments[1:])
    assert "\n" not in caught.value.line()
    return caught.value


def test_runs_are_grouped_and_nothing_is_worse(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats.main(["--out", str(outputs), "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["settings"]
    assert (group["runs"], group["seconds"], group["memory"]) == (5, 32.0, 1e9)
    assert group["labels"][:4] == ["video", "nano", "lcm", "plain"] and group["regressions"] == []
    assert 0 < group["score"] <= 1


@pytest.mark.parametrize(("seconds", "memory", "what"), [(90.0, 1e9, "seconds"), (34.0, 3e9, "memory")])
def test_a_newest_run_that_takes_more_is_a_regression(
    outputs: Path, seconds: float, memory: float, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    timings(outputs / "video/run-4", seconds, memory)
    assert stats.main(["--out", str(outputs)]) == 6
    assert "worse:" in capsys.readouterr().out
    assert [one.what for one in groups(outputs)[0].regressions] == [what]
    timings(outputs / "video/run-4", 34.0, 1e9)


def test_a_newest_run_that_scores_less_is_one_with_advice(outputs: Path) -> None:
    path = outputs / "video/run-4" / CARD
    before = path.read_text()
    path.write_text(json.dumps(spoilt(json.loads(before))))
    (found,) = groups(outputs)[0].regressions
    assert found.what == "score" and found.newest < found.usual and "motion=overlap_8" in found.advice
    path.write_text(before)


def spoilt(card: dict[str, Any]) -> dict[str, Any]:
    for stage in ("generated", "final"):
        card[stage]["values"] |= {"flicker": 9.0, "background_flicker": 9.0, "warp_error": 30.0}
        card[stage]["verdicts"] |= {"flicker": "bad", "background_flicker": "bad", "warp_error": "bad"}
    return card


def test_a_run_is_held_against_another(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = outputs / "video/run-0", outputs / "video/run-1"
    assert score.main([str(one), "--against", str(two)]) == 0
    assert "0 worse; overall same" in capsys.readouterr().out
    good = card_of(one)
    bad = spoilt(card_of(one))
    assert compare(good, bad).verdict is Change.better
    (two / CARD).write_text(json.dumps(bad))
    assert score.main([str(two), "--against", str(one), "--json"]) == 6
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "worse"
    assert {row["id"] for row in found["numbers"] if row["change"] == "worse"} >= {"warp_error"}
    (two / CARD).write_text(json.dumps(good))


def test_other_judges_are_not_compared(outputs: Path) -> None:
    one, two = card_of(outputs / "video/run-0"), card_of(outputs / "video/run-0")
    for stage in ("generated", "final"):
        two[stage]["features"] = "DINOv2 and CLIP"
    found = compare(one, two)
    assert any(name.startswith("prompt_adherence") for name in found.left_out)
    assert "prompt_adherence" not in {row.id for row in found.rows}


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"generated": 3}', '{"generated": {"values": {"flicker": "x"}}}', "{"]
)
def test_a_card_that_is_none(outputs: Path, text: str) -> None:
    folder = outputs / "video/run-3"
    before = (folder / CARD).read_text()
    (folder / CARD).write_text(text)
    assert refused(["score", str(folder), "--against", str(outputs / "video/run-0")]).code == "CFG-FILE"
    assert groups(outputs)[0].runs == 5
    (folder / CARD).write_text(before)


def test_no_run_and_no_history_are_one_line_each(outputs: Path, tmp_path: Path) -> None:
    run = str(outputs / "video/run-0")
    (tmp_path / "empty").mkdir()
    assert refused(["score", run, "--against", str(tmp_path / "nowhere")]).code == "CFG-FILE"
    assert refused(["score", run, "--against", str(tmp_path / "empty")]).code == "CFG-FILE"
    assert "pokora video" in refused(["stats", "--out", str(tmp_path / "empty")]).fix
    assert refused(["stats", "sdxl", "--out", str(outputs)]).fix == "leave the words out: pokora stats"


def test_no_torch_is_needed(outputs: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pokora_anime.cli import main;"
        f"main(['stats','--out',{str(outputs)!r}]); main(['negative','suggest','1girl']);"
        f"main(['score',{str(outputs / 'video/run-0')!r},'--against',{str(outputs / 'video/run-2')!r}]);"
        "main(['style','blend','pastel=0.7','flat_color=0.3','--name','a','--no-preview']);"
        "main(['models','versions','nobody']); assert 'torch' not in sys.modules"
    )
    environment = {"POKORA_DATA": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
