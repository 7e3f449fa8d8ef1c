"""Contact sheets: frames of a clip, or clips of a sweep, in a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

import cv2
import numpy as np

from pokora_anime.provenance.stage_records import Image

FRAMES = 16  # that a clip's sheet shows
MAX_WIDTH = 1600  # pixels
GAP = 4
_GROUND = 24  # grey level of the gaps
_LABEL_HEIGHT = 22


def contact_sheet(frames: Sequence[Image], columns: int, labels: Sequence[str] | None = None) -> Image:
    """Frames [h,w,3] in reading order, scaled to one cell size, at most 1600 px wide in all.

    `labels` stand under their frames; characters outside ASCII show as '?'. Raises ValueError without
    frames.
    """
    if not frames:
        raise ValueError("a contact sheet needs at least one frame")
    columns = max(1, min(columns, len(frames)))
    height, width = frames[0].shape[:2]
    cell_width = min(width, (MAX_WIDTH - GAP * (columns + 1)) // columns)
    cell_height = max(1, round(height * cell_width / width))
    label_height = _LABEL_HEIGHT if labels else 0
    rows = ceil(len(frames) / columns)
    shape = (GAP + rows * (cell_height + label_height + GAP), GAP + columns * (cell_width + GAP), 3)
    sheet = np.full(shape, _GROUND, np.uint8)
    for index, frame in enumerate(frames):
        row, column = divmod(index, columns)
        top, left = GAP + row * (cell_height + label_height + GAP), GAP + column * (cell_width + GAP)
        sheet[top : top + cell_height, left : left + cell_width] = _fitted(frame, cell_width, cell_height)
        if labels and index < len(labels):
            cell = sheet[top + cell_height : top + cell_height + label_height, left : left + cell_width]
            cell[:] = _label(labels[index], cell_width)
    return sheet


class SheetCollector:
    """Keeps `keep` evenly spaced, downscaled frames of a stream of `total`, and nothing else of it."""

    def __init__(self, total: int, keep: int = FRAMES, width: int = 384) -> None:
        keep = max(1, min(keep, total))
        self._wanted = {round(i * (total - 1) / max(1, keep - 1)) for i in range(keep)}
        self._width = width
        self._seen = 0
        self.frames: list[Image] = []
        self.indices: list[int] = []

    @property
    def due(self) -> bool:
        """Whether the next frame of the stream is one that is kept."""
        return self._seen in self._wanted

    def add(self, frame: Image) -> None:
        """Shows the next frame of the stream."""
        if self.due:
            height, width = frame.shape[:2]
            narrow = min(self._width, width)
            self.frames.append(_fitted(frame, narrow, round(height * narrow / width)).copy())
            self.indices.append(self._seen)
        self._seen += 1

    def watch(self, frames: Iterable[Image]) -> Iterator[Image]:
        """The same frames, collected on their way."""
        for frame in frames:
            self.add(frame)
            yield frame

    def sheet(self, fps: int, columns: int = 4) -> Image:
        """The collected frames with their times in seconds."""
        return contact_sheet(self.frames, columns, [f"{index / fps:.2f} s" for index in self.indices])


def _fitted(frame: Image, width: int, height: int) -> Image:
    if frame.shape[:2] == (height, width):
        return frame
    kind = cv2.INTER_AREA if frame.shape[1] >= width else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(frame, (width, height), interpolation=kind), np.uint8)


def _label(text: str, width: int) -> Image:
    """One line of ASCII, cut to fit."""
    plain = text.encode("ascii", "replace").decode()
    size, line = 0.45, 1
    while plain and cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, line)[0][0] > width - 4:
        plain = plain[:-1]
    cell = np.full((_LABEL_HEIGHT, width, 3), _GROUND, np.uint8)
    cv2.putText(cell, plain, (2, 15), cv2.FONT_HERSHEY_SIMPLEX, size, (220, 220, 220), line, cv2.LINE_AA)
    return cell
