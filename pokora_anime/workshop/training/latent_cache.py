"""The pictures of a data set as latents at their buckets' sizes, encoded once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.typed_tensors import from_array, stored
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import size_buckets
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.data.size_buckets import Bucket
from pokora_anime.workshop.training.lora_settings import LoraSettings, Role
from pokora_anime.workshop.training.training_base import TrainingBase

FILE = "latents.safetensors"
STEP = 64  # pixels: what every base can halve often enough
NEAREST = 0.75  # the least share of a picture's sides that a cropping shows
# The share of a cell's weight that follows how much is drawn there: a character is in her details, a style is
# in all colours, and with the character's share large plain areas drift to other hues.
DETAIL: Mapping[Role, float] = {Role.character: 0.8, Role.style: 0.3, Role.motion: 0.3}
MOST_DETAIL = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A picture's latents [channels, height, width], of each of its views, how much each cell of them
    counts [1, height, width], its bucket and caption. A clip's have a dimension of frames behind the
    channels, and its views are its parts."""

    name: str
    caption: str
    bucket: Bucket
    latents: tuple[Tensor, ...]
    details: tuple[Tensor, ...]


def examples(data: Stored, settings: LoraSettings, base: TrainingBase, work: Path) -> list[Example]:
    """All pictures of a data set, by name; encoded, or read where they have been."""
    entries = data.data.entries
    step = min(STEP, max(8, base.side // 8))
    sizes = [size_buckets.nearest(one.width, one.height, base.side, step) for one in entries]
    names = [f"{one.name}/{view}" for one in entries for view in range(settings.views)]
    found = kept(work / FILE, settings, names)
    if found is None:
        shown = [
            view
            for index, (one, bucket) in enumerate(zip(entries, sizes, strict=True))
            for view in views(data.picture(one), bucket, settings, index)
        ]
        found = dict(zip(names, base.encoded(shown), strict=True))
        share = DETAIL[settings.role]
        found |= {
            f"{name}/detail": detail(one, found[name], share) for name, one in zip(names, shown, strict=True)
        }
        keep(found, settings, work / FILE)
    return [
        Example(
            name=one.name,
            caption=captioned(one.caption, settings),
            bucket=bucket,
            latents=tuple(found[f"{one.name}/{view}"] for view in range(settings.views)),
            details=tuple(found[f"{one.name}/{view}/detail"] for view in range(settings.views)),
        )
        for one, bucket in zip(entries, sizes, strict=True)
    ]


def detail(picture: Image, latent: Tensor, share: float) -> Tensor:
    """How much each cell of a picture's latent counts [1, height, width], 1 on the mean.

    `share` of it follows what is drawn there.

    More where much is drawn: an iris covers a hundredth of a picture, a sky half of it, and with equal
    weights the sky is learnt.
    """
    height, width = latent.shape[1:]
    pixels = from_array(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    mean = functional.adaptive_avg_pool2d(pixels, (height, width))
    square = functional.adaptive_avg_pool2d(pixels.square(), (height, width))
    spread = (square - mean.square()).clamp_min(0).sqrt().mean(1, keepdim=True)
    near = functional.avg_pool2d(spread, 3, 1, 1, count_include_pad=False)
    much = (near / near.mean().clamp_min(1e-4)).square()
    weights = 1 - share + share * much.clamp_max(MOST_DETAIL)
    return (weights / weights.mean())[0]


def captioned(caption: str, settings: LoraSettings) -> str:
    """A caption behind the word that calls the LoRA, where it has one."""
    return ", ".join(part for part in (settings.trigger, caption) if part)


def views(picture: Image, bucket: Bucket, settings: LoraSettings, index: int) -> list[Image]:
    """A picture at its bucket's size: whole, then a little nearer; each second one mirrored where asked.

    Of few pictures every place is learnt by heart; of croppings what they have in common.
    """
    height, width = picture.shape[:2]
    rng: np.random.Generator = np.random.default_rng((settings.seed, index))
    found = [size_buckets.fitted(picture, bucket)]
    for _ in range(1, settings.views):
        share = float(rng.uniform(NEAREST, 1.0))
        rows, columns = round(height * share), round(width * share)
        top = int(rng.random() * ((height - rows) // 2 + 1))  # heads stay
        left = int(rng.random() * (width - columns + 1))
        found.append(size_buckets.fitted(picture[top : top + rows, left : left + columns], bucket))
    return [
        np.ascontiguousarray(one[:, ::-1]) if settings.flip and at % 2 else one
        for at, one in enumerate(found)
    ]


def _of(settings: LoraSettings) -> str:
    how = f"{settings.views} views, seed {settings.seed}{', mirrored' if settings.flip else ''}"
    return f"{settings.data} for {settings.base.value}, {settings.role.value}, {how}"


def kept(path: Path, settings: LoraSettings, names: Sequence[str]) -> dict[str, Tensor] | None:
    """What was encoded before, with the details of each; None where it is not what is wanted."""
    try:
        found, about = stored(path)
    except (OSError, SafetensorError):
        return None
    wanted = {*names, *(f"{name}/detail" for name in names)}
    fits = about.get("of") == _of(settings) and set(found) == wanted
    return {name: tensor.float() for name, tensor in found.items()} if fits else None


def keep(found: dict[str, Tensor], settings: LoraSettings, path: Path) -> None:
    """Writes what was encoded. Raises MachineError SYS-*."""
    data = save(found, {"of": _of(settings)})
    with writing(path.parent, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)


def batch_of(chosen: Sequence[Example], generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Latents [B, channels, height, width] of examples of one bucket, each mirrored or not, and details
    [B, 1, height, width]."""
    which = [int(generator.integers(len(one.latents))) for one in chosen]
    latents = [one.latents[index] for one, index in zip(chosen, which, strict=True)]
    details = [one.details[index] for one, index in zip(chosen, which, strict=True)]
    return torch.stack(latents), torch.stack(details)
