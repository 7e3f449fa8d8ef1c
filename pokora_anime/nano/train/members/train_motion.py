"""The motion adapter: temporal layers around the frozen UNet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from diffusers import UNetMotionModel
from numpy.typing import NDArray
from torch import Tensor, nn

from pokora_anime.nano import family, sizes
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.members import train_text
from pokora_anime.nano.train.members.train_vae import load_latents, load_vae, to_rgb
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, begin, train, write_record
from pokora_anime.nano.world.caption import caption_with_labels, full_caption
from pokora_anime.nano.world.scene import Scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

EMPTY = 0.1
KNOWN, KNOWN_END = 0.7, 0.1  # share of clips that know their first frames; of these, their last ones too
KNOWN_COUNTS = (1, 1, 2, 4, 4, 4, 8)
NEARLY_CLEAN = 0.3  # most noise of known frames, as a share of the others' timestep
OWN_ALONE, SHARED = 0.15, (0.3, 0.9)  # share of clips without common noise; how much others have of it
PREVIEW_STEPS, PREVIEW_GUIDANCE = 12, 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Clips as they were drawn: latents [B,F,4,32,32], joints [B,F,18,3], and what is said of each."""

    latents: Tensor
    joints: NDArray[np.float32]
    captions: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Clips as a network sees them: noised, what it is told, and the velocity [B,4,F,32,32] to find.

    Known frames [B,F] are nearly clean and do not count.
    """

    noisy: Tensor
    timesteps: Tensor
    told: diffusion.Conditions
    velocity: Tensor
    known: Tensor
    weights: Tensor  # [B*F,1,32,32]: what counts more

    def loss(self, found: Tensor) -> Tensor:
        """The mean square by which a velocity is off."""
        error = (found.float() - self.velocity).square()
        weights = self.weights.view(len(error), 1, *error.shape[2:]) * ~self.known[:, None, :, None, None]
        return (error * weights).sum() / (weights.sum() * error.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """What makes lessons of clips."""

    encoders: train_text.TextEncoders
    schedule: diffusion.Schedule
    place: Place

    @classmethod
    def load(cls, place: Place) -> Self:
        """With the text encoders of the work folder."""
        encoders = train_text.load(place)
        return cls(encoders=encoders, schedule=diffusion.Schedule.of(place.device), place=place)

    def lesson(self, batch: Batch, dice: Dice) -> Lesson:
        """These clips under noise that the dice give."""
        place, clips = self.place, len(batch.captions)
        told = diffusion.conditions(self.encoders, batch.captions, dice, place)
        clean = batch.latents.to(place.device).transpose(1, 2)  # [B,4,F,32,32]
        noise = clip_noise(dice, clean)
        timesteps = diffusion.noisy_timesteps(dice, clips, place)
        known = known_frames(dice.numpy, clips, clean.shape[2]).to(place.device)
        nearly = (timesteps * NEARLY_CLEAN * dice.numpy.random()).long()
        levels = torch.where(known, nearly[:, None], timesteps[:, None])
        noisy, velocity = self.schedule.noised(clean, noise, levels[:, None, :, None, None])
        return Lesson(
            noisy=noisy,
            timesteps=timesteps,
            told=told,
            velocity=velocity,
            known=known,
            weights=diffusion.attention_to(batch.joints.reshape(-1, 18, 3), place),
        )


def train_motion(training: Training, place: Place) -> None:
    """Trains the temporal layers on clip latents and writes them as a MotionAdapter."""
    torch.manual_seed(place.seed)
    teacher = Teacher.load(place)
    latents = np.asarray(load_latents(place, "clips"))
    drawn = drawn_data.load(place.work, "clips", place.seed)
    assert drawn.joints is not None
    scenes, joints = drawn.scenes, np.asarray(drawn.joints)
    adapter = family.make_motion_adapter()
    silence(adapter)
    before = begin(adapter, place, "motion_adapter")
    motion = family.make_motion_unet(diffusion.load_unet(place), adapter).to(place.device)
    motion.requires_grad_(False)
    named = [(n, p) for n, p in motion.named_parameters() if "motion_modules" in n]
    for _, parameter in named:
        parameter.requires_grad_(True)

    def loss_of(dice: Dice) -> Tensor:
        index = dice.numpy.integers(len(latents), size=training.batch)
        captions = [clip_caption(scenes[i], dice.numpy) for i in index]
        taken = diffusion.take(latents, index, place)
        lesson = teacher.lesson(Batch(latents=taken, joints=joints[index], captions=captions), dice)
        return lesson.loss(predict(motion, lesson.noisy, lesson.timesteps, lesson.told))

    def preview(step: int) -> None:
        held_out = drawn_data.load(place.work, "held_out", place.seed).scenes[:4]
        frames = sample_clips(motion, teacher.encoders, place, held_out)
        path = place.work / "previews" / f"motion-{step:05d}.png"
        diffusion.write_grid(frames[:, ::2].reshape(-1, *frames.shape[2:]), path, frames.shape[1] // 2)
        save_adapter(motion, place)

    progress = train("motion", training, named, loss_of, place, Preview(show=preview, every=125), before)
    save_adapter(motion, place)
    scores = {"last_loss": float(np.mean(progress.losses[-100:]))}
    write_record("motion", training, progress, place, scores, "motion_adapter")


def known_frames(rng: np.random.Generator, clips: int, frames: int) -> Tensor:
    """Which frames [B,F] a clip knows already, as a segment does that goes on from another.

    They are seen nearly clean, at the timestep of the others: what is known at the others' own noise
    level is one voice among many there, and the clip would leave its keyframe at once.
    """
    known = torch.zeros(clips, frames, dtype=torch.bool)
    for clip in known:
        if rng.random() < KNOWN:
            clip[: rng.choice(KNOWN_COUNTS)] = True
            if rng.random() < KNOWN_END:  # a loop knows its end too
                clip[-int(rng.choice(KNOWN_COUNTS)) :] = True
    return known


def silence(adapter: nn.Module) -> None:
    """Zeroes the temporal layers' output, so that training starts from the still UNet."""
    for name, parameter in adapter.named_parameters():
        if ".proj_out." in name:
            nn.init.zeros_(parameter)


def clip_noise(dice: Dice, like_BCFHW: Tensor) -> Tensor:
    """Noise [B,C,F,H,W] of which a clip's frames have a share in common (arXiv 2305.10474)."""
    own = dice.normal(*like_BCFHW.shape)
    common = dice.normal(*like_BCFHW.shape[:2], 1, *like_BCFHW.shape[3:])
    drawn = dice.numpy.uniform(*SHARED, size=len(own)) * (dice.numpy.random(len(own)) >= OWN_ALONE)
    share = torch.from_numpy(drawn).float().view(-1, 1, 1, 1, 1)
    return (share.sqrt() * common + (1.0 - share).sqrt() * own).to(like_BCFHW.device)


def clip_caption(
    scene: Scene, rng: np.random.Generator, empty: float = EMPTY, left_out: Collection[str] = ()
) -> str:
    """A caption with any camera move, which the clip does not show; a share `empty` is dropped.

    Attributes that are `left_out` are never mentioned.
    """
    moved = replace(scene, camera=str(rng.choice(ATTRIBUTES["camera"])))
    words, _ = caption_with_labels(moved, rng, left_out)
    return "" if rng.random() < empty else words


def predict(
    motion: UNetMotionModel,
    noisy: Tensor,
    timesteps: Tensor,
    told: diffusion.Conditions,
    **residuals: object,
) -> Tensor:
    """Velocity [B,4,F,32,32]; the text is repeated for each frame, pooled text and sizes are not.

    `residuals`: what a ControlNet adds, by the motion UNet's own argument names.
    """
    context = told.context.repeat_interleave(noisy.shape[2], 0)
    return motion(
        noisy,
        timesteps,
        encoder_hidden_states=context,
        added_cond_kwargs={"text_embeds": told.pooled, "time_ids": told.sizes},
        **residuals,
    ).sample


@torch.no_grad()
def sample_clips(
    motion: UNetMotionModel, encoders: train_text.TextEncoders, place: Place, scenes: list[Scene]
) -> np.ndarray:
    """Clips uint8 [n,16,256,256,3] for the full captions of scenes."""
    scheduler = family.make_scheduler()
    scheduler.set_timesteps(PREVIEW_STEPS)
    captions = [full_caption(scene) for scene in scenes]
    dice = Dice.of(place.seed, "motion-preview", 0)
    told = diffusion.conditions(encoders, captions + [""] * len(captions), dice, place)
    x = dice.normal(len(scenes), 4, sizes.FRAMES, sizes.LATENT, sizes.LATENT).to(place.device)
    for t in scheduler.timesteps:
        with place.autocast():
            v = predict(motion, torch.cat([x, x]), t.expand(2 * len(x)).to(x.device), told).float()
        with_text, without = v.chunk(2)
        x = scheduler.step(without + PREVIEW_GUIDANCE * (with_text - without), t, x).prev_sample
    vae = load_vae(place)
    with place.autocast():
        pictures = [vae.decode(clip.transpose(0, 1)).sample for clip in x]
    return np.stack([to_rgb(p) for p in pictures])


def save_adapter(motion: UNetMotionModel, place: Place) -> None:
    """Writes the temporal layers as a MotionAdapter."""
    adapter = family.make_motion_adapter()
    state = {n: p for n, p in motion.state_dict().items() if "motion_modules" in n}
    adapter.load_state_dict(state)
    adapter.save_pretrained(place.family / "motion_adapter")
