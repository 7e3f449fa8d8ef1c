"""The ControlNets for pose and depth maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn

from pokora_anime.nano import family, sizes
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.members import train_text
from pokora_anime.nano.train.members.train_vae import load_latents, load_vae, to_rgb
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, begin, train, write_record
from pokora_anime.nano.world.caption import full_caption
from pokora_anime.nano.world.joint_picture import openpose_map

EMPTY = 0.5  # without a caption only the map can tell the shape, so it gets learnt
PREVIEW_STEPS, PREVIEW_GUIDANCE = 12, 3.0

# What a trained ControlNet's outputs are multiplied with. At its own strength three joints of four lay where
# they should, with this nine of ten (32 stills), and prompts were followed nearly as well.
GAIN = {"controlnet_pose": 1.8}

HintOf = Callable[[drawn_data.Drawn, int], NDArray[np.uint8]]


def pose_hint(drawn: drawn_data.Drawn, index: int) -> NDArray[np.uint8]:
    """OpenPose map [256,256,3] of a still."""
    assert drawn.joints is not None
    return openpose_map(np.asarray(drawn.joints[index]), sizes.PICTURE)


def depth_hint(drawn: drawn_data.Drawn, index: int) -> NDArray[np.uint8]:
    """Depth map [256,256,3] of a still, near is bright."""
    assert drawn.depth is not None
    return np.repeat(drawn.depth[index][..., None], 3, -1)


HINTS: dict[str, HintOf] = {"controlnet_pose": pose_hint, "controlnet_depth": depth_hint}


def hints(member: str, drawn: drawn_data.Drawn, index: NDArray[np.int64], place: Place) -> Tensor:
    """Maps [B,3,256,256] in 0..1."""
    maps = np.stack([HINTS[member](drawn, int(i)) for i in index])
    return torch.from_numpy(maps).to(place.device).permute(0, 3, 1, 2).float() / 255


def train_controlnet(member: str, training: Training, place: Place) -> None:
    """Trains one ControlNet on stills and writes it."""
    torch.manual_seed(place.seed)
    encoders = train_text.load(place)
    schedule = diffusion.Schedule.of(place.device)
    drawn = drawn_data.load(place.work, "stills", place.seed)
    assert drawn.joints is not None
    joints = np.asarray(drawn.joints)
    latents = np.asarray(load_latents(place, "stills"))
    unet = diffusion.load_unet(place)
    control = family.make_controlnet(unet).to(place.device).requires_grad_(True).train()
    wake_hints(control)
    before = begin(control, place, member)
    if before:
        strengthen(control, 1 / before[-1]["scores"].get("gain", 1.0))

    def loss_of(dice: Dice) -> Tensor:
        index = dice.numpy.integers(len(latents), size=training.batch)
        captions = diffusion.captions_for([drawn.scenes[i] for i in index], dice.numpy, EMPTY)
        told = diffusion.conditions(encoders, captions, dice, place)
        clean = diffusion.take(latents, index, place)
        noise = dice.normal(*clean.shape).to(place.device)
        timesteps = diffusion.noisy_timesteps(dice, training.batch, place)
        noisy, velocity = schedule.noised(clean, noise, timesteps)
        maps = hints(member, drawn, index, place)
        error = (predict(unet, control, noisy, timesteps, told, maps).float() - velocity).square()
        if member == "controlnet_pose":
            error = error * diffusion.attention_to(joints[index], place)
        return error.mean()

    def preview(step: int) -> None:
        path = place.work / "previews" / f"{member}-{step:05d}.png"
        _preview(member, unet, control, encoders, place, path)
        control.save_pretrained(place.family / member)

    shown = Preview(show=preview, every=250)
    progress = train(member, training, list(control.named_parameters()), loss_of, place, shown, before)
    gain = GAIN.get(member, 1.0)
    strengthen(control, gain)
    control.save_pretrained(place.family / member)
    scores = {"last_loss": float(np.mean(progress.losses[-100:])), "gain": gain}
    write_record(member, training, progress, place, scores)


@torch.no_grad()
def strengthen(control: ControlNetModel, gain: float) -> None:
    """Multiplies all residuals that it gives the UNet."""
    for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block):
        for parameter in layer.parameters():
            parameter.mul_(gain)


def wake_hints(control: ControlNetModel) -> None:
    """Starts the map's convolutions at full strength.

    The default start weakens the map a thousandfold over eight layers and then zeroes it; the zeroed
    outputs of the ControlNet alone are enough to leave the UNet undisturbed at first.
    """
    for layer in control.controlnet_cond_embedding.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def predict(
    unet: UNet2DConditionModel,
    control: ControlNetModel,
    noisy: Tensor,
    timesteps: Tensor,
    told: diffusion.Conditions,
    maps: Tensor,
) -> Tensor:
    """Velocity [B,4,32,32] under the maps."""
    down, middle = control(noisy, timesteps, controlnet_cond=maps, return_dict=False, **told.arguments())
    return unet(
        noisy,
        timesteps,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
        **told.arguments(),
    ).sample


@torch.no_grad()
def _preview(
    member: str,
    unet: UNet2DConditionModel,
    control: ControlNetModel,
    encoders: train_text.TextEncoders,
    place: Place,
    path: Path,
) -> None:
    """Rows: the map, a picture with the matching caption, one without; held-out scenes."""
    drawn = drawn_data.load(place.work, "held_out", place.seed)
    count = min(6, len(drawn.scenes))
    maps = hints(member, drawn, np.arange(count), place).repeat(2, 1, 1, 1)
    captions = [full_caption(s) for s in drawn.scenes[:count]] + [""] * count
    dice = Dice.of(place.seed, "control-preview", 0)
    told = diffusion.conditions(encoders, captions + [""] * len(captions), dice, place)
    scheduler = family.make_scheduler()
    scheduler.set_timesteps(PREVIEW_STEPS)
    x = dice.normal(2 * count, 4, sizes.LATENT, sizes.LATENT).to(place.device)
    for t in scheduler.timesteps:
        with place.autocast():
            both, times = torch.cat([x, x]), t.expand(2 * len(x)).to(x.device)
            v = predict(unet, control, both, times, told, maps.repeat(2, 1, 1, 1)).float()
        with_text, without = v.chunk(2)
        x = scheduler.step(without + PREVIEW_GUIDANCE * (with_text - without), t, x).prev_sample
    with place.autocast():
        pictures = load_vae(place).decode(x).sample
    shown = np.concatenate([to_rgb(maps[:count] * 2 - 1), to_rgb(pictures)])
    diffusion.write_grid(shown, path, count)
