"""Where each part of a figure lies in another pose: linear blend skinning of a picture by its limbs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Segment = tuple[complex, complex]  # from, to: x + iy in pixels

SURE = 0.5
NECK, SHOULDERS, HIPS, EYES, NOSE = 1, (2, 5), (8, 11), (14, 15), 0
LIMBS = ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13))
# How far around its bone a part reaches, in trunks.
TRUNK_REACH, LIMB_REACH, HEAD_REACH = 0.35, 0.22, 0.75
HEAD_ABOVE = 0.1  # trunks that the middle of the head is above the eyes
HOLD, EDGE = 0.7, 0.5  # of its reach: how far a part moves what is around it, and the edge of what is hers
LENGTHS = (0.6, 1.6)  # a limb is stretched no further: what is seen shorter is turned away
TRUNK = 1.45  # widths of the shoulders, where the hips are outside of the frame
UNSEEN_TRUNK = 60.0  # pixels, where not even shoulders are seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Skin:
    """For the cells of a pose: `places` [h,w,2] (x, y in pixels) of the same parts in the other pose, and
    how surely [h,w], 0 to 1, they are hers."""

    places: Floats
    hers: Floats


def grid(size: tuple[int, int], cell: float) -> Floats:
    """The middles [h,w,2] (x, y in pixels) of cells of `cell` pixels."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return np.stack([columns, rows], -1) * np.float32(cell) + np.float32((cell - 1) / 2)


def skin(pose: Floats, other: Floats, size: tuple[int, int], cell: float) -> Skin:
    """Where what a pose [18,3] shows in each of [h,w] cells lies in the other pose; off her, nothing moves.

    Each limb takes its surroundings along by a similarity, and they are blended by their nearness.
    """
    middles = grid(size, cell)
    at = middles[..., 0] + 1j * middles[..., 1]
    here, there = _parts(pose), _parts(other)
    trunk = there.get("trunk")
    unit = abs(trunk[1] - trunk[0]) if trunk else UNSEEN_TRUNK
    shared = [name for name in here if name in there]
    if not shared:
        return Skin(places=middles, hers=np.zeros(size, np.float32))
    moved, total, hers = np.zeros(size, np.complex128), np.zeros(size), np.zeros(size, np.float32)
    for name in shared:
        reach = unit * {"trunk": TRUNK_REACH, "head": HEAD_REACH}.get(name, LIMB_REACH)
        away = _away(at, here[name], name, unit)
        hold = np.exp(-np.square(away / (reach * HOLD)).astype(np.float64)) + 1e-8
        moved += hold * _moved(at, here[name], there[name], name)
        total += hold
        beyond = np.maximum(away - reach, 0) / (reach * EDGE)
        hers = np.maximum(hers, np.exp(-0.5 * np.square(beyond)))
    places = at + hers * (moved / total - at)
    return Skin(places=np.stack([places.real, places.imag], -1).astype(np.float32), hers=hers)


def with_head(pose: Floats, other: Floats, size: tuple[int, int], cell: float) -> Floats:
    """Places [h,w,2] in the other pose as though all moved with the head, as hair does."""
    middles = grid(size, cell)
    here, there = _parts(pose).get("head"), _parts(other).get("head")
    if here is None or there is None:
        return middles
    places = _moved(middles[..., 0] + 1j * middles[..., 1], here, there, "head")
    return np.stack([places.real, places.imag], -1).astype(np.float32)


def _parts(joints: Floats) -> dict[str, Segment]:
    """The parts of a pose that are seen, in a fixed order."""
    seen = joints[:, 2] > SURE
    at = [complex(float(x), float(y)) for x, y in joints[:, :2]]
    found: dict[str, Segment] = {}
    if seen[[NECK, *HIPS]].all():
        found["trunk"] = at[NECK], (at[HIPS[0]] + at[HIPS[1]]) / 2
    elif seen[[NECK, *SHOULDERS]].all():
        across = at[SHOULDERS[1]] - at[SHOULDERS[0]]
        down = across * (1j if across.real >= 0 else -1j)  # y grows downwards
        found["trunk"] = at[NECK], at[NECK] + TRUNK * down
    found |= {f"{a}-{b}": (at[a], at[b]) for a, b in LIMBS if seen[a] and seen[b]}
    if seen[[*EYES]].all():
        found["head"] = at[EYES[0]], at[EYES[1]]
    elif seen[NOSE]:
        found["head"] = at[NOSE], at[NOSE] + 10
    return {name: one for name, one in found.items() if abs(one[1] - one[0]) > 1e-3}


def _away(at: NDArray[np.complexfloating], part: Segment, name: str, unit: float) -> Floats:
    """Distance [h,w] of each place to a part in pixels."""
    start, way = part[0], part[1] - part[0]
    if name == "head":
        return np.abs(at - ((part[0] + part[1]) / 2 - 1j * HEAD_ABOVE * unit)).astype(np.float32)
    share = np.clip(((at - start) * way.conjugate()).real / abs(way) ** 2, 0, 1)
    return np.abs(at - start - share * way).astype(np.float32)


def _moved(
    at: NDArray[np.complexfloating], here: Segment, there: Segment, name: str
) -> NDArray[np.complexfloating]:
    """Places that keep where they are beside a part which is turned and scaled."""
    turn = (there[1] - there[0]) / (here[1] - here[0])
    if name != "head":
        turn *= min(max(abs(turn), LENGTHS[0]), LENGTHS[1]) / abs(turn)
    return there[0] + (at - here[0]) * turn
