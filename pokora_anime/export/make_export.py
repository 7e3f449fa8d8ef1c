"""An export from its job to its folder: parts, tokenizers, scheduler, and what all of it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from transformers import CLIPTokenizer

from pokora_anime.catalogue import registry
from pokora_anime.export import export_job, part_files, swift_package
from pokora_anime.export.export_folder import making, require_free
from pokora_anime.export.export_job import ExportJob, Format
from pokora_anime.export.part_files import CARD, Made
from pokora_anime.export.traced_parts import PartSource, Traced
from pokora_anime.networks import schedulers
from pokora_anime.networks.loader import Models
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Sampler

SCHEDULER, TOKENIZER = "scheduler_config.json", "tokenizer.json"


def make(job: ExportJob, folder: Path, tell: Callable[[str], None], *, replace: bool = False) -> Path:
    """Write the export to `folder`, whole or not at all; returns it.

    Raises what `require` of export_job raises, WeightsError WGT-EXPORT where a part is not torch's, and
    MachineError SYS-DISK.
    """
    export_job.require_extra(job.format)
    export_job.require_weights(job)
    require_free(folder, replace=replace)
    export_job.require_room(job, folder)
    told = part_files.licences(job)
    with making(folder) as place:
        tokenizers = _add_texts(job, place)
        made = [_written(job, traced, place, told, tell) for traced in _parts(job)]
        card = part_files.card(job, told, made, place)
        content = {**card, "tokenizers": tokenizers, "scheduler": _scheduler(job)}
        (place / CARD).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if job.swift:
            swift_package.wrap(place)
    return folder


def _parts(job: ExportJob) -> Iterator[Traced]:
    config = job.config
    models = Models(
        config.base,
        config.speed,
        config.style.loras,
        torch.device("cpu"),
        torch.float32,
        folders=job.folders,
        motion=config.motion if "motion_unet" in job.parts else None,
    )
    source = PartSource(job, models)
    for name in job.parts:
        with source.opened(name) as traced:
            yield traced


def _written(
    job: ExportJob, traced: Traced, place: Path, told: list[Json], tell: Callable[[str], None]
) -> Made:
    texts = part_files.metadata(job, told, traced.name)
    if job.format is Format.onnx:
        from pokora_anime.export import onnx_parts

        made = onnx_parts.write(traced, place, texts)
    else:
        from pokora_anime.export import coreml_parts

        made = coreml_parts.write(traced, place, texts, job.bits)
        if job.run:
            share = coreml_parts.computed_here(traced, place / made.file)
            tell(f"{made.file}: computed by Core ML, its numbers lie within {share:.2g} of torch's largest")
    compared = made.compared
    size = part_files.size(place, made.file) / 1e6
    tell(f"{made.file}: {size:.1f} MB, {made.seconds:.0f} s; {compared.line()}")
    return made


def _base_folder(job: ExportJob) -> Path:
    folder = job.place(registry.get(job.config.base.weights, job.family))
    assert folder is not None  # require_weights has looked
    return folder


def _add_texts(job: ExportJob, place: Path) -> dict[str, Json]:
    """Copy tokenizers, with a tokenizer.json each, and the scheduler's config; returns their padding."""
    base, padding = _base_folder(job), dict[str, Json]()
    for name in ("tokenizer", "tokenizer_2", "scheduler"):
        if not (base / name).is_dir():
            continue
        (place / name).mkdir()
        for path in sorted((base / name).iterdir()):
            if path.suffix in (".json", ".txt"):
                shutil.copyfile(path, place / name / path.name)
        if name == "scheduler":
            continue
        tokenizer = cast(Any, CLIPTokenizer).from_pretrained(base / name)
        padding[name] = {"padding": int(tokenizer.pad_token_id)}
        if not (place / name / TOKENIZER).is_file():
            tokenizer.backend_tokenizer.save(str(place / name / TOKENIZER))
    return padding


def _scheduler(job: ExportJob) -> Json:
    """The noise schedule and the timesteps of the speed mode; DPM++ has Euler's place in an app."""
    folder = _base_folder(job) / "scheduler"
    stored = cast("dict[str, Json]", json.loads((folder / SCHEDULER).read_text(encoding="utf-8")))
    sampler = Sampler.lcm if job.config.speed.sampler is Sampler.lcm else Sampler.euler_trailing
    scheduler = schedulers.build_scheduler(folder, sampler)
    scheduler.set_timesteps(job.config.speed.steps, device=torch.device("cpu"))
    return swift_package.told(scheduler, stored, sampler)
