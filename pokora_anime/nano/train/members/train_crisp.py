"""The crisp network, taught by drawings at three times the size of the frames.

What it will see are decoded latents, so that is what it is shown: the same drawing at the family's size
through the autoencoder, as it is, with noise on its latents, and as the UNet would draw it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.nano import family
from pokora_anime.nano.crisp import SCALE, Crisp, bicubic
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.members import train_text
from pokora_anime.nano.train.members.train_vae import load_vae, to_rgb, to_tensor
from pokora_anime.nano.train.training_loop import Dice, Place, begin, train, write_record
from pokora_anime.nano.world.caption import caption
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene

MEMBER = "crisp"
PAIRS = 480  # drawings, or fewer where fewer crops are taken
HELD_OUT = 16
VARIANTS = 3  # decoded pictures of each drawing
REPEATED, REDRAWN = (0, 1), (2,)  # the two of the same latents, and the UNet's, which has changed a little
PLAIN = (VARIANTS,)  # no decoded one: the drawing, made smaller and soft, whose lines lie where they should
SOFTEST = 1.1  # pixels, sigma of its blur
NOISE = 0.15  # most noise on latents that the UNet does not clean
LEAST, MOST = 40, 240  # timesteps, of 1000, from which the UNet draws a picture again
CROP = 64  # pixels
FACES = 0.4  # share of the crops that hold the face
EDGE_WEIGHT, CALM_WEIGHT = 0.5, 0.25
STEP = 8  # drawings decoded at once


@dataclass(frozen=True, slots=True)
class Pairs:
    """decoded uint8 [n,3,256,256,3], drawn uint8 [n,768,768,3], noses float32 [n,2] in pixels of 256."""

    decoded: NDArray[np.uint8]
    drawn: NDArray[np.uint8]
    noses: NDArray[np.float32]


def train_crisp(training: Training, place: Place) -> None:
    """Draws the pairs, trains the network on crops of them and writes it."""
    torch.manual_seed(place.seed)
    pairs = make_pairs("stills", min(PAIRS, training.steps * training.batch), place)
    model = Crisp().to(place.device)
    before = begin(model, place, MEMBER)

    def loss_of(dice: Dice) -> Tensor:
        twice, once = max(1, training.batch // 4), max(1, training.batch // 5)
        plain = max(1, training.batch - 2 * twice - once)
        crops = [(REPEATED, twice), (REDRAWN, once), (PLAIN, plain)]
        given, base, wanted = _crops(pairs, dice.numpy, crops, model.margin, place)
        found = base + model(given).float()
        # What trembles between two decoded pictures of one drawing would tremble from frame to frame.
        one, other = found[: 2 * twice : 2], found[1 : 2 * twice : 2]
        return _loss(found, wanted) + CALM_WEIGHT * (one - other).abs().mean()

    progress = train(MEMBER, training, list(model.named_parameters()), loss_of, place, before=before)
    scores = _scores(model.cpu().eval(), place)
    print(f"{MEMBER}: {scores}", flush=True)
    model.save_pretrained(place.family / MEMBER)
    write_record(MEMBER, training, progress, place, scores)


def make_pairs(kind: str, count: int, place: Place) -> Pairs:
    """The pairs of a kind from the work folder, drawn and decoded where they are not there yet."""
    folder = place.work / MEMBER
    folder.mkdir(parents=True, exist_ok=True)
    large, small = SCALE * family.PICTURE, family.PICTURE
    shapes = {
        "decoded": (np.uint8, (count, VARIANTS, small, small, 3)),
        "drawn": (np.uint8, (count, large, large, 3)),
        "noses": (np.float32, (count, 2)),
    }
    done, stamp = folder / f"{kind}.json", {"count": count, "seed": place.seed}
    fresh = not done.exists() or json.loads(done.read_text()) != stamp
    arrays = {
        name: np.lib.format.open_memmap(
            folder / f"{kind}_{name}.npy", mode="w+" if fresh else "r", dtype=dtype, shape=shape
        )
        for name, (dtype, shape) in shapes.items()
    }
    pairs = Pairs(**arrays)
    if fresh:
        degrade = _Degrade(place)
        for first in range(0, count, STEP):
            _fill(pairs, kind, range(first, min(first + STEP, count)), degrade, place)
            print(f"{MEMBER}: {min(first + STEP, count)}/{count} pictures drawn", flush=True)
        done.write_text(json.dumps(stamp))
    return pairs


def _fill(pairs: Pairs, kind: str, items: range, degrade: _Degrade, place: Place) -> None:
    scenes, small = [], []
    for index in items:
        scene, time = drawn_data.scene_and_time(kind, index, place.seed)
        frame = draw_frame(scene, time, family.PICTURE)
        scenes.append(scene)
        small.append(frame.rgb)
        pairs.noses[index] = frame.joints[0, :2]
        pairs.drawn[index] = draw_frame(scene, time, SCALE * family.PICTURE, lines_of=family.PICTURE).rgb
    pairs.decoded[items.start : items.stop] = degrade(np.stack(small), scenes, items.start)


class _Degrade:
    """Drawings as the family would give them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.vae, self.unet = load_vae(place), diffusion.load_unet(place)
        self.encoders, self.schedule = train_text.load(place), diffusion.Schedule.of(place.device)

    @torch.no_grad()
    def __call__(self, rgb: NDArray[np.uint8], scenes: list[Scene], number: int) -> NDArray[np.uint8]:
        """Pictures [n,256,256,3] decoded from their latents, from noisy ones and from redrawn ones."""
        dice = Dice.of(self.place.seed, f"{MEMBER} pairs", number)
        with self.place.autocast():
            latents = self.vae.encode(to_tensor(rgb, self.place.device)).latent_dist.mean.float()
            strength = NOISE * torch.rand(len(latents), 1, 1, 1, generator=dice.torch)
            noisy = latents + (strength * dice.normal(*latents.shape)).to(latents)
            kinds = (latents, noisy, self._redrawn(latents, scenes, dice))
            return np.stack([to_rgb(self.vae.decode(kind).sample) for kind in kinds], 1)

    def _redrawn(self, latents: Tensor, scenes: list[Scene], dice: Dice) -> Tensor:
        """What the UNet takes for the picture behind a noised one, in one step."""
        told = diffusion.conditions(
            self.encoders, [caption(scene, dice.numpy) for scene in scenes], dice, self.place
        )
        times = torch.from_numpy(dice.numpy.integers(LEAST, MOST, size=len(latents))).to(latents.device)
        noised, _ = self.schedule.noised(latents, dice.normal(*latents.shape).to(latents), times)
        velocity = self.unet(noised, times, **told.arguments()).sample.float()
        alpha, sigma = self.schedule.at(times, latents)
        return alpha * noised - sigma * velocity


def _crops(
    pairs: Pairs,
    rng: np.random.Generator,
    asked: Sequence[tuple[Sequence[int], int]],
    margin: int,
    place: Place,
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops in `asked` numbers, each in some variants of its picture, which follow each other.

    Pictures [n,3,64+2m,64+2m], their bicubic enlargement and the drawings [n,3,192,192], in 0..1.
    """
    given: list[NDArray[np.uint8]] = []
    base: list[NDArray[np.uint8]] = []
    wanted: list[NDArray[np.uint8]] = []
    for variants in [variants for variants, count in asked for _ in range(count)]:
        index = int(rng.integers(len(pairs.drawn)))
        x, y = _corner(pairs.noses[index], rng)
        window = np.s_[SCALE * y : SCALE * (y + CROP), SCALE * x : SCALE * (x + CROP)]
        for variant in variants:
            picture = _soft(pairs.drawn[index], rng) if variant == VARIANTS else pairs.decoded[index, variant]
            framed = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), "edge")
            given.append(framed[y : y + CROP + 2 * margin, x : x + CROP + 2 * margin])
            base.append(bicubic(picture)[window])
            wanted.append(pairs.drawn[index][window])
    if rng.random() < 0.5:  # a mirrored drawing is one too
        given, base, wanted = ([part[:, ::-1] for part in parts] for parts in (given, base, wanted))
    one, two, three = (_values(np.stack(parts), place) for parts in (given, base, wanted))
    return one, two, three


def _soft(drawn: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A drawing at the size of the decoded pictures, as soft as those may be."""
    small = cv2.resize(drawn, (family.PICTURE, family.PICTURE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), rng.uniform(0.2, SOFTEST)), np.uint8)


def _corner(nose: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int]:
    """Left and top of a crop, in pixels of the decoded picture."""
    limit = family.PICTURE - CROP
    if rng.random() < FACES:
        left, top = np.clip(nose - rng.uniform(0.2, 0.8, size=2) * CROP, 0, limit)
        return int(left), int(top)
    left, top = rng.integers(limit + 1, size=2)
    return int(left), int(top)


def _values(rgb: NDArray[np.uint8], place: Place) -> Tensor:
    return (to_tensor(rgb, place.device) + 1) / 2


def _loss(found: Tensor, wanted: Tensor) -> Tensor:
    """L1 of colours and of the differences between neighbours: blurred lines have small ones."""
    difference = found - wanted
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return difference.abs().mean() + EDGE_WEIGHT * (across + down)


def _scores(model: Crisp, place: Place) -> dict[str, float]:
    """PSNR in dB over held-out drawings through the autoencoder, and that of a bicubic enlargement."""
    pairs = make_pairs("held_out", HELD_OUT if place.previews else 2, place)
    psnr: dict[str, list[float]] = {"psnr_db": [], "psnr_bicubic_db": []}
    for decoded, drawn in zip(pairs.decoded[:, 0], pairs.drawn, strict=True):
        for name, made in (("psnr_db", model.larger(decoded)), ("psnr_bicubic_db", bicubic(decoded))):
            error = np.square(made.astype(np.float32) - drawn).mean()
            psnr[name].append(float(10 * np.log10(255**2 / error)))
    return {name: float(np.mean(values)) for name, values in psnr.items()}
