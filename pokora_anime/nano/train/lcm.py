"""The LCM LoRA: the guided UNet's trajectories, solved to their ends, as targets of one step.

A consistency function maps every point of a probability-flow trajectory to its end (arXiv
2310.04378, 2311.05556). Usually it is bootstrapped from itself one solver step at a time, over
thousands of steps. The nano teacher is cheap enough to solve each trajectory to its end, so the
target is exact from the first step on and a few hundred steps do.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import LCMScheduler, UNet2DConditionModel
from torch import Tensor

from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import data, diffusion, text
from pokora_anime.nano.train.loop import Dice, Place, train, write_record
from pokora_anime.nano.train.lora import add_lora, save_lora
from pokora_anime.nano.train.vae import load_latents

GRID = 50  # LCMScheduler's original_inference_steps
SOLVER_STEPS = 6  # of the teacher, from wherever the trajectory is joined to its end
LAST_SIGMA = 0.05  # noise to signal before the last solver step
GUIDANCE = 3.0
SIGMA_DATA, SCALING = 0.5, 10.0  # LCMScheduler's boundary condition
HUBER = 0.001


def train_lcm(training: Training, place: Place, preview_every: int = 150) -> None:
    """Distils guidance and many steps into a LoRA and writes it."""
    torch.manual_seed(place.seed)
    encoders = text.load(place)
    solver = _Solver(place)
    latents = np.asarray(load_latents(place, "stills"))
    scenes = data.load(place.work, "stills", place.seed).scenes
    teacher, student = diffusion.load_unet(place), diffusion.load_unet(place)
    add_lora(student)
    named = [(n, p) for n, p in student.named_parameters() if p.requires_grad]

    def loss_of(dice: Dice) -> Tensor:
        index = dice.numpy.integers(len(latents), size=training.batch)
        captions = diffusion.captions_for([scenes[i] for i in index], dice.numpy, 0.0)
        told = diffusion.conditions(encoders, captions, dice, place)
        untold = diffusion.conditions(encoders, [""] * len(captions), dice, place)
        clean = diffusion.take(latents, index, place)
        noise = dice.normal(*clean.shape).to(place.device)
        start = solver.grid(dice, training.batch)
        noisy, _ = solver.schedule.noised(clean, noise, start)
        with torch.no_grad():
            target = solver.solve(teacher, noisy, start, told, untold)
        found = solver.consistency(student, noisy, start, told)
        return ((found - target).square() + HUBER**2).sqrt().mean() - HUBER

    pipeline = diffusion.make_pipeline(student, encoders, place)
    pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)

    def preview(step: int) -> None:
        path = place.work / "previews" / f"lora_lcm-{step:05d}.png"
        diffusion.preview(pipeline, path, place, num_inference_steps=4, guidance_scale=1.0)
        save_lora(student, place.family / "lora_lcm")

    progress = train("lora_lcm", training, named, loss_of, place, preview, preview_every)
    save_lora(student, place.family / "lora_lcm")
    scores = {"last_loss": float(np.mean(progress.losses[-100:]))}
    write_record("lora_lcm", training, progress, place, scores)


class _Solver:
    """The guided teacher's trajectories, and the consistency function of the student."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.schedule = diffusion.Schedule.of(place.device)
        ratio = self.schedule.sigma / self.schedule.alpha
        self.log_ratio = ratio.log()  # increasing in the timestep

    def grid(self, dice: Dice, count: int) -> Tensor:
        """Timesteps [B] on LCMScheduler's grid, stratified over the batch."""
        stride = diffusion.STEPS // GRID
        drawn = (torch.arange(count) + torch.rand(count, generator=dice.torch)) / count
        return (((drawn * GRID).long().clamp(0, GRID - 1) + 1) * stride - 1).to(self.place.device)

    def split(self, velocity: Tensor, x: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted clean latents and noise."""
        alpha, sigma = self.schedule.at(timesteps, x)
        return alpha * x - sigma * velocity, sigma * x + alpha * velocity

    def solve(
        self,
        teacher: UNet2DConditionModel,
        x: Tensor,
        start: Tensor,
        told: diffusion.Conditions,
        untold: diffusion.Conditions,
    ) -> Tensor:
        """Clean latents at the end of the trajectory: DPM-Solver++ 2M (arXiv 2211.01095, alg. 2)."""
        path = self.path(start)
        before: tuple[Tensor, Tensor] | None = None  # the last step's clean latents and step size
        clean = x
        for here, there in zip(path, [*path[1:], None], strict=True):
            clean = self.guided(teacher, x, here, told, untold)
            if there is None:
                return clean
            alpha, sigma = self.schedule.at(there, x)
            step = (self.log_ratio[here] - self.log_ratio[there]).clamp(min=1e-4).view(-1, 1, 1, 1)
            used = clean
            if before is not None:
                used = clean + step / (2 * before[1]) * (clean - before[0])
            x = sigma / self.schedule.at(here, x)[1] * x - alpha * torch.expm1(-step) * used
            before = (clean, step)
        return clean

    def path(self, start: Tensor) -> list[Tensor]:
        """SOLVER_STEPS timesteps [B] from `start` down, even in log noise-to-signal."""
        first = self.log_ratio[start]
        last = first.clamp(max=float(np.log(LAST_SIGMA)))
        shares = torch.linspace(0, 1, SOLVER_STEPS, device=first.device)
        wanted = [first + share * (last - first) for share in shares]
        return [torch.searchsorted(self.log_ratio, w).clamp(max=diffusion.STEPS - 1) for w in wanted]

    def guided(
        self,
        teacher: UNet2DConditionModel,
        x: Tensor,
        timesteps: Tensor,
        told: diffusion.Conditions,
        untold: diffusion.Conditions,
    ) -> Tensor:
        """The teacher's guided prediction of the clean latents."""
        both = diffusion.Conditions(
            torch.cat([told.context, untold.context]),
            torch.cat([told.pooled, untold.pooled]),
            torch.cat([told.sizes, told.sizes]),
        )
        found = teacher(x.repeat(2, 1, 1, 1), timesteps.repeat(2), **both.arguments()).sample.float()
        with_text, without = found.chunk(2)
        return self.split(without + GUIDANCE * (with_text - without), x, timesteps)[0]

    def consistency(
        self, student: UNet2DConditionModel, x: Tensor, timesteps: Tensor, told: diffusion.Conditions
    ) -> Tensor:
        """Clean latents by the student, with LCMScheduler's boundary condition."""
        velocity = student(x, timesteps, **told.arguments()).sample.float()
        clean, _ = self.split(velocity, x, timesteps)
        scaled = (timesteps.float() * SCALING).view(-1, 1, 1, 1)
        skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        out = scaled / (scaled**2 + SIGMA_DATA**2).sqrt()
        return out * clean + skip * x
