"""Face and clothes of a clip's figure, second by second: how like those of the first second they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.choreography.skeleton import SURE
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.features import Vector, looks_like, unit

PARTS = ("face", "clothes")
Joints = npt.NDArray[np.float32]
_SIDE = 64  # pixels a side that a part is described at
_LEAST = 8  # pixels of a part's sides below which nothing is told
_NECK, _SHOULDERS, _HIPS, _EYES = 1, (2, 5), (8, 11), (14, 15)
_FACE = 0.8  # half a face's side, of the way from the neck to the eyes
_LONG = 1.3  # a trunk whose hips are not seen, in shoulder widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The second (its middle) in which a part is least like the first one's, and how like it is."""

    second: float
    likeness: float


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a frame in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, frame: Image) -> Image | None:
        """What of it lies inside the frame; None for next to nothing."""
        height, width = frame.shape[:2]
        rows, columns = (
            slice(max(0, self.top), min(height, self.bottom)),
            slice(max(0, self.left), min(width, self.right)),
        )
        found = frame[rows, columns]
        return found if min(found.shape[:2]) >= _LEAST else None


def face_box(joints: Joints) -> Box | None:
    """The square around the eyes, of joints [18,3] in pixels; None where they or the neck are not seen."""
    seen = [place for place in _EYES if joints[place, 2] >= SURE]
    if not seen or joints[_NECK, 2] < SURE:
        return None
    middle = joints[seen, :2].mean(0)
    half = _FACE * float(np.linalg.norm(middle - joints[_NECK, :2]))
    return _around(middle - half, middle + half)


def clothes_box(joints: Joints) -> Box | None:
    """The trunk between the shoulders, down to the hips; None where a shoulder is not seen."""
    if (joints[_SHOULDERS, 2] < SURE).any():
        return None
    shoulders = joints[_SHOULDERS, :2]
    wide = float(np.abs(shoulders[0] - shoulders[1]).max())
    hips = [place for place in _HIPS if joints[place, 2] >= SURE]
    low = float(joints[hips, 1].mean()) if hips else float(shoulders[:, 1].mean()) + _LONG * wide
    corners = np.vstack([shoulders, joints[hips, :2]])
    return _around(
        np.array([corners[:, 0].min() - 0.1 * wide, shoulders[:, 1].min()]),
        np.array([corners[:, 0].max() + 0.1 * wide, low]),
    )


def in_pixels(joints: Joints, frame: Image) -> Joints:
    """Joints [18,3] given in shares of a frame."""
    return joints * np.array([frame.shape[1], frame.shape[0], 1.0], np.float32)


def described(frame: Image, joints: Joints | None) -> dict[str, Vector]:
    """Colours and edges of the parts that these joints [18,3] in pixels show in a frame, by name."""
    found: dict[str, Vector] = {}
    for name, box in zip(PARTS, (face_box, clothes_box), strict=True):
        place = None if joints is None else box(joints)
        part = None if place is None else place.of(frame)
        if part is not None:
            small = cv2.resize(part, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            found[name] = looks_like(np.asarray(small, np.uint8))
    return found


class PartsBySecond:
    """Sums of the parts' vectors, one a second: memory grows by some kilobytes a second of clip."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, npt.NDArray[np.float64]]] = {name: {} for name in PARTS}
        self._counts: dict[str, dict[int, int]] = {name: {} for name in PARTS}

    def add(self, time: float, parts: Mapping[str, Vector]) -> None:
        """What parts look like at a time in seconds."""
        for name, vector in parts.items():
            sums, counts = self._sums[name], self._counts[name]
            counts[int(time)] = counts.get(int(time), 0) + 1
            sums[int(time)] = sums.get(int(time), 0.0) + vector.astype(np.float64)

    def curves(self) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
        """By part, the middles of the seconds that show it and how like (cosine) the first of them it is."""
        found: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}
        for name, sums in self._sums.items():
            counts = self._counts[name]
            seconds = sorted(sums)
            if len(seconds) > 1 and 2 * counts[seconds[-1]] < max(counts.values()):
                del seconds[-1]  # a frame or two after the last whole second
            if len(seconds) > 1:
                first = unit(sums[seconds[0]])
                values = tuple(float(first @ unit(sums[one])) for one in seconds)
                found[name] = (tuple(one + 0.5 for one in seconds), values)
        return found


def curve_name(part: str) -> str:
    """What a part's curve is called in a score."""
    return f"{part}_likeness"


def _around(low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]) -> Box:
    (left, top), (right, bottom) = np.floor(low).astype(int), np.ceil(high).astype(int)
    return Box(int(left), int(top), int(right), int(bottom))
