"""Stills that compare settings, all in one warm process: the networks are loaded once, seeds go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.lora.lora_merge import Lora
from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras, split_tags
from pokora_anime.catalogue.needed_weights import locate, style_rows
from pokora_anime.catalogue.weights_advice import reinstall_or_fetch
from pokora_anime.config.compose import compose
from pokora_anime.errors import WeightsError
from pokora_anime.networks.extraction import picture_judge
from pokora_anime.networks.loader import Models
from pokora_anime.prompt import open_words
from pokora_anime.quality.metrics.frame_pair_metrics import sharpness
from pokora_anime.quality.metrics.metric_table import BY_ID, FINAL
from pokora_anime.schema.settings import LoraConfig, RunConfig
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.training.sample_pictures import stills
from pokora_anime.workshop.training.training_base import TrainingBase

FRESH_SEEDS = 1000  # from which on seeds are that no trial has seen


@dataclass(frozen=True, slots=True)
class Looked:
    """What a trial came to: pictures uint8 [seeds, height, width, 3], and a score 0..1 for each."""

    pictures: NDArray[np.uint8]
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.scores) / len(self.scores)


class TrialStills:
    """Stills of one composition, `words` as for `pokora stills`, with other LoRAs or another negative prompt.

    Raises ConfigError, PromptError, WeightsError WGT-MISSING.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.config: RunConfig = compose("stills", words)
        shot, base = self.config.shot, self.config.base
        self._base = TrainingBase(base.family.value, [word for word in words if _kept(word)])
        self._models: Models = self._base.networks(self.config)
        self._asked = split_tags(shot.prompt)[0]
        self._judge: picture_judge.PictureJudge | None = None
        self.loras: tuple[LoraConfig, ...] = tuple(merge_loras(self.config.style.loras, shot_loras(shot)))
        self._merged: tuple[LoraConfig, ...] | None = None

    def look(
        self, seeds: Sequence[int], *, negative: str | None = None, loras: Sequence[LoraConfig] | None = None
    ) -> Looked:
        """Stills of these seeds, scored. None: as the composition has it."""
        self._merge(self.loras if loras is None else tuple(loras))
        shot = self.config.shot if negative is None else replace(self.config.shot, negative=negative)
        config = replace(self.config, shot=shot)
        prompts = [self._prompt(config, seed) for seed in seeds]
        pictures = stills(self._base, self._models, config, prompts, seeds)
        return Looked(pictures, tuple(self._score(one) for one in pictures))

    def _prompt(self, config: RunConfig, seed: int) -> str:
        """What the networks are told: prefix, prompt, and what the seed chooses for what is left open."""
        prefix = split_tags(config.shot.prefix)[0]
        chosen = open_words.chosen(replace(config, seed=seed))
        return ", ".join(part for part in (prefix, self._asked, chosen) if part)

    def _merge(self, loras: tuple[LoraConfig, ...]) -> None:
        if loras == self._merged:
            return
        rows, _ = style_rows(list(loras), self.config.base.family)
        if self._merged is not None:
            self._models.free("unet")
        found = [Lora(row=row, folder=_here(row), weight=weight) for row, weight in rows if weight]
        speed = [lora for lora in self._models.loras if lora.row.kind is registry.Kind.speed_lora]
        self._models.loras = (*speed, *found)
        self._merged = loras

    def _score(self, picture: Image) -> float:
        """Two thirds how much of the prompt it shows, one third how sharp it is, as the scorecard judges."""
        if self._judge is None:
            row = registry.resolve(registry.JUDGE, self.config.base.family)
            self._judge = picture_judge.load(row, _here(row), torch.device("cpu"))
        sharp = BY_ID["sharpness"].band(FINAL, "any").worth(sharpness(picture))
        return (2 * self._judge(picture, self._asked) + sharp) / 3


def _kept(word: str) -> bool:
    """What the networks need to be told: the rest is the composition's."""
    return word.startswith(("base.", "device."))


def _here(row: registry.Row) -> Path:
    folder = locate(row)
    if folder is None:
        raise WeightsError(
            "WGT-MISSING", f"{row.id} is not here", expected="its files", fix=reinstall_or_fetch(row)
        )
    return folder
