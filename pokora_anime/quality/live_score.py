"""The scorecard of a clip taken while it is rendered: nothing is decoded or read a second time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.clip_scorer import ClipScorer
from pokora_anime.quality.metrics.figure_parts import Joints
from pokora_anime.quality.metrics.optical_flow import DisFlow
from pokora_anime.quality.metrics.scorer_backends import describer_for, flows_for, light_describer
from pokora_anime.quality.scorecard import Scorecard
from pokora_anime.schema.settings import VideoConfig

RENDERED = "as they were decoded"


class Planned:
    """Planned joints of generated frames, as shares of the frame."""

    def __init__(self, config: VideoConfig) -> None:
        self._fps, self._joints = config.shot.fps, dict[int, Joints]()
        self._size = np.array([config.base.width, config.base.height, 1], np.float32)

    def add(self, start: int, joints: npt.NDArray[np.float32]) -> None:
        """Joints [frames,18,3] in pixels, of frames from `start` on."""
        self._joints |= {start + index: one / self._size for index, one in enumerate(joints)}

    def at(self, time: float) -> Joints | None:
        """Those of a time in seconds; None where nothing was planned."""
        return self._joints.get(round(time * self._fps))


class LiveScore:
    """Two scorers that a clip's frames pass: generated ones before interpolation, delivered ones after it.

    `joins` are the first new source frames of the segments but the first.
    """

    def __init__(self, config: VideoConfig, before: ClipScorer, after: ClipScorer, planned: Planned) -> None:
        self._config, self._before, self._after, self._planned = config, before, after, planned

    @classmethod
    def start(cls, config: VideoConfig, joins: Sequence[int], device: str, *, light: bool = False) -> Self:
        """Scorers with the best judges that are here, or those that leave the memory to the render.

        Raises WeightsError for judges of other weights.
        """
        shot, family, planned = config.shot, config.base.family, Planned(config)

        def scorer(fps: int, posed: Planned | None = None) -> ClipScorer:
            return ClipScorer(
                joins=joins,
                fps=fps,
                source_fps=shot.fps,
                flows=DisFlow() if light else flows_for(family, device),
                describer=(light_describer if light else describer_for)(family, shot.prompt, device),
                posed=None if posed is None else posed.at,
            )

        # A camera may move over delivered frames: the plan tells no places in them.
        return cls(config, scorer(shot.fps, planned), scorer(config.finish.fps), planned)

    def plan(self, start: int, joints: npt.NDArray[np.float32]) -> None:
        """The joints [frames,18,3] in pixels that generated frames from `start` on were planned with."""
        self._planned.add(start, joints)

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
