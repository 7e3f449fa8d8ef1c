"""`track=mlflow` of a training: settings, losses and sheets as a run, the registered LoRA as a model version.

The store is the one of renders, or what MLFLOW_TRACKING_URI names on this machine.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pokora_anime.cli.render import tracking
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.hashing import Table
from pokora_anime.workshop.judging import style_record
from pokora_anime.workshop.training.lora_settings import LoraSettings

if TYPE_CHECKING:
    from pokora_anime.workshop.lora_workshop import Made

EXPERIMENT = "pokora-training"
HASH_TAG = "lora_sha256"
URI = "MLFLOW_TRACKING_URI"
LOCAL = ("sqlite:", "file:")
MOST_POINTS = 1000  # of the loss, each the mean of the steps before it
_SHEETS = ("weights.png", "nearest.png", "index.html", style_record.FILE)


def asked(words: Sequence[str]) -> str:
    """The tracker that was typed; "" for none.

    Raises ConfigError CFG-SYNTAX for other words, CFG-RANGE, MachineError SYS-EXTRA.
    """
    others = [word for word in words if not word.startswith("track=")]
    if others:
        raise ConfigError(
            "CFG-SYNTAX",
            f"pokora train lora ... {others[0]}",
            expected="--words, or track=mlflow",
            fix="--help",
        )
    if not words:
        return ""
    tracker = tracking.require(words[-1].removeprefix("track="))
    uri = os.environ.get(URI, "")
    if uri and not uri.startswith(LOCAL) and "://" in uri:
        raise ConfigError(
            "CFG-TRACK",
            f"{URI}={uri[:80]}",
            expected="a store on this machine",
            fix=f"unset {URI}, or sqlite:///FILE",
        )
    return tracker


def log_training(settings: LoraSettings, made: Made, work: Path, root: Path) -> None:
    """Tells the store of a training, once a file. Raises MachineError SYS-TRACK; the training is kept."""
    uri = os.environ.get(URI) or (root / tracking.STORE).absolute().as_uri()
    with tracking.store(uri, uri, "training") as client:
        run = _told(client, settings, work)
        if made.registered:
            _register(client, settings, work, run)


def _told(client: Any, settings: LoraSettings, work: Path) -> str:
    """The id of the training's run, made where the store does not know its file."""
    style: Table = json.loads((work / style_record.FILE).read_bytes())
    digest = str(cast(Table, style["file"])["sha256"])
    experiment = tracking.experiment_of(client, EXPERIMENT)
    known = client.search_runs([experiment], f"tags.{HASH_TAG} = '{digest}'", max_results=1)
    if known:
        return str(known[0].info.run_id)
    run = str(client.create_run(experiment, run_name=settings.id).info.run_id)
    for name, value in {HASH_TAG: digest, "folder": str(work), "licence": str(style["licence"])}.items():
        client.set_tag(run, name, value)
    for name, value in settings.to_plain().items():
        client.log_param(run, name, str(value)[:500])
    for name, value in _scores(cast(Table, style["scores"])):
        client.log_metric(run, name, value)
    for name, points in _losses(work).items():
        for step, value in points:
            client.log_metric(run, name, value, step=step)
    for file in (*(work / name for name in _SHEETS), work / f"{settings.id}.safetensors"):
        if file.is_file():
            client.log_artifact(run, str(file))
    if (work / "samples").is_dir():
        client.log_artifacts(run, str(work / "samples"), "samples")
    client.set_terminated(run)
    return run


def _scores(scores: Mapping[str, Any], prefix: str = "score") -> Iterator[tuple[str, float]]:
    """Every number of the verdict, by its path."""
    for name, value in scores.items():
        if isinstance(value, dict):
            yield from _scores(cast(Mapping[str, Any], value), f"{prefix}.{name}")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{prefix}.{name}", float(value)
        elif isinstance(value, list) and len(cast(list[Any], value)) == 2:  # with the LoRA, and without
            yield from _scores(
                dict(zip(("with", "without"), cast(list[Any], value), strict=True)), f"{prefix}.{name}"
            )


def _losses(work: Path) -> dict[str, list[tuple[int, float]]]:
    """The loss of each step, thinned out, and of each look at what is held out."""
    import torch

    from pokora_anime.workshop.training import lora_state

    standing = torch.load(work / lora_state.FILE, map_location="cpu", weights_only=True)["standing"]
    losses = [float(one) for one in standing["losses"]]
    stride = max(1, -(-len(losses) // MOST_POINTS))
    thin = [
        (
            min(start + stride, len(losses)),
            sum(losses[start : start + stride]) / len(losses[start : start + stride]),
        )
        for start in range(0, len(losses), stride)
    ]
    held = [(int(step), float(loss)) for step, loss in standing["held_out"]]
    told = {"loss": thin, "held_out_loss": held}
    return {name: [one for one in points if math.isfinite(one[1])] for name, points in told.items()}


def _register(client: Any, settings: LoraSettings, work: Path, run: str) -> None:
    """The LoRA as the next version of the model of its id, with an alias for the newest."""
    name = f"lora-{settings.id}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    mine = [one for one in client.search_model_versions(f"name = '{name}'") if one.run_id == run]
    if mine:
        return
    source = f"{client.get_run(run).info.artifact_uri}/{settings.id}.safetensors"
    version = client.create_model_version(name, source=source, run_id=run).version
    client.set_registered_model_alias(name, "newest", version)
    for key, value in {
        "base": settings.base.value,
        "role": settings.role.value,
        "data": settings.data,
    }.items():
        client.set_model_version_tag(name, version, key, value)
