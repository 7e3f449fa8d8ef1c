"""A figure's colours are those of the keyframe: each part of her takes them from where it lay there.

Nothing comes from there but colours: every pixel of hers moves to those that look most like its own around
its place in the keyframe (non-local means over places, after Buades, Coll and Morel 2005). The place is that
of the limb it belongs to; hair, and what is seen past her, may also come from the head's or the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pokora_anime.choreography.skinning import grid, skin, with_head
from pokora_anime.provenance.stage_records import Image

Floats = NDArray[np.float32]  # joints [18,3] in pixels; colours [h,w,3] in CIE Lab

ALIKE = 8.0  # Delta E: deviation of the weight of colours
LIGHTNESS = 0.7  # what counts of a difference in lightness: a shaded part keeps its colour
ELSEWHERE = 1.0  # what a place that is not the limb's own costs, in halves of squared deviations
BEHIND = 4.0  # what the unmoved place costs beyond that where the figure surely is
BLOCK = 1024  # pixels that are matched at once: what lies in the processor's cache
HERS = 0.02  # from here on a pixel may be hers
SOFT = 0.8  # deviation in pixels over which changes are smoothed


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How closely colours are matched: at `side` pixels of the shorter side, of which `reach` are looked at
    around a place with weights of the deviation `near`."""

    side: int = 128
    reach: int = 3
    near: float = 2.0

    def offsets(self) -> NDArray[np.int64]:
        """What is looked at around a place [candidates,2]: x, y."""
        rows, columns = np.mgrid[-self.reach : self.reach + 1, -self.reach : self.reach + 1]
        offsets = np.stack([columns.ravel(), rows.ravel()], -1)
        return offsets[np.square(offsets).sum(-1) <= self.reach**2 + 1].astype(np.int64)


FINE = Search()  # of a clip that is rendered
QUICK = Search(side=80, reach=2, near=1.5)  # of one that is live


@dataclass(frozen=True, slots=True)
class Palette:
    """The keyframe's colours [h,w,3], with a border of the search's reach, and the joints [18,3] of whom it
    shows."""

    colors: Floats
    joints: Floats
    cell: int
    search: Search

    @classmethod
    def of(cls, keyframe: Image, joints: Floats, search: Search = FINE) -> Palette:
        """The colours of a keyframe uint8 [h,w,3]."""
        cell, reach = max(1, min(keyframe.shape[:2]) // search.side), search.reach
        colors = np.pad(_small(keyframe, cell), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        return cls(colors, joints, cell, search)

    def matched(self, frame: Image, joints: Floats) -> Image:
        """A frame uint8 [h,w,3] of the keyframe's size, its figure in the keyframe's colours."""
        own = _small(frame, self.cell)
        size = (own.shape[0], own.shape[1])
        skinned = skin(joints, self.joints, size, self.cell)
        where = skinned.hers > HERS
        hers = skinned.hers[where]
        places = (
            (skinned.places[where], np.zeros_like(hers)),
            (with_head(joints, self.joints, size, self.cell)[where], np.full_like(hers, ELSEWHERE)),
            (grid(size, self.cell)[where], ELSEWHERE + BEHIND * hers),
        )
        change = np.zeros_like(own)
        change[where] = self._changes(own[where], places) * hers[:, None]
        change = cv2.resize(cv2.GaussianBlur(change, (0, 0), SOFT), frame.shape[1::-1])
        return _rgb(_lab(frame) + change)

    def _changes(self, own: Floats, places: Sequence[tuple[Floats, Floats]]) -> Floats:
        """What pixels [n,3] change by: places [n,2] in the keyframe, and what each of them costs [n]."""
        found = np.empty_like(own)
        for start in range(0, len(own), BLOCK):
            block = slice(start, start + BLOCK)
            around = [self._around(place[block], own[block], cost[block]) for place, cost in places]
            found[block] = _nearest(*map(np.concatenate, zip(*around, strict=True)))
        return found

    def _around(self, places: Floats, own: Floats, extra: Floats) -> tuple[Floats, Floats]:
        """Of pixels [n,3] with their places [n,2] in the keyframe: what the colours there differ by
        [candidates,3,n], and what each costs."""
        reach, offsets = self.search.reach, self.search.offsets()
        height, width = (side - 2 * reach for side in self.colors.shape[:2])
        at = np.rint((places - (self.cell - 1) / 2) / self.cell).astype(np.int64)
        columns, rows = np.clip(at[:, 0], 0, width - 1), np.clip(at[:, 1], 0, height - 1)
        index = (rows + reach) * (width + 2 * reach) + columns + reach
        steps = offsets[:, 1] * (width + 2 * reach) + offsets[:, 0]
        far = (np.square(offsets).sum(-1) / (2 * self.search.near**2)).astype(np.float32)
        found = np.take(self.colors.reshape(-1, 3), index + steps[:, None], axis=0)
        apart = np.ascontiguousarray(found.transpose(0, 2, 1)) - own.T
        squares = np.square(apart * _COUNTS[:, None])
        # Added by name: numpy's own sum over a short axis takes three times as long.
        apartness = squares[:, 0] + squares[:, 1] + squares[:, 2]
        return apart, apartness / np.float32(2 * ALIKE**2) + far[:, None] + extra


_COUNTS = np.array([LIGHTNESS, 1, 1], np.float32)


def _nearest(apart: Floats, costs: Floats) -> Floats:
    """The mean [n,3] of differences [candidates,3,n] by their costs, of which the least decides."""
    weights = np.exp(costs.min(0) - costs)
    means = [np.einsum("kn,kn->n", weights, apart[:, channel]) for channel in range(3)]
    return np.asarray(np.stack(means, -1) / weights.sum(0)[:, None], np.float32)


def _small(frame: Image, cell: int) -> Floats:
    size = (frame.shape[1] // cell, frame.shape[0] // cell)
    return _lab(np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8))


def _lab(frame: Image) -> Floats:
    return np.asarray(cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def _rgb(lab: Floats) -> Image:
    rgb = np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
