"""`track=mlflow`: finished runs told once to a local store, outside of what a record seals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import replay_runs

from pokora_anime.cli.render import tracking
from pokora_anime.cli.render.render import parse, words
from pokora_anime.errors import ConfigError, MachineError

TYPED = ("seed=3", "shot.prompt=1girl, red hair", "style.loras=[{id:pastel,weight:0.8}]")


def test_another_tracker_is_one_line() -> None:
    with pytest.raises(ConfigError, match="track=wandb") as caught:
        parse("video", ["track=wandb"])
    assert caught.value.code == "CFG-RANGE" and "track=mlflow" in caught.value.line()


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pokora_anime.cli.render.tracking.find_spec", lambda name: None)
    with pytest.raises(MachineError, match="mlflow-skinny") as caught:
        parse("video", ["track=mlflow"])
    assert caught.value.code == "SYS-EXTRA"


def test_a_run_is_told_once_with_what_was_typed_its_scores_and_record(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    request = parse("video", ["track=mlflow", *TYPED])
    assert "track=mlflow" in words(request) and request.overrides == [*TYPED]
    before = {path: path.read_bytes() for path in replay_runs.honest().rglob("*") if path.is_file()}
    for _ in range(2):
        tracking.log_run(replay_runs.honest(), TYPED, tmp_path)
    client = MlflowClient(tracking_uri=(tmp_path / tracking.STORE).as_uri())
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    record = json.loads((replay_runs.honest() / "record.json").read_text())
    assert run.data.tags["record_key"] == record["key"]
    assert run.data.params["shot.prompt"] == "1girl, red hair" and run.data.params["seed"] == "3"
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["sheet.png"]
    assert before == {path: path.read_bytes() for path in replay_runs.honest().rglob("*") if path.is_file()}


def test_a_store_that_cannot_be_written_leaves_the_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / tracking.STORE).write_text("a file")
    with pytest.raises(MachineError, match="the run is kept") as caught:
        tracking.log_run(replay_runs.honest(), TYPED, tmp_path)
    assert caught.value.code == "SYS-TRACK" and "\n" not in caught.value.line()
