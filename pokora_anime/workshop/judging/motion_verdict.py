"""A motion LoRA judged by what it does to clips: the view moves as in the drawings, and as fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pokora_anime.catalogue.lora.lora_table import read_table
from pokora_anime.provenance.hashing import Table
from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.schema.settings import Family
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.judging import camera_move
from pokora_anime.workshop.judging.camera_move import Move
from pokora_anime.workshop.judging.lora_verdict import FIRST_SEED, STILL_MOVED, too_weak
from pokora_anime.workshop.judging.weighed_networks import WeighedClips
from pokora_anime.workshop.training.clips.clip_training import FRAMES
from pokora_anime.workshop.training.latent_cache import captioned
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.lora_training import write_png
from pokora_anime.workshop.training.training_base import TrainingBase

WEIGHTS = (0.0, 0.5, 1.0, 1.2)  # of the sheet, a row each
SHOWN = 6  # frames of a row
CLIPS = {Family.nano: 8}  # that are made with the LoRA and without
FEWER = 2  # of a large base
READ = 12  # drawn clips whose move is read
LEAST = 0.2  # of the drawings' move, that it has to add
CAMERA = 0.3  # pixels a frame, below which the drawings' view is still, and a LoRA has to move pictures alone


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionVerdict:
    """What was measured: the view's move in drawn clips, and in `clips` made with the LoRA at weight 1 and
    without; `moved` in grey levels."""

    layers: int
    clips: int
    drawn: Move
    made: Move
    without: Move
    moved: float

    def to_plain(self) -> Table:
        """As style.json holds it."""
        told = {"along": self.made.along(self.drawn), "along_without": self.without.along(self.drawn)}
        return cast(Table, {**asdict(self), **told})

    def lines(self) -> list[tuple[str, str]]:
        """Each measure and its value, for a page and a terminal."""
        made, without = self.made.along(self.drawn), self.without.along(self.drawn)
        rows = [("the view in the drawings", f"{self.drawn.words()} a frame (of 256)")]
        if self.drawn.size >= CAMERA:
            rows.append(
                (
                    "that way, in clips at weight 1",
                    f"{made:+.1f} px a frame of {self.drawn.size:.1f}, without {without:+.1f}",
                )
            )
        rows.append(("the view in these clips", f"{self.made.words()}, without {self.without.words()}"))
        rows.append(("moves the picture", f"{self.moved:.1f} grey levels at weight 1"))
        return rows

    def require(self) -> None:
        """Raises TrainingError TRN-WEAK for a LoRA that does not move the view as the drawings do."""
        gained = self.made.along(self.drawn) - self.without.along(self.drawn)
        if self.drawn.size >= CAMERA and gained < LEAST * self.drawn.size:
            raise too_weak(
                f"at weight 1 the view goes {gained:+.2f} pixels a frame more the way of the drawings",
                f"at least {LEAST * self.drawn.size:.2f}, a fifth of theirs",
            )
        if self.moved < STILL_MOVED:
            raise too_weak(
                f"at weight 1 frames change by {self.moved:.2f} grey levels", f"at least {STILL_MOVED:g}"
            )


def judge(settings: LoraSettings, data: Stored, base: TrainingBase, file: Path, work: Path) -> MotionVerdict:
    """Measures a motion LoRA and writes its sheet, weights.png.

    Raises WeightsError WGT-FIT for one that changes nothing.
    """
    layers = len(read_table(file, settings.id))
    by_clip = data.data.by_clip()
    captions = [captioned(frames[0].caption, settings) or "1girl" for frames in by_clip.values()]
    count = CLIPS.get(settings.base, FEWER)
    prompts = [captions[index % len(captions)] for index in range(count)]
    seeds = [FIRST_SEED + index for index in range(count)]
    weighed = WeighedClips(base, file)
    _sweep(weighed, prompts[0], work)
    without, made = (weighed.clips(prompts, seeds, weight, FRAMES) for weight in (0.0, 1.0))
    weighed.free()
    drawn = [[data.picture(one) for one in frames] for frames in list(by_clip.values())[:READ]]
    return MotionVerdict(
        layers=layers,
        clips=count,
        drawn=camera_move.of_clips(drawn),
        made=camera_move.of_clips(_each(made)),
        without=camera_move.of_clips(_each(without)),
        moved=float(np.abs(made.astype(np.float32) - without).mean()),
    )


def _each(clips: NDArray[np.uint8]) -> Sequence[Sequence[NDArray[np.uint8]]]:
    return [list(clip) for clip in clips]


def _sweep(weighed: WeighedClips, prompt: str, work: Path) -> None:
    """The sheet of weights: a row of frames each, from the same noise."""
    places = [round(index * (FRAMES - 1) / (SHOWN - 1)) for index in range(SHOWN)]
    cells: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for weight in WEIGHTS:
        (clip,) = weighed.clips([prompt], [0], weight, FRAMES)
        cells += [clip[place] for place in places]
        labels += [f"{weight:g}: frame {place}" for place in places]
    write_png(work / "weights.png", contact_sheet(cells, SHOWN, labels))
