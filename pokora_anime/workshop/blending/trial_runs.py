"""Runs that compare settings: real ones, recorded, all in one warm process. Torch-free until they are judged.

They lie below OUT/sweep/NAME, so that `pokora list` and the gallery find them, and a trial that was rendered
before is answered from its folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from pokora_anime.catalogue import registry
from pokora_anime.config.compose import compose
from pokora_anime.errors import QualityError, WeightsError
from pokora_anime.history import run_list
from pokora_anime.jobs.render_job import render
from pokora_anime.provenance.run_layout import REPORTS, still_name
from pokora_anime.quality.metrics.metric_table import BY_ID, FINAL
from pokora_anime.quality.overall import overall
from pokora_anime.quality.scorecard import SCORECARD
from pokora_anime.schema.settings import RunConfig, Upscale

if TYPE_CHECKING:
    from pokora_anime.networks.extraction.picture_judge import PictureJudge
    from pokora_anime.provenance.stage_records import Image

FIRST_SEEDS = 3  # that each trial is looked at with
FRESH_SEEDS = 1000  # from which on seeds are that no trial has seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one trial came to: a score by seed, 0..1, and a picture of the first seeds."""

    scores: Mapping[int, float]
    pictures: tuple[Image, ...] = ()

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.scores.values()) / len(self.scores)


class TrialRuns:
    """Renders trials below `root`/sweep/`name`; a context manager, whose process ends with it."""

    def __init__(self, root: Path, name: str) -> None:
        from pokora_anime.render.worker.parent import Worker

        self.root, self.folder = root, (root / "sweep" / name).absolute()
        self.worker = Worker(self.folder)
        self._judge: PictureJudge | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.worker.close()

    def stills(self, words: Sequence[str], seeds: Sequence[int]) -> Looked:
        """Stills of consecutive seeds, each by how much of the prompt it shows and how sharp it is."""
        config = small("stills", [*words, f"seed={seeds[0]}", f"count={len(seeds)}"])
        folder = self._rendered(config)
        pictures = tuple(_picture(folder / still_name(index)) for index in range(len(seeds)))
        prompt = config.shot.prompt
        scores = {seed: self._still(one, prompt, config) for seed, one in zip(seeds, pictures, strict=True)}
        return Looked(scores=scores, pictures=pictures)

    def shown(self, words: Sequence[str], seed: int) -> Image:
        """One still, to look at."""
        folder = self._rendered(small("stills", [*words, f"seed={seed}", "count=1"]))
        return _picture(folder / still_name(0))

    def clips(self, words: Sequence[str], seeds: Sequence[int]) -> Looked:
        """One segment a seed, by the overall number of its scorecard."""
        scores: dict[int, float] = {}
        for seed in seeds:
            config = small("video", [*words, "shot.seconds=2", f"seed={seed}"])
            card = run_list.report(self._rendered(config) / REPORTS / SCORECARD)
            found = overall(cast("Mapping[str, Any]", card)) if card else None
            if found is None:
                raise QualityError(
                    "QUA-NONE",
                    f"the clip of seed {seed} has no score",
                    expected="a scorecard, from quality.score=true",
                    fix="leave quality.score=false out",
                )
            scores[seed] = found
        return Looked(scores=scores)

    def _rendered(self, config: RunConfig) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return render(config, self.root, "auto", self.worker)

    def _still(self, picture: Image, prompt: str, config: RunConfig) -> float:
        from pokora_anime.quality.metrics.frame_pair_metrics import sharpness

        if self._judge is None:
            self._judge = _judge(config)
        band = BY_ID["sharpness"].band(FINAL, "any")
        sharp = (sharpness(picture) - band.bad) / (band.good - band.bad)
        return (2 * self._judge(picture, prompt) + min(1.0, max(0.0, sharp))) / 3


def small(command: str, words: Sequence[str]) -> RunConfig:
    """A config whose frames stay as they are generated: what enlarges them tells no settings apart."""
    typed = {word.partition("=")[0] for word in words}
    config = compose(command, words)
    if not typed & {"finish.width", "finish.height", "finish.upscale", "finish"}:
        config.finish.width, config.finish.height = config.base.width, config.base.height
        config.finish.upscale = Upscale.lanczos
    return config


def _judge(config: RunConfig) -> PictureJudge:
    """What tells how much of a prompt a still shows. Raises WeightsError WGT-MISSING."""
    import torch

    from pokora_anime.catalogue.weight_paths import locate
    from pokora_anime.networks.extraction import picture_judge

    row = registry.resolve(registry.JUDGE, config.base.family)
    folder = locate(row)
    if folder is None:
        raise WeightsError(
            "WGT-MISSING",
            f"{row.id}, which tells how much of a prompt a picture shows, is not here",
            expected="it, to compare stills",
            fix=f"pokora models fetch {row.id}",
        )
    return picture_judge.load(row, folder, torch.device("cpu"))


def _picture(path: Path) -> Image:
    import numpy as np
    from PIL import Image as Pictures

    return np.asarray(Pictures.open(path).convert("RGB"))


def tell(line: str) -> None:
    """One line about how far it is, on stderr."""
    print(line, file=sys.stderr, flush=True)


Look = Callable[[Sequence[str], Sequence[int]], Looked]
