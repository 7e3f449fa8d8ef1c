"""The scorecard of a clip taken while it is rendered: nothing is decoded or read a second time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.clip_scorer import ClipScorer
from pokora_anime.quality.metrics.optical_flow import DisFlow
from pokora_anime.quality.metrics.scorer_backends import describer_for, flows_for, light_describer
from pokora_anime.quality.scorecard import Scorecard
from pokora_anime.schema.settings import VideoConfig

RENDERED = "as they were decoded"


class LiveScore:
    """Two scorers that a clip's frames pass: generated ones before interpolation, delivered ones after it.

    `joins` are the first new source frames of the segments but the first.
    """

    def __init__(self, config: VideoConfig, before: ClipScorer, after: ClipScorer) -> None:
        self._config, self._before, self._after = config, before, after

    @classmethod
    def start(cls, config: VideoConfig, joins: Sequence[int], device: str, *, light: bool = False) -> Self:
        """Scorers with the best judges that are here, or those that leave the memory to the render.

        Raises WeightsError for judges of other weights.
        """
        shot, family = config.shot, config.base.family

        def scorer(fps: int) -> ClipScorer:
            return ClipScorer(
                joins=joins,
                fps=fps,
                source_fps=shot.fps,
                flows=DisFlow() if light else flows_for(family, device),
                describer=(light_describer if light else describer_for)(family, shot.prompt, device),
            )

        return cls(config, scorer(shot.fps), scorer(config.finish.fps))

    def watch_generated(self, frames: Iterator[Image]) -> Iterator[Image]:
        """The generated frames, scored on their way."""
        return self._before.watch(frames)

    def watch_delivered(self, frames: Iterator[Image]) -> Iterator[Image]:
        """The delivered frames, scored on their way."""
        return self._after.watch(frames)

    def card(self, origin: str = RENDERED) -> Scorecard:
        """The clip's scorecard, `origin` telling where its generated frames came from; ask once."""
        return Scorecard(
            title=self._config.shot.prompt,
            origin=origin,
            generated=self._before.result(),
            final=self._after.result(),
        )
