"""`track=mlflow`: finished runs told to a local MLflow store, by the process that was typed into.

The process that renders has no network and may not write beside its run; nothing here is part of a record.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pokora_anime.cli.render import sweep
from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.provenance.run_layout import RECORD, REPORTS
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.quality.metrics.metric_table import STAGES
from pokora_anime.quality.overall import OVERALL, overall
from pokora_anime.quality.scorecard import SCORECARD

TRACKERS = ("mlflow",)
STORE = "mlruns"  # under the folder of outputs
EXPERIMENT = "pokora"
RECORD_TAG = "record_sha256"
_SHEET = "sheet.png"
_LONGEST = 500  # characters of a parameter
# A local store and nothing else: what would ask the network is off.
_SETTINGS = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def require(tracker: str) -> str:
    """The tracker's name. Raises ConfigError CFG-RANGE, MachineError SYS-EXTRA where it is not installed."""
    if tracker not in TRACKERS:
        raise ConfigError(
            "CFG-RANGE", f"track={tracker[:40]}", expected="|".join(TRACKERS), fix=f"track={TRACKERS[0]}"
        )
    if find_spec("mlflow") is None:
        raise MachineError(
            "SYS-EXTRA",
            "track=mlflow without the package mlflow-skinny",
            expected="it in this environment: the base install leaves it out",
            fix="`pip install mlflow-skinny`",
        )
    return tracker


def log_run(folder: Path, overrides: Sequence[str], root: Path) -> None:
    """Tell the store of one run: what was typed, its scores, contact sheet and record.

    A run that the store knows already is told once. Raises MachineError SYS-TRACK; the run is kept.
    """
    _log([(folder, overrides)], root)


def log_sweep(folder: Path, root: Path) -> None:
    """The same of every finished job of a sweep."""
    _log([(Path(one["path"]), one["overrides"]) for one in sweep.results(folder) if "path" in one], root)


def _log(runs: Sequence[tuple[Path, Sequence[str]]], root: Path) -> None:
    with store((root / STORE).absolute().as_uri(), str(root / STORE), "run") as client:
        experiment = experiment_of(client, EXPERIMENT)
        for folder, overrides in runs:
            _tell(client, experiment, folder, overrides)


@contextmanager
def store(uri: str, shown: str, kept: str) -> Generator[Any]:
    """A client of the store at `uri`, `shown` in messages, that is told of what is `kept` in any case.

    Raises MachineError SYS-TRACK where it cannot be told.
    """
    os.environ.update(_SETTINGS)
    try:
        module: Any = import_module("mlflow.tracking")  # an extra
        yield module.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:  # a library of others, over a disk that may be full
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise MachineError(
            "SYS-TRACK",
            f"the {kept} is kept, and {shown} was not told of it ({reason})",
            expected="a local MLflow store",
            fix="free some space, or leave out track=",
        ) from error


def experiment_of(client: Any, name: str) -> str:
    """The id of the experiment with this name, made where there is none."""
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found is not None else client.create_experiment(name)


def _tell(client: Any, experiment: str, folder: Path, overrides: Sequence[str]) -> None:
    record = hashlib.sha256((folder / RECORD).read_bytes()).hexdigest()
    if client.search_runs([experiment], f"tags.{RECORD_TAG} = '{record}'", max_results=1):
        return
    reading = read_run(folder)
    told = client.create_run(experiment, run_name=folder.name).info.run_id
    tags = {RECORD_TAG: record, "record_key": reading.key, "command": reading.command, "folder": str(folder)}
    for name, value in tags.items():
        client.set_tag(told, name, value)
    for name, value in _typed(overrides, reading.config):
        client.log_param(told, name, value)
    for name, value in _scores(folder):
        client.log_metric(told, name, value)
    if (folder / _SHEET).is_file():
        client.log_artifact(told, str(folder / _SHEET))
    client.set_terminated(told)


def _typed(overrides: Sequence[str], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was typed by key, and the seed and prompt in any case."""
    typed = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    told = {"seed": str(config.get("seed")), "shot.prompt": str(config["shot"]["prompt"]), **typed}
    for name, value in told.items():
        yield re.sub(r"[^\w./ -]", "_", name)[:_LONGEST], value[:_LONGEST]


def _scores(folder: Path) -> Iterator[tuple[str, float]]:
    """The numbers of the scorecard, where there is one."""
    try:
        card: dict[str, Any] = json.loads((folder / REPORTS / SCORECARD).read_text(encoding="utf-8"))
        values = {OVERALL: overall(card)}
        values |= {f"{stage}.{name}": one for stage in STAGES for name, one in card[stage]["values"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)
