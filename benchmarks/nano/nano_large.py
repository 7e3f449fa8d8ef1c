"""Frames as they are delivered, three times as large: how sharp their lines are, and whether they flicker."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.nano import nano_flow
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.nano_table import Line
from pokora_anime.nano.crisp import SCALE, Crisp
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene
from pokora_anime.quality.metrics.line_sharpness import clip_line_width

WIDTH_BAR, FLICKER_BAR = 1.3, 1.0
LOOKED_AT = 3  # frames whose lines are measured, spread over the clip
SIDE = 256


def lanczos(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame three times as large, without a network."""
    height, width = frame.shape[:2]
    size = (SCALE * width, SCALE * height)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)


def large_row(made: nano_flow.Clip, still: NDArray[np.bool_] | None, network: Crisp) -> Row:
    """Widths of lines and, where `still` [h,w] tells what stands still, flicker: crisp and by Lanczos."""
    row: Row = {}
    for name, larger in (("crisp", network.enlarged), ("lanczos", lanczos)):
        clip = np.stack([larger(frame) for frame in made])
        row[f"width_{name}"] = clip_line_width(clip[_places(len(made))])
        if still is not None:
            mask = np.repeat(np.repeat(still, SCALE, 0), SCALE, 1)
            value = nano_flow.flicker(clip, mask)
            row[f"flicker_{name}"] = None if np.isnan(value) else value
    return row


def drawn_width(scene: Scene, times: Sequence[float]) -> float | None:
    """Width of the lines of the drawn frames, at the delivered size."""
    kept = [times[place] for place in _places(len(times))]
    return clip_line_width(draw_frame(scene, time, SCALE * SIDE, lines_of=SIDE).rgb for time in kept)


def lines(rows: Sequence[Row]) -> list[Line]:
    """Sharpness against drawings and flicker against Lanczos; none of a family that has no such network."""
    known = [row for row in rows if row.get("width_crisp") is not None and row["drawn_width"] is not None]
    if not known:
        return []
    width = {
        name: float(np.median([row[f"width_{name}"] / row["drawn_width"] for row in known]))
        for name in ("crisp", "lanczos")
    }
    sharp = Line(
        what=f"lines at {SCALE * SIDE} px: width of gradients against drawn clips",
        bar=f"<= {WIDTH_BAR} x",
        shown=f"{width['crisp']:.2f} x (Lanczos {width['lanczos']:.2f} x)",
        value=width["crisp"],
        met=width["crisp"] <= WIDTH_BAR,
        count=len(known),
        details=width,
    )
    still = [row for row in known if row.get("flicker_crisp") is not None]
    if not still:
        return [sharp]
    levels = {
        name: float(np.mean([row[f"flicker_{name}"] for row in still])) for name in ("crisp", "lanczos")
    }
    ratio = levels["crisp"] / levels["lanczos"]
    calm = Line(
        what=f"flicker of still background at {SCALE * SIDE} px against Lanczos",
        bar=f"<= {FLICKER_BAR:g} x",
        shown=f"{ratio:.2f} x",
        value=ratio,
        met=ratio <= FLICKER_BAR,
        count=len(still),
        details=levels,
    )
    return [sharp, calm]


def _places(frames: int) -> list[int]:
    return [round((k + 0.5) * frames / LOOKED_AT - 0.5) for k in range(LOOKED_AT)]
