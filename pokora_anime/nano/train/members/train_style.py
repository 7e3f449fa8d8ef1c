"""Style LoRAs: the frozen UNet, shown latents and captions, learns what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.lora_layers import STYLE_RANK, add_lora, save_lora
from pokora_anime.nano.train.members import train_text
from pokora_anime.nano.train.members.train_vae import load_latents
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, train, write_record
from pokora_anime.nano.world.caption import caption

EMPTY = 0.1
NAMED = 0.5  # share of captions that may name the style: the LoRA gives it with and without
SCORED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a LoRA is shown: latents [n,4,32,32], and a caption of the i-th, drawn anew each time.

    `joints` [n,18,3] in pixels, where they are known, make faces and hands count more.
    """

    latents: NDArray[np.float16]
    caption: Callable[[int, np.random.Generator], str]
    joints: NDArray[np.float32] | None = None


def train_style(member: str, training: Training, place: Place) -> None:
    """Trains `lora_pastel` or `lora_flat_color` on the drawn stills of that style."""
    kind = member.removeprefix("lora_")
    drawn = drawn_data.load(place.work, kind, place.seed)

    def describe(index: int, rng: np.random.Generator) -> str:
        scene = drawn.scenes[index]
        return caption(scene if rng.random() < NAMED else replace(scene, style="plain"), rng)

    latents = np.asarray(load_latents(place, kind))
    train_lora(member, training, Examples(latents=latents, caption=describe, joints=drawn.joints), place)


def train_lora(member: str, training: Training, examples: Examples, place: Place) -> None:
    """Trains a LoRA of the family's UNet on any examples and writes it to the family's folder `member`.

    Its record holds the loss over the same examples and noise without and with the LoRA.
    """
    torch.manual_seed(place.seed)
    encoders = train_text.load(place)
    schedule = diffusion.Schedule.of(place.device)
    unet = diffusion.load_unet(place)
    add_lora(unet, STYLE_RANK)
    named = [(n, p) for n, p in unet.named_parameters() if p.requires_grad]

    def loss_on(index: NDArray[np.int64], dice: Dice) -> Tensor:
        captions = [
            "" if dice.numpy.random() < EMPTY else examples.caption(int(i), dice.numpy) for i in index
        ]
        told = diffusion.conditions(encoders, captions, dice, place)
        clean = diffusion.take(examples.latents, index, place)
        noise = dice.normal(*clean.shape).to(place.device)
        timesteps = diffusion.timesteps(dice, len(index), place)
        noisy, velocity = schedule.noised(clean, noise, timesteps)
        error = (unet(noisy, timesteps, **told.arguments()).sample.float() - velocity).square()
        if examples.joints is None:
            return error.mean()
        return (error * diffusion.attention_to(np.asarray(examples.joints[index]), place)).mean()

    def loss_of(dice: Dice) -> Tensor:
        return loss_on(dice.numpy.integers(len(examples.latents), size=training.batch), dice)

    pipeline = diffusion.make_pipeline(unet, encoders, place)

    def preview(step: int) -> None:
        diffusion.preview(pipeline, place.work / "previews" / f"{member}-{step:05d}.png", place)
        save_lora(unet, place.family / member)

    progress = train(member, training, named, loss_of, place, Preview(show=preview, every=125))
    save_lora(unet, place.family / member)
    write_record(member, training, progress, place, _scores(unet, loss_on, len(examples.latents), place))


@torch.no_grad()
def _scores(
    unet: UNet2DConditionModel, loss_on: Callable[[NDArray[np.int64], Dice], Tensor], count: int, place: Place
) -> dict[str, float]:
    """The loss over up to 64 examples, without the LoRA and with it."""
    index = np.arange(count)[:SCORED]

    def loss() -> float:
        with place.autocast():
            parts = [
                loss_on(part, Dice.of(place.seed, "lora-score", i))
                for i, part in enumerate(np.array_split(index, max(1, len(index) // 8)))
            ]
        return float(torch.stack(parts).mean())

    with_lora = loss()
    unet.disable_adapters()
    without = loss()
    unet.enable_adapters()
    return {"loss_without": without, "loss_with": with_lora}
