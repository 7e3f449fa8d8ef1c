"""What subject and background look like, as vectors, and how alike they stay over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.metric_table import COLORS

Vector = npt.NDArray[np.float32]

MOST_LOOKS = 64  # kept of a clip, evenly spaced
LOOKS_A_SECOND = 4.0
_SIDE = 64  # pixels a side that the colour and edge descriptors are taken from
_LIGHTS, _HUES, _DIRECTIONS = 8, 20, 8  # histogram bins of L, of a and b each, of edges
_SHARES = (0.25, 0.5, 0.25)  # weights of lightness, hue and edges


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One frame described; vectors of length 1, their product is the likeness.

    `parts` are those of the figure by name, where its pose tells where they are.
    """

    subject: Vector
    background: Vector
    parts: Mapping[str, Vector] = field(default_factory=dict[str, Vector])


class Describer(Protocol):
    """What turns frames into looks; `adherence` is asked for at the end."""

    name: str
    looks_a_second: float

    def look(self, frame: Image) -> Look:
        """The next frame of the clip, at about `looks_a_second`."""
        ...

    def adherence(self) -> tuple[float | None, str]:
        """How far the clip shows what its prompt names, 0..1, and by which judge; None and why not."""
        ...


class ColorsAndEdges:
    """Colour histograms and edge directions of the middle and of the border: needs no weights.

    The subject of a clip is assumed to stand in the middle.
    """

    name = COLORS
    looks_a_second = LOOKS_A_SECOND

    def look(self, frame: Image) -> Look:
        small = np.asarray(cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
        middle = _middle()
        return Look(subject=_descriptor(small, middle), background=_descriptor(small, ~middle))

    def adherence(self) -> tuple[float | None, str]:
        return None, "neither the nano probe nor CLIP is here to read the prompt's words from the frames"


class Looks:
    """The looks of a clip, at most `MOST_LOOKS` of them: every second one is dropped when there are more."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.looks: list[Look] = []
        self._stride = 1
        self._seen = 0

    def add(self, frame: int, look: Look) -> None:
        """The next look; `frame` is its index in the clip."""
        if self._seen % self._stride == 0:
            self.frames.append(frame)
            self.looks.append(look)
            if len(self.looks) > MOST_LOOKS:
                self.frames, self.looks = self.frames[::2], self.looks[::2]
                self._stride *= 2
        self._seen += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """Mean likeness of two frames by the seconds between them; `far` is the mean from half a clip on."""

    seconds: tuple[float, ...]
    likeness: tuple[float, ...]
    far: float


def consistency(vectors: Sequence[Vector], times: Sequence[float]) -> Consistency | None:
    """Over all pairs of looks at `times` (seconds); None for fewer than two."""
    if len(vectors) < 2:
        return None
    stacked = np.stack(vectors).astype(np.float64)
    first, second = np.triu_indices(len(vectors), 1)
    likeness = (stacked @ stacked.T)[first, second]
    apart = np.abs(np.asarray(times)[second] - np.asarray(times)[first])
    edges = cast(npt.NDArray[np.float64], np.linspace(0, apart.max(), 13))
    bins = np.clip(np.digitize(apart, edges[1:-1], right=True), 0, 11)
    filled = [index for index in range(12) if (bins == index).any()]
    return Consistency(
        seconds=tuple(float(apart[bins == index].mean()) for index in filled),
        likeness=tuple(float(likeness[bins == index].mean()) for index in filled),
        far=float(likeness[apart >= apart.max() / 2].mean()),
    )


def looks_like(picture: Image) -> Vector:
    """Colours and edges of a whole picture."""
    return _descriptor(picture, np.ones(picture.shape[:2], np.bool_))


def unit(vector: npt.NDArray[np.floating]) -> Vector:
    """The vector at length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def _descriptor(frame: Image, where: npt.NDArray[np.bool_]) -> Vector:
    """Square roots of shares, so that the product of two is a Bhattacharyya coefficient."""
    lab = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2LAB), np.float64)[where]
    light = _soft(lab[:, 0] * (_LIGHTS / 256), _LIGHTS)
    a, b = (_soft((lab[:, i] - 128) * (_HUES / 140) + _HUES / 2, _HUES) for i in (1, 2))
    hues = np.einsum("na,nb->ab", a, b)
    strength, direction = _edges(frame)
    edges = np.bincount(direction[where], weights=strength[where], minlength=_DIRECTIONS) + 1e-6
    roots = [np.sqrt(part.ravel() / part.sum()) for part in (light.sum(0), hues, edges)]
    return unit(np.concatenate([w**0.5 * root for w, root in zip(_SHARES, roots, strict=True)]))


def _soft(position: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    """Each value shared between the two bins around it: [n, bins]."""
    distance = np.abs(np.arange(bins) - np.clip(position, 0, bins - 1)[:, None])
    return np.maximum(0.0, 1.0 - distance)


def _edges(frame: Image) -> tuple[Vector, npt.NDArray[np.int_]]:
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)
    x, y = (np.asarray(cv2.Sobel(grey, cv2.CV_32F, *order), np.float32) for order in ((1, 0), (0, 1)))
    angle = np.arctan2(y, x) % np.float32(np.pi)
    return np.hypot(x, y), np.minimum((angle * (_DIRECTIONS / np.pi)).astype(np.int_), _DIRECTIONS - 1)


def _middle() -> npt.NDArray[np.bool_]:
    middle = np.zeros((_SIDE, _SIDE), np.bool_)
    middle[_SIDE // 8 :, _SIDE // 4 : -_SIDE // 4] = True
    return middle
