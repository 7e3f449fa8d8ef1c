"""`track=mlflow` of trainings: a run with its series and sheets, and a model version in a real store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from test_training_forecast import SETTINGS

from pokora_anime.cli.workshop import training_track
from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.workshop.data.data_set import DataSet, Entry
from pokora_anime.workshop.judging import style_record
from pokora_anime.workshop.judging.style_record import Author
from pokora_anime.workshop.lora_workshop import Made
from pokora_anime.workshop.training import lora_state
from pokora_anime.workshop.training.lora_state import Standing

DATA = DataSet(
    id="mika",
    entries=(
        Entry(
            name="0", pixels="0" * 64, width=8, height=8, caption="", licence="CC0-1.0", source="drawn by me",
            author="", original="", original_name="0.png",
        ),
    ),
)  # fmt: skip


def test_other_words_and_stores_elsewhere_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert training_track.asked([]) == ""
    with pytest.raises(ConfigError, match="CFG-SYNTAX"):
        training_track.asked(["seed=3"])
    with pytest.raises(ConfigError, match="track=wandb"):
        training_track.asked(["track=wandb"])
    monkeypatch.setattr("pokora_anime.cli.render.tracking.find_spec", lambda name: None)
    with pytest.raises(MachineError, match="SYS-EXTRA"):
        training_track.asked(["track=mlflow"])
    monkeypatch.setattr("pokora_anime.cli.render.tracking.find_spec", lambda name: object())
    monkeypatch.setenv(training_track.URI, "http://example.org")
    with pytest.raises(ConfigError, match="CFG-TRACK"):
        training_track.asked(["track=mlflow"])


def trained(work: Path) -> Made:
    """What a training of four steps leaves, registered."""
    work.mkdir()
    weight = torch.nn.Parameter(torch.zeros(2))
    standing = Standing(step=4, losses=[0.4, 0.3, 0.2, 0.1], held_out=[(0, 0.5), (4, 0.25)])
    optimiser = torch.optim.AdamW([weight])
    lora_state.save(work / lora_state.FILE, "key", standing, [("weight", weight)], optimiser)
    file = work / "mika.safetensors"
    file.write_bytes(b"layers")
    (work / "weights.png").write_bytes(b"sheet")
    (work / "samples").mkdir()
    (work / "samples" / "step-00004.jpg").write_bytes(b"sample")
    scores = {"moved": 9.5, "seen": {"together": [0.9, 0.1]}, "nothing": None}
    author = Author(name="", title="", licence="CC0-1.0")
    style_record.write(style_record.record(SETTINGS, DATA, author, file, cast(Any, scores), 1.0), work)
    return Made(file=file, verdict=cast(Any, SimpleNamespace()), page=work / "index.html", registered=True)


@pytest.mark.parametrize("store", ["sqlite", "files"])
def test_a_training_is_a_run_and_its_lora_a_model_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    if store == "sqlite":
        pytest.importorskip("sqlalchemy")
        uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
        monkeypatch.setenv(training_track.URI, uri)
    monkeypatch.chdir(tmp_path)
    made = trained(tmp_path / "work")
    for _ in range(2):
        training_track.log_training(SETTINGS, made, tmp_path / "work", tmp_path)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name(training_track.EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["rank"] == "8" and run.data.params["base"] == "sdxl"
    assert run.data.metrics["score.moved"] == 9.5 and run.data.metrics["score.seen.together.with"] == 0.9
    told = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in told] == [(1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1)]
    held = client.get_metric_history(run.info.run_id, "held_out_loss")
    assert [(one.step, one.value) for one in held] == [(0, 0.5), (4, 0.25)]
    kept = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {"mika.safetensors", "weights.png", "style.json", "samples"} <= kept
    version = client.get_model_version_by_alias("lora-mika", "newest")
    assert (str(version.version), version.run_id) == ("1", run.info.run_id)
    assert version.tags["base"] == "sdxl"
    (made.file).write_bytes(b"other layers")
    style_record.write(
        style_record.record(
            SETTINGS, DATA, Author(name="", title="", licence="CC0-1.0"), made.file, {"moved": 1.0}, 1.0
        ),
        tmp_path / "work",
    )
    training_track.log_training(SETTINGS, made, tmp_path / "work", tmp_path)
    assert str(client.get_model_version_by_alias("lora-mika", "newest").version) == "2"
