"""How the view moves in a clip: the shift, zoom and turn that explain most of its flow. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pokora_anime.quality.metrics.optical_flow import DisFlow
from pokora_anime.untrusted.png_pictures import Image

SIDE = 128  # pixels of the shorter side, at which flow is read
ROUNDS = 6  # of the fit, each of which trusts less what moves by itself
TOLD = 0.15  # pixels a frame, below which a part of a move is not worth a word
_WAYS = (("left", "right"), ("up", "down"), ("smaller", "larger"), ("anticlockwise", "clockwise"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is in the picture goes `right` and `down`, grows and turns, each in pixels a frame, of 256 on the
    shorter side; growing and turning as a point halfway to the edge is carried by them."""

    right: float
    down: float
    grows: float
    turns: float

    @property
    def vector(self) -> NDArray[np.float64]:
        """All four."""
        return np.array([self.right, self.down, self.grows, self.turns])

    @property
    def size(self) -> float:
        """Its length."""
        return float(np.linalg.norm(self.vector))

    def along(self, wanted: Move) -> float:
        """How much of it goes the way of another; below 0: against it."""
        return float(self.vector @ wanted.vector) / max(wanted.size, 1e-9)

    def words(self) -> str:
        """For a person."""
        parts = [
            f"{abs(value):.1f} px {back if value < 0 else forth}"
            for value, (back, forth) in zip(self.vector, _WAYS, strict=True)
            if abs(value) >= TOLD
        ]
        return ", ".join(parts) or "still"


def of_clips(clips: Sequence[Sequence[Image]]) -> Move:
    """The median move from frame to frame of clips, each of frames uint8 [height, width, 3]: who jumps in
    one of them moves no view."""
    vectors = [pair for clip in clips for pair in _moves(clip)]
    right, down, grows, turns = (float(value) for value in np.median(vectors, 0))
    return Move(right=right, down=down, grows=grows, turns=turns)


def _moves(clip: Sequence[Image]) -> list[NDArray[np.float64]]:
    flow = DisFlow()
    height, width = clip[0].shape[:2]
    scale = SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    small = [np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.uint8) for one in clip]
    return [
        fitted(flow(one, two)[0], _weights(one)) * (256 / SIDE)
        for one, two in zip(small, small[1:], strict=False)
    ]


def _weights(frame: Image) -> NDArray[np.float64]:
    """Where flow can be seen: at edges."""
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)
    down, right = (np.abs(np.asarray(part, np.float64)) for part in np.gradient(grey))
    return (down + right + 0.1).ravel()


def fitted(flow: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift right and down, growth and clockwise turn of a flow [height, width, 2], in its pixels; the last
    two halfway to the edge. Least squares, in which what the fit does not explain counts less each round."""
    height, width = flow.shape[:2]
    radius = min(height, width) / 4
    y, x = np.mgrid[:height, :width]
    across = ((x - (width - 1) / 2) / radius).ravel()
    along = ((y - (height - 1) / 2) / radius).ravel()
    zero, one = np.zeros_like(across), np.ones_like(across)
    rows = np.concatenate([np.stack([one, zero, across, -along], 1), np.stack([zero, one, along, across], 1)])
    wanted = flow.reshape(-1, 2).astype(np.float64)
    trust = weights
    found = np.zeros(4, np.float64)
    for _ in range(ROUNDS):
        both = np.concatenate([trust, trust])
        found = np.linalg.solve((rows * both[:, None]).T @ rows, (rows * both[:, None]).T @ wanted.T.ravel())
        off = np.abs((rows @ found).reshape(2, -1).T - wanted).sum(1)
        trust = weights / (off + 0.1 * (1 + float(np.median(off))))
    return np.asarray(found, np.float64)
