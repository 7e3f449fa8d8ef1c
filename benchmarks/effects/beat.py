"""Whether motion falls on the beat: `python -m benchmarks.effects.beat [poses|clips] [--out FILE]`.

Motion energy at a frame is the mean absolute difference from the frame before. Around each beat, half of the
way to its neighbours, its peak is sought; it is on the beat if it lies no more than one frame beside it.
`poses` measures planned joints, `clips` rendered frames of nano.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BEATS = 120  # of each measurement
ACTIONS = ("dancing", "waving", "jumping", "walking", "clapping", "arms up", "running", "standing")
TEMPI = (90.0, 120.0, 140.0)
CLIPS = (("1girl, dancing, night sky", 120.0), ("1girl, waving, cherry blossoms", 100.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement: what, at which tempo, how many beats, how many of them with their peak on them."""

    what: str
    bpm: float
    fps: int
    beats: int
    on_beat: int


def on_beat(energy: NDArray[np.floating], fps: float, bpm: float) -> list[bool]:
    """Of each beat of a series [frames], energy at frame 0 being none: whether its peak is no more than one
    frame away. The first beat has nothing before it; the last one wants half a beat after it."""
    period = 60 * fps / bpm
    found: list[bool] = []
    for number in range(1, int((len(energy) - 1 - period / 2) / period) + 1):
        at = number * period
        first, last = int(np.ceil(at - period / 2)), int(np.ceil(at + period / 2))
        peak = first + int(np.argmax(energy[first:last]))
        found.append(abs(peak - at) <= 1.0)
    return found


def pose_rows() -> list[Row]:
    """Planned joints of each action at each tempo, at 8 and 24 frames a second."""
    from pokora_anime.catalogue import weight_paths
    from pokora_anime.choreography import pose_plan, skeleton
    from pokora_anime.choreography.choreographer import Choreographer
    from pokora_anime.schema.settings import ShotConfig
    from pokora_anime.timeline import accents

    del weight_paths
    model = Choreographer.load(Path(__file__).parents[2] / "pokora_anime" / "nano" / "weights" / "choreographer")
    size, rows = (256, 256), list[Row]()
    for action in ACTIONS:
        for bpm in TEMPI:
            for fps in (8, 12):
                frames = int((BEATS + 1) * 60 / bpm * fps) + fps
                shot = ShotConfig(prompt=f"1girl, {action}", fps=fps, beat=bpm, seconds=frames / fps)
                order = pose_plan.Order(
                    stops=[(0, shot.prompt)],
                    frames=frames,
                    fps=fps,
                    seed=7,
                    front=True,
                    clock=accents.clock(shot, frames),
                    turns=accents.turns(shot),
                )
                joints = pose_plan.plan(model, order, skeleton.default_figure(size), size)
                moved = np.abs(np.diff(joints[..., :2], axis=0)).mean(axis=(1, 2))
                hits = on_beat(np.concatenate([[0.0], moved]), fps, bpm)
                rows.append(Row(what=f"poses, {action}", bpm=bpm, fps=fps, beats=len(hits), on_beat=sum(hits)))
    return rows
if __name__ == "__main__":
    for r in pose_rows(): print(r.what, r.bpm, r.fps, r.beats, round(r.on_beat/r.beats,3))
