"""Steering: the motion layers and the pose ControlNet trained together on clips that follow a pose track.

Each on its own has never seen the other: the ControlNet was trained on stills, the motion layers on clips
without maps, and a clip that is steered in every frame shows blotches that neither would draw. Here both
see drawn clips of every action that can be planned under the exact joints of each frame. A share of the
clips has no maps, so that the motion layers keep what they do alone: these show what the text encoders know.

Shapes: latents [B,4,F,32,32], maps [B*F,3,256,256], a strength a clip [B].
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from diffusers import ControlNetModel, UNetMotionModel
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.nano import family, sizes
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.members import train_motion
from pokora_anime.nano.train.members.train_vae import load_latents
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, begin, train, write_record
from pokora_anime.nano.world.joint_picture import openpose_map
from pokora_anime.nano.world.scene import Scene
from pokora_anime.stages.control.map_embedding import hint_embedded

FREE = 0.25  # share of clips that no map steers
STRENGTHS = (0.35, 1.0)  # of the others' ControlNet: what `control.scale.pose` is set to lies between
RECORD = "training_steering.json"
DRAWING_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """A pose ControlNet with the maps of a batch of clips, embedded once: the hint knows no timestep."""

    control: ControlNetModel
    embedded: Tensor  # [B*F,channels,32,32]
    strength: Tensor

    @classmethod
    def of(cls, control: ControlNetModel, maps: Tensor, strength: Tensor) -> Self:
        """From maps [B*F,3,256,256] in 0..1."""
        return cls(control=control, embedded=control.controlnet_cond_embedding(maps), strength=strength)

    def residuals(self, noisy: Tensor, timesteps: Tensor, told: diffusion.Conditions) -> dict[str, object]:
        """What the ControlNet adds to a motion UNet at noisy latents; a guided pass has each clip twice."""
        frames = noisy.shape[2]
        times = len(noisy) * frames // len(self.embedded)
        every = diffusion.Conditions(
            *(part.repeat_interleave(frames, 0) for part in (told.context, told.pooled, told.sizes))
        )
        with hint_embedded(self.control):
            down, middle = self.control(
                noisy.transpose(1, 2).flatten(0, 1),
                timesteps.repeat_interleave(frames, 0),
                controlnet_cond=self.embedded.repeat(times, 1, 1, 1),
                return_dict=False,
                **every.arguments(),
            )
        weight = self.strength.repeat(times).repeat_interleave(frames, 0).view(-1, 1, 1, 1)
        return {
            "down_block_additional_residuals": [part * weight for part in down],
            "mid_block_additional_residual": middle * weight,
        }


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A clip of a batch: latents [F,4,32,32], joints [F,18,3], and what is said of it."""

    latents: Tensor
    joints: NDArray[np.float32]
    caption: str


@dataclass(frozen=True, slots=True)
class _Clips:
    """The clips of a kind; a posed one does what no word of the text encoders says."""

    latents: NDArray[np.float16]
    joints: NDArray[np.float32]
    scenes: list[Scene]
    unsaid: tuple[str, ...]

    @classmethod
    def of(cls, place: Place, kind: str) -> Self:
        drawn = drawn_data.load(place.work, kind, place.seed)
        assert drawn.joints is not None
        unsaid = ("action",) if kind == "posed" else ()
        return cls(load_latents(place, kind), drawn.joints, drawn.scenes, unsaid)

    def drawn(self, rng: np.random.Generator) -> _Drawn:
        """Any one of them."""
        index = int(rng.integers(len(self.latents)))
        latents = torch.from_numpy(self.latents[index].astype(np.float32))
        caption = train_motion.clip_caption(self.scenes[index], rng, left_out=self.unsaid)
        return _Drawn(latents, np.asarray(self.joints[index]), caption)


def predict(
    unet: UNetMotionModel, noisy: Tensor, timesteps: Tensor, told: diffusion.Conditions, steering: Steering
) -> Tensor:
    """Velocity [B,4,F,32,32] of clips under their maps."""
    residuals = steering.residuals(noisy, timesteps, told)
    return train_motion.predict(unet, noisy, timesteps, told, **residuals)


def draw_maps(joints: NDArray[np.float32], place: Place) -> Tensor:
    """OpenPose maps [B*F,3,256,256] in 0..1 of joints [B,F,18,3] in pixels."""
    flat = joints.reshape(-1, 18, 3)
    with ThreadPoolExecutor(DRAWING_THREADS) as pool:
        maps = np.stack(list(pool.map(lambda one: openpose_map(one, sizes.PICTURE), flat)))
    return torch.from_numpy(maps).to(place.device).permute(0, 3, 1, 2).float() / 255


def strengths(rng: np.random.Generator, clips: int, place: Place) -> Tensor:
    """How strongly each clip [B] is steered; 0 for a share FREE of them."""
    drawn = rng.uniform(*STRENGTHS, size=clips) * (rng.random(clips) >= FREE)
    return torch.from_numpy(drawn).float().to(place.device)


def train_steering(training: Training, place: Place) -> None:
    """Trains motion adapter and pose ControlNet on clips under their pose tracks; goes on from both.

    Raises ValueError where one of them is not in the work folder.
    """
    torch.manual_seed(place.seed)
    teacher = train_motion.Teacher.load(place)
    free, posed = (_Clips.of(place, kind) for kind in ("clips", "posed"))
    unet, control, before = load_networks(place)
    named = [(n, p) for n, p in unet.named_parameters() if "motion_modules" in n]
    named += [(f"control.{n}", p) for n, p in control.named_parameters()]
    for _, parameter in named:
        parameter.requires_grad_(True)

    def loss_of(dice: Dice) -> Tensor:
        strength = strengths(dice.numpy, training.batch, place)
        drawn = [(posed if strong else free).drawn(dice.numpy) for strong in strength.tolist()]
        batch = train_motion.Batch(
            latents=torch.stack([one.latents for one in drawn]),
            joints=np.stack([one.joints for one in drawn]),
            captions=[one.caption for one in drawn],
        )
        lesson = teacher.lesson(batch, dice)
        steering = Steering.of(control, draw_maps(batch.joints, place), strength)
        return lesson.loss(predict(unet, lesson.noisy, lesson.timesteps, lesson.told, steering))

    def keep(step: int) -> None:
        del step
        train_motion.save_adapter(unet, place)
        control.save_pretrained(place.family / "controlnet_pose")

    progress = train("steering", training, named, loss_of, place, Preview(show=keep), before)
    keep(progress.step)
    scores = {"last_loss": float(np.mean(progress.losses[-100:]))}
    for folder in ("motion_adapter", "controlnet_pose"):
        write_record("steering", training, progress, place, scores, folder, RECORD)


def load_networks(
    place: Place,
) -> tuple[UNetMotionModel, ControlNetModel, list[dict[str, object]]]:
    """The motion UNet and the pose ControlNet as trained so far, and the trainings of steering before.

    Raises ValueError where one of them is not in the work folder.
    """
    still = diffusion.load_unet(place)
    control = family.make_controlnet(still).to(place.device)
    adapter = family.make_motion_adapter()
    before = begin(adapter, place, "motion_adapter", RECORD)
    begin(control, place, "controlnet_pose", RECORD)
    for name in ("motion_adapter", "controlnet_pose"):
        if not (place.family / name / "config.json").exists():
            raise ValueError(f"no {name} in the work folder; steering goes on from a trained one")
    unet = family.make_motion_unet(still, adapter).to(place.device)
    unet.requires_grad_(False)
    return unet, control.train(), before
