"""What every diffusion member shares: the noise schedule, the conditions and previews.

Shapes: latents [B,4,32,32], context [B,77,256], pooled [B,128], sizes [B,6].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.nano import family, sizes
from pokora_anime.nano.train.members import train_text
from pokora_anime.nano.train.members.train_vae import load_vae
from pokora_anime.nano.train.training_loop import Dice, Place
from pokora_anime.nano.world.caption import caption
from pokora_anime.nano.world.scene import Scene

STEPS = 1000
# OpenPose joint: how much more its surroundings count, and how far that reaches in head sizes.
WEIGHTS = {
    0: (4.0, 0.6), 1: (0.5, 0.8), 3: (1.0, 0.4), 4: (2.0, 0.4), 6: (1.0, 0.4), 7: (2.0, 0.4),
    8: (0.5, 0.8), 11: (0.5, 0.8), 10: (1.0, 0.5), 13: (1.0, 0.5),
}  # fmt: skip
PROMPTS = (
    "1girl, blue hair, twintails, red eyes, smile, white school uniform, waving, cherry blossoms, upper body",
    "1girl, blonde hair, long hair, green eyes, open mouth, red dress, arms up, blue sky, full body",
    "1girl, pink hair, short hair, gold eyes, smile, blue kimono, standing, night sky, full body",
    "1girl, silver hair, ponytail, purple eyes, smile, black hoodie, walking, city, full body",
    "1girl, black hair, long hair, closed eyes, pink kimono, standing, sunset, upper body",
    "1girl, green hair, short hair, brown eyes, open mouth, yellow dress, dancing, beach, full body",
    "1girl, red hair, ponytail, blue eyes, smile, white hoodie, standing, forest, upper body",
    "a cute girl with purple twintails and gold eyes in a green school uniform jumps at sunset, full body",
    "an anime girl with short brown hair and blue eyes in a red hoodie is waving at the beach, upper body",
    "masterpiece, best quality, 1girl, silver hair, long hair, red eyes, purple dress, night sky, upper body",
    "1girl, teapot, quantum, blonde hair, twintails, city, full body",
    "",
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Signal and noise scale for each of the 1000 timesteps."""

    alpha: Tensor
    sigma: Tensor

    @classmethod
    def of(cls, device: str) -> Schedule:
        kept = family.make_scheduler().alphas_cumprod.to(device)
        return cls(kept.sqrt(), (1 - kept).sqrt())

    def at(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Scales of each item [B], or of timesteps that broadcast over `like` already."""
        shape = (-1, *(1,) * (like.dim() - 1)) if timesteps.dim() == 1 else timesteps.shape
        return self.alpha[timesteps].view(shape), self.sigma[timesteps].view(shape)

    def noised(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents and the velocity to predict (Salimans and Ho, arXiv 2202.00512)."""
        alpha, sigma = self.at(timesteps, latents)
        return alpha * latents + sigma * noise, alpha * noise - sigma * latents


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the UNet is told."""

    context: Tensor
    pooled: Tensor
    sizes: Tensor

    def arguments(self) -> dict[str, object]:
        """Keyword arguments of a UNet or a ControlNet."""
        return {
            "encoder_hidden_states": self.context,
            "added_cond_kwargs": {"text_embeds": self.pooled, "time_ids": self.sizes},
        }


def random_sizes(rng: np.random.Generator, count: int) -> Tensor:
    """SDXL's size conditions; half are arbitrary, so that the family ignores them."""
    sizes = np.tile(np.array([256, 256, 0, 0, 256, 256], np.float32), (count, 1))
    for row in sizes:
        if rng.random() < 0.5:
            height, width = rng.integers(16, 97, size=2) * 8
            row[:2] = row[4:] = height, width
    return torch.from_numpy(sizes)


@torch.no_grad()
def conditions(
    encoders: train_text.TextEncoders, captions: list[str], dice: Dice, place: Place
) -> Conditions:
    """Encoded captions; half of the empty ones become zeros, the other convention for "no prompt"."""
    context, pooled = encoders.encode(captions)
    kept = torch.tensor([c != "" or dice.numpy.random() < 0.5 for c in captions], device=place.device)
    context, pooled = context * kept[:, None, None], pooled * kept[:, None]
    return Conditions(context, pooled, random_sizes(dice.numpy, len(captions)).to(place.device))


def captions_for(scenes: list[Scene], rng: np.random.Generator, empty: float) -> list[str]:
    """Fresh captions; a share `empty` of them is dropped."""
    return ["" if rng.random() < empty else caption(scene, rng) for scene in scenes]


def timesteps(dice: Dice, count: int, place: Place) -> Tensor:
    """Uniform timesteps, stratified over the batch for a calmer loss."""
    drawn = (torch.arange(count) + torch.rand(count, generator=dice.torch)) / count * STEPS
    return drawn.long().clamp(0, STEPS - 1).to(place.device)


def noisy_timesteps(dice: Dice, count: int, place: Place) -> Tensor:
    """Stratified, denser the noisier: where things are is decided there."""
    drawn = ((torch.arange(count) + torch.rand(count, generator=dice.torch)) / count).sqrt() * STEPS
    return drawn.long().clamp(0, STEPS - 1).to(place.device)


def middle_timesteps(dice: Dice, count: int, place: Place) -> Tensor:
    """Half uniform, half logit-normal (arXiv 2403.03206): shapes are decided in the middle."""
    drawn = timesteps(dice, count, place)
    bell = torch.randn(count // 2, generator=dice.torch) * 0.8 - 0.4
    drawn[torch.randperm(count, generator=dice.torch)[: count // 2]] = (
        (bell.sigmoid() * STEPS).long().clamp(0, STEPS - 1).to(place.device)
    )
    return drawn


def attention_to(joints: NDArray[np.float32], place: Place) -> Tensor:
    """Loss weights [B,1,32,32] with mean 1: more for the face, the arms and the rest of the figure.

    A face covers a twentieth of a picture, an iris less than a hundredth; without weights they come
    last. Joints are [B,18,3] in pixels.
    """
    points = torch.from_numpy(joints).to(place.device)
    cells, seen = points[..., :2] / (sizes.PICTURE / sizes.LATENT) - 0.5, points[..., 2] > 0
    head = (cells[:, 0] - cells[:, 1]).norm(dim=-1).clamp(1.5, 8.0)  # nose to neck
    axis = torch.arange(sizes.LATENT, device=place.device, dtype=torch.float32)
    weights = torch.ones(len(points), sizes.LATENT, sizes.LATENT, device=place.device)
    for joint, (strength, reach) in WEIGHTS.items():
        square = (axis - cells[:, joint, :1]).square()[:, None] + (axis - cells[:, joint, 1:]).square()[
            :, :, None
        ]
        bell = torch.exp(-square / (2 * (reach * head).square())[:, None, None])
        weights += strength * seen[:, joint, None, None] * bell
    return (weights / weights.mean())[:, None]


def take(latents: NDArray[np.float16], index: NDArray[np.int64], place: Place) -> Tensor:
    """Latents of some items as float32."""
    return torch.from_numpy(latents[index].astype(np.float32)).to(place.device)


def load_unet(place: Place) -> UNet2DConditionModel:
    """The trained UNet, frozen."""
    folder = place.family / "unet"
    if not folder.exists():
        raise ValueError("no UNet in the work folder; train the member 'unet' first")
    unet = UNet2DConditionModel.from_pretrained(folder)
    return unet.to(place.device).eval().requires_grad_(False)


def make_pipeline(
    unet: UNet2DConditionModel, encoders: train_text.TextEncoders, place: Place
) -> StableDiffusionXLPipeline:
    """The whole text-to-image pipeline around a UNet."""
    pipeline = StableDiffusionXLPipeline(
        vae=load_vae(place),
        text_encoder=encoders.first,
        text_encoder_2=encoders.second,
        tokenizer=encoders.tokenizer,
        tokenizer_2=encoders.tokenizer,
        unet=unet,
        scheduler=family.make_scheduler(),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def preview(pipeline: StableDiffusionXLPipeline, path: Path, place: Place, **call: object) -> None:
    """Writes a grid of the fixed prompts, six in a row."""
    settings: Mapping[str, object] = {"num_inference_steps": 15, "guidance_scale": 4.0, **call}
    generators = [torch.Generator().manual_seed(i) for i in range(len(PROMPTS))]
    with place.autocast(), torch.no_grad():
        images = pipeline(
            prompt=list(PROMPTS),
            height=sizes.PICTURE,
            width=sizes.PICTURE,
            generator=generators,
            output_type="np",
            **settings,
        ).images
    write_grid((np.asarray(images) * 255).round().astype(np.uint8), path, 6)


def write_grid(pictures: NDArray[np.uint8], path: Path, columns: int) -> None:
    """Pictures uint8 [n,h,w,3] as one PNG."""
    rows = [np.concatenate(list(pictures[i : i + columns]), 1) for i in range(0, len(pictures), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
