"""The choreographer, taught by the motions of the drawn world's figure."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.choreography import body, skeleton
from pokora_anime.choreography.action_words import sample
from pokora_anime.choreography.actions import NAMES, STYLES, Moment, taken_up, together
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.choreography.skeleton import FACE
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train.training_loop import Dice, Place, train, write_record

MEMBER = "choreographer"
GROUP = 32  # frames of the same actions, posed together
HELD_OUT = 1024


def train_choreographer(training: Training, place: Place) -> None:
    """Trains reader and poser; the scores are what the words' actions and the poses were missed by."""
    torch.manual_seed(place.seed)
    model = Choreographer()
    model.to(place.device)

    def loss_of(dice: Dice) -> Tensor:
        # So small a network is slower in bf16.
        with torch.autocast(place.device.split(":")[0], enabled=False):
            read = _read_loss(model, dice, max(2, training.batch // 12))
            return read + _pose_loss(model, dice, training.batch)

    named = list(model.named_parameters())
    progress = train(MEMBER, training, named, loss_of, place)
    scores = _scores(model.cpu().eval(), place)
    print(f"{MEMBER}: {scores}", flush=True)
    model.save(place.family / MEMBER)
    write_record(MEMBER, training, progress, place, scores)


def _on(names: tuple[str, ...]) -> NDArray[np.float32]:
    return np.array([name in names for name in NAMES], np.float32)


def _read_loss(model: Choreographer, dice: Dice, count: int) -> Tensor:
    drawn = [sample(dice.numpy) for _ in range(count)]
    device = model.poser.out.weight.device
    logits, how = model.reader(model.reader.tokens([text for text, *_ in drawn]).to(device))
    wanted = np.stack([_on(together(names)) for _, names, _, _ in drawn])
    speeds = np.log(np.array([[tempo, size] for *_, tempo, size in drawn], np.float32))
    named = functional.binary_cross_entropy_with_logits(logits.float(), torch.from_numpy(wanted).to(device))
    return 4 * named + 2 * functional.mse_loss(how.float(), torch.from_numpy(speeds).to(device))


def _drawn(rng: np.random.Generator, count: int) -> tuple[list[Tensor], Tensor]:
    """Inputs of the poser and the poses wanted, of `count` groups of frames."""
    parts: list[list[NDArray[np.float64]]] = []
    wanted: list[NDArray[np.float64]] = []
    for _ in range(count):
        names = tuple(NAMES[int(i)] for i in rng.integers(len(NAMES), size=int(rng.choice([1, 1, 2]))))
        names = together(names)
        style = rng.normal(size=(GROUP, STYLES))
        style[:, 0] = np.where(rng.random(GROUP) < 0.5, -1.0, 1.0)
        w, bar = rng.uniform(0, 2 * np.pi, (2, GROUP))
        begun = np.where(rng.random(GROUP) < 0.7, 1.0, rng.uniform(0, 1, GROUP))
        moment = Moment(w, bar, begun, np.exp(rng.uniform(-1.2, 0.5, GROUP)), style)
        wanted.append(skeleton.features(body.joints(taken_up(names, moment))))
        parts.append([np.tile(_on(names), (GROUP, 1)), w, bar, begun, moment.size, style])
    inputs = [
        torch.from_numpy(np.concatenate(column).astype(np.float32)) for column in zip(*parts, strict=True)
    ]
    return inputs, torch.from_numpy(np.concatenate(wanted).astype(np.float32))


def _pose_loss(model: Choreographer, dice: Dice, count: int) -> Tensor:
    inputs, wanted = _drawn(dice.numpy, max(1, count // GROUP))
    device = model.poser.out.weight.device
    found = model.poser(*(one.to(device) for one in inputs)).float()
    wanted = wanted.to(device)
    placed = functional.smooth_l1_loss(found[:, : -len(FACE)], wanted[:, : -len(FACE)], beta=0.05)
    shown = functional.binary_cross_entropy_with_logits(found[:, -len(FACE) :], wanted[:, -len(FACE) :])
    return 10 * placed + 0.3 * shown


@torch.no_grad()
def _scores(model: Choreographer, place: Place) -> dict[str, float]:
    rng = np.random.default_rng((place.seed, 77))
    right = 0
    for _ in range(HELD_OUT // 4):
        text, names, _, _ = sample(rng)
        right += set(model.read(text).names) == set(together(names))
    inputs, wanted = _drawn(rng, HELD_OUT // GROUP)
    found = model.poser(*inputs)
    return {
        "actions_read": right / (HELD_OUT // 4),
        "bone_error": float((found - wanted)[:, : -len(FACE)].abs().mean()),
    }
