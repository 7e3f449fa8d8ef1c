"""The UNet: velocity prediction on the latents of drawn pictures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.nano import family
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.members import train_text
from pokora_anime.nano.train.members.train_vae import load_latents
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, begin, train, write_record
from pokora_anime.nano.world.scene import Scene

EMPTY = 0.1


def train_unet(training: Training, place: Place) -> None:
    """Trains the UNet from nothing and writes its EMA weights."""
    torch.manual_seed(place.seed)
    encoders = train_text.load(place)
    schedule = diffusion.Schedule.of(place.device)
    latents, scenes, joints = _pictures(place)
    unet = family.make_unet().to(place.device)
    before = begin(unet, place, "unet")

    def loss_of(dice: Dice) -> Tensor:
        index = dice.numpy.integers(len(latents), size=training.batch)
        captions = diffusion.captions_for([scenes[i] for i in index], dice.numpy, EMPTY)
        told = diffusion.conditions(encoders, captions, dice, place)
        clean = diffusion.take(latents, index, place)
        noise = dice.normal(*clean.shape).to(place.device)
        timesteps = diffusion.middle_timesteps(dice, training.batch, place)
        noisy, velocity = schedule.noised(clean, noise, timesteps)
        found = unet(noisy, timesteps, **told.arguments()).sample.float()
        weights = diffusion.attention_to(joints[index], place)
        return (functional.mse_loss(found, velocity, reduction="none") * weights).mean()

    pipeline = diffusion.make_pipeline(unet, encoders, place)

    def preview(step: int) -> None:
        diffusion.preview(pipeline, place.work / "previews" / f"unet-{step:05d}.png", place)
        unet.save_pretrained(place.family / "unet")

    named = list(unet.named_parameters())
    progress = train("unet", training, named, loss_of, place, Preview(show=preview, every=250), before)
    unet.save_pretrained(place.family / "unet")
    write_record("unet", training, progress, place, {"last_loss": float(np.mean(progress.losses[-200:]))})


def _pictures(place: Place) -> tuple[NDArray[np.float16], list[Scene], NDArray[np.float32]]:
    """Latents [n,4,32,32], scenes and joints [n,18,3] of the stills and of every clip frame."""
    stills, clips = (np.asarray(load_latents(place, kind)) for kind in ("stills", "clips"))
    drawn, moving = (drawn_data.load(place.work, kind, place.seed) for kind in ("stills", "clips"))
    assert drawn.joints is not None and moving.joints is not None
    scenes = list(drawn.scenes)
    for scene in moving.scenes:
        scenes += [scene] * clips.shape[1]
    joints = np.concatenate([drawn.joints, moving.joints.reshape(-1, *moving.joints.shape[2:])])
    return np.concatenate([stills, clips.reshape(-1, *clips.shape[2:])]), scenes, joints
