"""Whether motion falls on the beat: `python -m benchmarks.effects.beat [poses|clips] [--out FILE]`.

Motion energy at a frame is the mean absolute difference from the frame before. Around each beat, half of the
way to its neighbours, its peak is sought; it is on the beat if it lies no more than one frame beside it.
`poses` measures planned joints, `clips` rendered frames of nano.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pokora_anime.media.ffmpeg_program import find_ffmpeg

if TYPE_CHECKING:
    from pokora_anime.choreography.choreographer import Choreographer

BEATS = 120  # of each measurement of poses
ACTIONS = ("dancing", "waving", "jumping", "walking", "clapping", "arms up", "running", "standing")
TEMPI = (60.0, 90.0, 120.0)
FPS = 12  # generated frames a second of the poses
CLIPS = (("1girl, dancing, night sky", 120.0), ("1girl, waving, cherry blossoms", 90.0))
SMALL = (
    *("seed=7", "quality.score=false", "quality.preview=false", "finish.upscale=lanczos"),
    *("finish.width=256", "finish.height=256"),
)
SIDE, CLIP_FPS, CLIP_SECONDS = 256, 24, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement: of how many beats how many have their peak on them; `chance` is the share of frames
    that are near enough to a beat."""

    what: str
    bpm: float
    fps: int
    beats: int
    on_beat: int
    chance: float


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


def pose_rows(*, beaten: bool = True) -> list[Row]:
    """Planned joints of each action at each tempo, with the beat or (`beaten` false) without."""
    from pokora_anime.choreography import pose_plan
    from pokora_anime.choreography.choreographer import Choreographer

    weights = Path(pose_plan.__file__).parents[1] / "nano" / "weights" / "choreographer"
    model, rows = Choreographer.load(weights), list[Row]()
    for action in ACTIONS:
        for bpm in TEMPI:
            hits = on_beat(planned_energy(model, action, bpm, beaten=beaten), FPS, bpm)
            rows.append(_row(f"poses, {action}", bpm, FPS, hits))
    return rows


def planned_energy(model: Choreographer, action: str, bpm: float, *, beaten: bool) -> NDArray[np.floating]:
    """How far the joints of a plan over BEATS beats move to each frame, in pixels."""
    from pokora_anime.choreography import pose_plan, skeleton
    from pokora_anime.schema.settings import ShotConfig
    from pokora_anime.timeline.effects import accents

    frames = round((BEATS + 1) * 60 / bpm * FPS)
    shot = ShotConfig(prompt=f"1girl, {action}", fps=FPS, beat=bpm)
    order = pose_plan.Order(
        stops=[(0, shot.prompt)],
        frames=frames,
        fps=FPS,
        seed=7,
        front=True,
        clock=accents.clock(shot, frames) if beaten else (),
        turns=accents.turns(shot) if beaten else 0.0,
    )
    joints = pose_plan.plan(model, order, skeleton.default_figure((SIDE, SIDE)), (SIDE, SIDE))
    return np.concatenate([[0.0], np.abs(np.diff(joints[..., :2], axis=0)).mean(axis=(1, 2))])


def clip_rows(root: Path, seconds: float) -> list[Row]:
    """Delivered frames of rendered clips, with the beat and without."""
    rows: list[Row] = []
    for prompt, bpm in CLIPS:
        for words in ((f"shot.beat={bpm:g}",), ()):
            line = [
                sys.executable,
                "-m",
                "pokora_anime.cli",
                "video",
                f"shot.prompt={prompt}",
                *SMALL,
                *words,
            ]
            done = subprocess.run(
                [*line, f"shot.seconds={seconds:g}", "--out", str(root)],
                capture_output=True,
                text=True,
                check=True,
            )
            energy = frame_energy(Path(done.stdout.strip().splitlines()[-1]) / "video.mp4")
            hits = on_beat(energy, CLIP_FPS, bpm)
            rows.append(_row(f"clip, {prompt}{'' if words else ', without the beat'}", bpm, CLIP_FPS, hits))
    return rows


def frame_energy(video: Path) -> NDArray[np.floating]:
    """The mean absolute difference of each frame's grey from the one before, 0 to 255."""
    line = [
        find_ffmpeg(),
        "-loglevel",
        "error",
        "-i",
        str(video),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "pipe:1",
    ]
    raw = subprocess.run(line, capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE)
    found = [np.abs(after.astype(np.int16) - before).mean() for before, after in pairwise(frames)]
    return np.array([0.0, *found])


def _row(what: str, bpm: float, fps: int, hits: list[bool]) -> Row:
    chance = min(1.0, 3 / (60 * fps / bpm))
    return Row(what=what, bpm=bpm, fps=fps, beats=len(hits), on_beat=sum(hits), chance=round(chance, 2))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a line a row; with --out all of them as JSON."""
    parser = argparse.ArgumentParser(description="whether motion falls on the beat")
    parser.add_argument("what", nargs="?", choices=["poses", "clips"], default="poses")
    parser.add_argument("--seconds", type=float, default=CLIP_SECONDS, help="of a clip")
    parser.add_argument("--out", type=Path, help="where the rows go as JSON")
    typed = parser.parse_args(arguments)
    if typed.what == "clips":
        with tempfile.TemporaryDirectory() as folder:
            rows = clip_rows(Path(folder), typed.seconds)
    else:
        rows = [
            *pose_rows(),
            *(replace(row, what=f"{row.what}, without the beat") for row in pose_rows(beaten=False)),
        ]
    for row in rows:
        print(
            f"{row.what:50} {row.bpm:5g} BPM  {row.on_beat}/{row.beats} on the beat"
            f" (by chance {row.chance:.0%})"
        )
    if typed.out:
        typed.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
