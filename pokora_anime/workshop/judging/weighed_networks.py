"""The networks of a base with a LoRA that is not registered yet, at a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.lora.lora_merge import Lora
from pokora_anime.catalogue.lora.lora_names import UNET
from pokora_anime.catalogue.lora.lora_table import read_table
from pokora_anime.catalogue.registry_row import Kind, Row, Status
from pokora_anime.config.compose import compose
from pokora_anime.networks.loader import Models
from pokora_anime.schema.settings import Family, RunConfig
from pokora_anime.workshop.training.clips.sample_clips import clips
from pokora_anime.workshop.training.sample_pictures import stills
from pokora_anime.workshop.training.training_base import TrainingBase


class Weighed:
    """Pictures by a base with one LoRA file at any weight, at the base's own speed where that is here."""

    def __init__(self, base: TrainingBase, file: Path) -> None:
        self._base, self._file = base, file
        self.config = _quick(base)
        self._models: Models = base.networks(self.config)
        self._others = self._models.loras
        self._weight: float | None = None
        self._speaks = any(layer.named.network != UNET for layer in read_table(file, file.stem))

    def stills(self, prompts: Sequence[str], seeds: Sequence[int], weight: float) -> NDArray[np.uint8]:
        """Pictures uint8 [N, height, width, 3]."""
        self._weigh(weight)
        return stills(self._base, self._models, self.config, prompts, seeds)

    def _weigh(self, weight: float) -> None:
        if weight != self._weight:
            row = own_row(self._file, self._base.config.base.family)
            own = Lora(row=row, folder=self._file.parent, weight=weight)
            self._put((own,) if weight else ())
            self._weight = weight

    def _put(self, own: tuple[Lora, ...]) -> None:
        """The LoRA into the networks that it changes."""
        self._models.free("unet")
        self._models.loras = (*self._others, *own)
        if self._speaks:
            self._models.free_text()
            self._base.speak(self._models)

    def free(self) -> None:
        """Drop the networks."""
        self._base.speak(None)
        self._models.free("unet", "motion", "vae", "text")


class WeighedClips(Weighed):
    """Clips by a base with one motion LoRA at any weight."""

    def clips(
        self, prompts: Sequence[str], seeds: Sequence[int], weight: float, frames: int
    ) -> NDArray[np.uint8]:
        """Clips uint8 [N, frames, height, width, 3]."""
        self._weigh(weight)
        return clips(self._base, self._models, self.config, prompts, seeds, frames)

    def _put(self, own: tuple[Lora, ...]) -> None:
        self._models.free("motion")
        self._models.camera = own


def _quick(base: TrainingBase) -> RunConfig:
    """The base's config at lcm where it has that LoRA, else as it was trained, in fewer steps."""
    family = base.config.base.family
    row = registry.find("lcm", family)
    if row is not None and (row.id in base.folders or row.packaged):
        lcm = compose("stills", [f"base={family.value}", "style=none", "speed=lcm"])
        return replace(lcm, base=base.config.base, shot=base.config.shot)
    return base.config


def own_row(file: Path, family: Family) -> Row:
    """A row that only this process knows."""
    return Row(
        id=file.stem,
        kind=Kind.style_lora,
        role=file.stem,
        families=(family,),
        repo=f"own:{file.stem}",
        published=(file.name,),
        files=(file.name,),
        licence="CC0-1.0",
        citation=(),
        status=Status.review,
    )
