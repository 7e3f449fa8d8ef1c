"""A motion LoRA: the layers of a motion adapter, trained on drawn clips as it was itself.

Shapes: clips [B, channels, frames, height, width], B the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from pokora_anime.nano.train.members.train_motion import NEARLY_CLEAN, clip_noise, known_frames
from pokora_anime.nano.train.training_loop import Dice
from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import size_buckets
from pokora_anime.workshop.data.clip_folders import FEWEST_FRAMES
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.training import latent_cache, noise_targets
from pokora_anime.workshop.training.clips.sample_clips import clips
from pokora_anime.workshop.training.latent_cache import DETAIL, STEP, Example
from pokora_anime.workshop.training.lora_loop import Given, LoraLoop
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.lora_training import LoraTraining
from pokora_anime.workshop.training.training_base import TrainingBase

FRAMES = FEWEST_FRAMES  # that are denoised at once
PART = 4  # frames between the beginnings of two parts of a longer clip
SHOWN = 4  # frames of a sample clip


class ClipLoop(LoraLoop):
    """Steps on clips: one timestep for all frames, but for those that the clip knows already."""

    def network(self) -> nn.Module:
        """What the layers are in."""
        return self.base.models.motion_unet()

    def noised(self, clean: Tensor, details: Tensor, dice: Dice) -> Given:
        """A batch with the noise and the timesteps [B, frames] of a step. A base that was trained so shares
        noise between frames, and sees known frames nearly clean, which do not count."""
        base = self.base.config.base
        noise = clip_noise(dice, clean) if base.noise_share else dice.normal(*clean.shape)
        steps = len(self.base.alphas)
        moments = noise_targets.noisy_timesteps(len(clean), steps, dice.torch)
        moments = moments[:, None].repeat(1, clean.shape[2])
        if base.known_ahead:
            known = known_frames(dice.numpy, len(clean), clean.shape[2])
            nearly = (moments * NEARLY_CLEAN * dice.numpy.random()).long()
            moments = torch.where(known, nearly, moments)
            details = details * ~known[:, None, :, None, None]
        return clean, noise, moments, details

    def errors(self, given: Given, captions: Sequence[str], size: tuple[int, int]) -> Tensor:
        """The weighted error [B] of a prediction for clean clips, noise and timesteps."""
        clean, noise, moments, details = (one.to(self.base.device) for one in given)
        prediction, kept = self.base.prediction, self.base.alphas[moments]
        noisy, target = noise_targets.noised(clean, noise, kept[:, None, :, None, None], prediction)
        told = self.base.told(captions, size).of_clips(clean.shape[2])
        with self.base.autocast():
            found = self.unet(noisy.to(self.base.models.dtype), moments.amax(1), **told.arguments())[0]
        weights = noise_targets.loss_weights(kept.amin(1), prediction)
        error = ((cast(Tensor, found).float() - target).square() * details).sum((1, 2, 3, 4))
        return error / (details.sum((1, 2, 3, 4)) * clean.shape[1]).clamp_min(1e-6) * weights


class ClipTraining(LoraTraining):
    """As a training on pictures; what is looked at are clips."""

    Loop = ClipLoop

    def examples(self, data: Stored) -> list[Example]:
        """All clips of a data set, by name; encoded, or read where they have been."""
        return examples(data, self.settings, self.base, self.work)

    def looked_at(self) -> tuple[int, int]:
        """Fewer: a clip takes as long as 16 pictures."""
        samples, steps = super().looked_at()
        return min(2, samples), min(8, steps)

    def sample(self) -> Image:
        """A row of frames of each clip."""
        prompts = self.prompts
        made = clips(self.base, self.base.models, self.sampled(), prompts, range(len(prompts)), FRAMES)
        places = [round(index * (FRAMES - 1) / (SHOWN - 1)) for index in range(SHOWN)]
        return contact_sheet([clip[place] for clip in made for place in places], SHOWN)


def examples(data: Stored, settings: LoraSettings, base: TrainingBase, work: Path) -> list[Example]:
    """Clips as latents [channels, 16, height, width], of each 16 frames of a longer one."""
    step = min(STEP, max(8, base.side // 8))
    by_clip = data.data.by_clip()
    names = [entry.name for frames in by_clip.values() for entry in frames]
    buckets = {
        clip: size_buckets.nearest(frames[0].width, frames[0].height, base.side, step)
        for clip, frames in by_clip.items()
    }
    found = latent_cache.kept(work / latent_cache.FILE, settings, names)
    if found is None:
        shown = {
            entry.name: size_buckets.fitted(data.picture(entry), buckets[clip])
            for clip, frames in by_clip.items()
            for entry in frames
        }
        found = dict(zip(names, base.encoded([shown[name] for name in names]), strict=True))
        share = DETAIL[settings.role]
        found |= {f"{name}/detail": latent_cache.detail(shown[name], found[name], share) for name in names}
        latent_cache.keep(found, settings, work / latent_cache.FILE)
    made: list[Example] = []
    for clip, frames in by_clip.items():
        latents = torch.stack([found[entry.name] for entry in frames], 1)
        details = torch.stack([found[f"{entry.name}/detail"] for entry in frames], 1)
        starts = range(0, len(frames) - FRAMES + 1, PART)
        made.append(
            Example(
                name=clip,
                caption=latent_cache.captioned(frames[0].caption, settings),
                bucket=buckets[clip],
                latents=tuple(latents[:, start : start + FRAMES] for start in starts),
                details=tuple(details[:, start : start + FRAMES] for start in starts),
            )
        )
    return made
