"""The pictures of a data set as latents at their buckets' sizes, encoded once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.typed_tensors import stored
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import size_buckets
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.data.size_buckets import Bucket
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.training_base import TrainingBase

FILE = "latents.safetensors"
STEP = 64  # pixels: what every base can halve often enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A picture's latents [channels, height, width], mirrored too where asked, its bucket and caption."""

    name: str
    caption: str
    bucket: Bucket
    latents: tuple[Tensor, ...]


def examples(data: Stored, settings: LoraSettings, base: TrainingBase, work: Path) -> list[Example]:
    """All pictures of a data set, by name; encoded, or read where they have been."""
    entries = data.data.entries
    step = min(STEP, max(8, base.side // 8))
    sizes = [size_buckets.nearest(one.width, one.height, base.side, step) for one in entries]
    names = [f"{one.name}{ending}" for one in entries for ending in _endings(settings)]
    found = _kept(work / FILE, settings, names)
    if found is None:
        shown = [
            turned
            for one, bucket in zip(entries, sizes, strict=True)
            for turned in _mirrored(size_buckets.fitted(data.picture(one), bucket), settings)
        ]
        found = dict(zip(names, base.encoded(shown), strict=True))
        _keep(found, settings, work / FILE)
    words = [captioned(one.caption, settings) for one in entries]
    return [
        Example(
            name=one.name,
            caption=text,
            bucket=bucket,
            latents=tuple(found[f"{one.name}{ending}"] for ending in _endings(settings)),
        )
        for one, bucket, text in zip(entries, sizes, words, strict=True)
    ]


def captioned(caption: str, settings: LoraSettings) -> str:
    """A caption behind the word that calls the LoRA, where it has one."""
    return ", ".join(part for part in (settings.trigger, caption) if part)


def _endings(settings: LoraSettings) -> tuple[str, ...]:
    return ("", "/mirrored") if settings.flip else ("",)


def _mirrored(picture: Image, settings: LoraSettings) -> Sequence[Image]:
    return [picture, np.ascontiguousarray(picture[:, ::-1])] if settings.flip else [picture]


def _of(settings: LoraSettings) -> str:
    return f"{settings.data} for {settings.base.value}"


def _kept(path: Path, settings: LoraSettings, names: Sequence[str]) -> dict[str, Tensor] | None:
    try:
        found, about = stored(path)
    except (OSError, SafetensorError):
        return None
    fits = about.get("of") == _of(settings) and set(found) == set(names)
    return {name: tensor.float() for name, tensor in found.items()} if fits else None


def _keep(found: dict[str, Tensor], settings: LoraSettings, path: Path) -> None:
    data = save(found, {"of": _of(settings)})
    with writing(path.parent, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)


def batch_of(chosen: Sequence[Example], generator: np.random.Generator) -> Tensor:
    """Latents [B, channels, height, width] of examples of one bucket, each mirrored or not."""
    return torch.stack([one.latents[int(generator.integers(len(one.latents)))] for one in chosen])
