"""A LoRA judged by what it does to pictures: it moves them, towards the drawings, and copies none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pokora_anime.catalogue.lora.lora_table import read_table
from pokora_anime.errors import TrainingError
from pokora_anime.provenance.hashing import Table
from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.schema.settings import Family
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import size_buckets
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.judging import copy_check, seen_traits
from pokora_anime.workshop.judging.seen_traits import Seen
from pokora_anime.workshop.judging.weighed_networks import Weighed
from pokora_anime.workshop.training.latent_cache import captioned
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.lora_training import write_png
from pokora_anime.workshop.training.training_base import TrainingBase

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
SWEPT = 4  # prompts of the sheet of weights
PICTURES = {Family.nano: 40}  # that are made with the LoRA and without
FEWER = 8  # of a large base
SHOWN = 6  # pairs on the sheet of the nearest drawings
STILL_MOVED = 2.0  # grey levels that a picture changes by at weight 1, below which nothing is learnt
CELLS = 8  # levels a channel of the histogram that colours are compared by
FIRST_SEED = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was measured. `moved` in grey levels; `nearer`: how much of the distance to the drawings' colours
    is gone; `copied` of `pictures` are nearer to a drawing than drawings are to one another."""

    layers: int
    moved: float
    nearer: float
    pictures: int
    copied: int
    nearest: float
    between_drawings: float
    seen: Seen | None

    def to_plain(self) -> Table:
        """As style.json holds it."""
        return cast(Table, asdict(self))

    def lines(self) -> list[tuple[str, str]]:
        """Each measure and its value, for a page and a terminal."""
        rows = [
            ("moves the picture", f"{self.moved:.1f} grey levels at weight 1"),
            ("towards the drawings' colours", f"{self.nearer:+.0%} of the way"),
            (
                "copies",
                f"{self.copied} of {self.pictures}; the nearest is {self.nearest:.1f} grey levels from a"
                f" drawing, two drawings at least {self.between_drawings:.1f}",
            ),
        ]
        if self.seen is not None and self.seen.traits:
            for name, value in self.seen.traits.items():
                there, before = self.seen.shown[name]
                rows.append((f"{name.replace('_', ' ')}: {value}", f"{there:.0%}, without {before:.0%}"))
            there, before = self.seen.together
            rows.append(("all of that at once", f"{there:.0%}, without {before:.0%}"))
        if self.seen is not None:
            there, before = self.seen.followed
            rows.append(("what prompts ask for", f"{there:.1%}, without {before:.1%}"))
        return rows

    def require(self) -> None:
        """Raises TrainingError TRN-WEAK for a LoRA that does nothing that could be seen."""
        if self.moved < STILL_MOVED:
            raise too_weak(
                f"at weight 1 the picture changes by {self.moved:.2f} grey levels",
                f"at least {STILL_MOVED:g}",
            )


def too_weak(got: str, expected: str) -> TrainingError:
    """The refusal of a LoRA that does nothing that could be seen."""
    fix = "more --steps, or a higher --rate; it is kept and not registered"
    return TrainingError("TRN-WEAK", got, expected=expected, fix=fix)


def judge(settings: LoraSettings, data: Stored, base: TrainingBase, file: Path, work: Path) -> Verdict:
    """Measures a LoRA and writes its two sheets, weights.png and nearest.png.

    Raises WeightsError WGT-FIT for one that changes nothing.
    """
    layers = len(read_table(file, settings.id))
    entries = data.data.entries
    captions = [captioned(one.caption, settings) or "1girl" for one in entries]
    count = PICTURES.get(settings.base, FEWER)
    prompts = [captions[index % len(captions)] for index in range(count)]
    seeds = [FIRST_SEED + index for index in range(count)]
    drawings = [data.picture(one) for one in entries]
    weighed = Weighed(base, file)
    _sweep(weighed, prompts, work)
    without, made = (weighed.stills(prompts, seeds, weight) for weight in (0.0, 1.0))
    weighed.free()
    found, least = copy_check.nearest(list(made), drawings), copy_check.usual(drawings)
    _pairs(found, made, drawings, work)
    seen = None
    if settings.base is Family.nano:
        seen = seen_traits.look(drawings, [one.caption for one in entries], prompts, (made, without))
    return Verdict(
        layers=layers,
        moved=float(np.abs(made.astype(np.float32) - without).mean()),
        nearer=nearer(made, without, drawings),
        pictures=count,
        copied=len(copy_check.copies(found, least)),
        nearest=found[0].distance,
        between_drawings=least,
        seen=seen,
    )


def _sweep(weighed: Weighed, prompts: Sequence[str], work: Path) -> None:
    """The sheet of weights: a row a prompt, from the same noise."""
    chosen = [prompts[index * len(prompts) // SWEPT] for index in range(SWEPT)]
    columns = [weighed.stills(chosen, range(SWEPT), weight) for weight in WEIGHTS]
    cells = [column[row] for row in range(SWEPT) for column in columns]
    labels = [f"{weight:g}" for _ in range(SWEPT) for weight in WEIGHTS]
    write_png(work / "weights.png", contact_sheet(cells, len(WEIGHTS), labels))


def _pairs(
    found: Sequence[copy_check.Nearest], made: NDArray[np.uint8], drawings: Sequence[Image], work: Path
) -> None:
    """The sheet of the nearest drawings: picture and drawing side by side, the nearest pair first."""
    height, width = made.shape[1:3]
    bucket = size_buckets.Bucket(width=width, height=height)
    cells: list[Image] = []
    labels: list[str] = []
    for one in found[:SHOWN]:
        cells += [made[one.picture], size_buckets.fitted(drawings[one.drawing], bucket)]
        labels += [f"made, {one.distance:.0f} levels off", f"drawing {one.drawing + 1}"]
    write_png(work / "nearest.png", contact_sheet(cells, 4, labels))


def nearer(made: NDArray[np.uint8], without: NDArray[np.uint8], drawings: Sequence[Image]) -> float:
    """How much of the distance between the colours of pictures and of drawings is gone; below 0: grown."""
    wanted = _colours(drawings)
    before = float(np.abs(_colours(list(without)) - wanted).sum())
    return 1.0 - float(np.abs(_colours(list(made)) - wanted).sum()) / max(before, 1e-9)


def _colours(pictures: Sequence[Image]) -> NDArray[np.float64]:
    """The shares of 512 colours over pictures."""
    total = np.zeros(CELLS**3)
    for picture in pictures:
        cells = (picture[::4, ::4] // (256 // CELLS)).reshape(-1, 3).astype(np.int64)
        counts = np.bincount(cells @ np.array([CELLS * CELLS, CELLS, 1]), minlength=CELLS**3)
        total += counts / counts.sum()
    return total / len(pictures)
