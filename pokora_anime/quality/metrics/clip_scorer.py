"""The streaming scorer: fed with a clip's frames one by one, it keeps numbers, three frames and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics import frame_pair_metrics
from pokora_anime.quality.metrics.features import ColorsAndEdges, Describer, Looks, Vector
from pokora_anime.quality.metrics.figure_parts import Joints, PartsBySecond, described, in_pixels
from pokora_anime.quality.metrics.metric_series import JoinPicture, Series
from pokora_anime.quality.metrics.optical_flow import BothFlows, DisFlow
from pokora_anime.quality.metrics.score_summary import ClipTiming, Score, summarise

SIDE = 256  # pixels of the shorter side that frames are measured at
AROUND = 3  # frames shown before and after a join
_STRIP = 144  # pixels of the shorter side of those pictures
_MOST_PICTURES = 600


def scored(frames: Iterable[Image], *, joins: Sequence[int], fps: int) -> Score:
    """The score of a clip whose frames are all there; features are colours and edges."""
    scorer = ClipScorer(joins=joins, fps=fps)
    for frame in frames:
        scorer.push(frame)
    return scorer.result()


class ClipScorer:
    """Scores one clip at one stage.

        scorer = ClipScorer(joins=[16, 28], fps=8)
        for frame in frames:
            scorer.push(frame)
        score = scorer.result()

    `joins` are the indices of the first new source frame of each segment but the first; `fps` is the
    rate of what is pushed and `source_fps` that of the source frames (the same before interpolation).
    `posed` tells the planned joints of a time in seconds, in shares of the frame, where none are read.
    Memory does not depend on the clip's length but for some numbers a frame and some small pictures a
    join. Not for use by two threads at once.
    """

    def __init__(
        self,
        *,
        joins: Sequence[int],
        fps: int,
        source_fps: int | None = None,
        flows: BothFlows | None = None,
        describer: Describer | None = None,
        posed: Callable[[float], Joints | None] | None = None,
    ) -> None:
        self.joins, self.fps, self.source_fps = tuple(joins), fps, source_fps or fps
        self._flows: BothFlows = flows or DisFlow()
        self._describer, self._posed = describer or ColorsAndEdges(), posed
        self._series, self._looks, self._parts = Series(), Looks(), PartsBySecond()
        self._pictures: list[JoinPicture] = []
        self._wanted = self._frames_around_joins()
        self._previous: Image | None = None
        self._pair: frame_pair_metrics.Pair | None = None
        self._next_look = 0.0
        self.frames = 0

    def push(self, frame: Image) -> None:
        """The next frame uint8 [h,w,3] of the clip, of any size."""
        small = reduced(frame, SIDE)
        series = self._series
        series.add_frame(frame_pair_metrics.sharpness(small), frame_pair_metrics.mean_lab(small))
        if self._previous is not None:
            pair = frame_pair_metrics.measure_pair(self._previous, small, self._flows)
            series.add_pair(pair)
            if self._pair is not None:
                series.add_middle(frame_pair_metrics.measure_middle(self._pair, pair))
            self._pair = pair
        self._previous = small
        if self.frames >= self._next_look:
            look = self._describer.look(small)
            self._looks.add(self.frames, look)
            self._parts.add(self.frames / self.fps, look.parts or self._planned_parts(small))
            self._next_look += max(1.0, self.fps / self._describer.looks_a_second)
        self._keep_picture(small)
        self.frames += 1

    def _planned_parts(self, frame: Image) -> Mapping[str, Vector]:
        """The parts of the figure where its planned joints lie."""
        joints = None if self._posed is None else self._posed(self.frames / self.fps)
        return described(frame, None if joints is None else in_pixels(joints, frame))

    def watch(self, frames: Iterable[Image]) -> Iterator[Image]:
        """The same frames, scored on their way."""
        for frame in frames:
            self.push(frame)
            yield frame

    def result(self) -> Score:
        """The clip's score; ask once, at its end."""
        side = min(self._previous.shape[:2]) if self._previous is not None else SIDE
        return summarise(
            self._series,
            ClipTiming(joins=self.joins, fps=self.fps, source_fps=self.source_fps, side=side),
            looks=self._looks,
            parts=self._parts,
            describer=self._describer,
            flow=self._flows.name,
            pictures=tuple(self._pictures),
        )

    def _frames_around_joins(self) -> dict[int, list[tuple[int, int]]]:
        """By frame index, the joins and offsets that it is shown at."""
        wanted: dict[int, list[tuple[int, int]]] = {}
        for join in self.joins[: _MOST_PICTURES // (2 * AROUND)]:
            first = -(-join * self.fps // self.source_fps)  # the first frame that shows the join's
            for offset in range(-AROUND, AROUND):
                wanted.setdefault(first + offset, []).append((join, offset))
        return wanted

    def _keep_picture(self, frame: Image) -> None:
        for join, offset in self._wanted.pop(self.frames, ()):
            picture = cv2.cvtColor(reduced(frame, _STRIP), cv2.COLOR_RGB2BGR)
            jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
            self._pictures.append(JoinPicture(join=join, frame=self.frames, offset=offset, jpeg=jpeg))


def reduced(frame: Image, side: int) -> Image:
    """The frame with its shorter side at `side` pixels; smaller frames pass unchanged."""
    height, width = frame.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return frame
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
