"""The LCM LoRA: the guided UNet's trajectories, solved to their ends, as targets of one step.

A consistency function maps every point of a probability-flow trajectory to its end (arXiv
2310.04378, 2311.05556). Usually it is bootstrapped from itself one solver step at a time, over
thousands of steps. The nano teacher is cheap enough to solve each trajectory to its end, so the
target is exact from the first step on and a few hundred steps do.

Stills and clips share every step, the clips with the motion adapter around teacher and student alike: a
LoRA that has seen stills alone leaves the temporal layers features that they never met, and freezes them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffusers import ControlNetModel, LCMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor

from pokora_anime.nano import family
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import diffusion, drawn_data
from pokora_anime.nano.train.lora_layers import add_lora, begin_lora, save_lora, share_lora
from pokora_anime.nano.train.members import train_motion, train_steering, train_text
from pokora_anime.nano.train.members.train_vae import load_latents
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, train, write_record

GRID = 50  # LCMScheduler's original_inference_steps
SOLVER_STEPS = 6  # of the teacher, from wherever the trajectory is joined to its end
LAST_SIGMA = 0.05  # noise to signal before the last solver step
GUIDANCE = 4.5  # of the teacher
SIGMA_DATA, SCALING = 0.5, 10.0  # LCMScheduler's boundary condition
HUBER = 0.001
FRAMES_A_STILL = 16  # clips in a batch: one for so many items

Network = Callable[[Tensor, Tensor, diffusion.Conditions], Tensor]  # latents, timesteps, told: velocity


def train_lcm(training: Training, place: Place) -> None:
    """Distils guidance and many steps into a LoRA and writes it."""
    torch.manual_seed(place.seed)
    encoders = train_text.load(place)
    solver = _Solver(place)
    stills = _Items(place, "stills", encoders, max(1, training.batch // 2))
    clips = _Items(place, "clips", encoders, max(1, training.batch // FRAMES_A_STILL))
    teacher, student = diffusion.load_unet(place), diffusion.load_unet(place)
    add_lora(student)
    before = begin_lora(student, place, "lora_lcm")
    moving_teacher, moving_student = (_moving(unet, place) for unet in (teacher, diffusion.load_unet(place)))
    add_lora(moving_student)
    control = _control(place)
    share_lora(student, moving_student)
    named = [(n, p) for n, p in student.named_parameters() if p.requires_grad]

    def loss_of(dice: Dice) -> Tensor:
        still = _loss(solver, _still(teacher), _still(student), stills, dice)
        steered = clips.steering(control, dice)
        return still + _loss(
            solver, _clip(moving_teacher, steered), _clip(moving_student, steered), clips, dice
        )

    pipeline = diffusion.make_pipeline(student, encoders, place)
    pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)

    def preview(step: int) -> None:
        path = place.work / "previews" / f"lora_lcm-{step:05d}.png"
        diffusion.preview(pipeline, path, place, num_inference_steps=4, guidance_scale=1.0)
        save_lora(student, place.family / "lora_lcm")

    progress = train("lora_lcm", training, named, loss_of, place, Preview(show=preview, every=150), before)
    save_lora(student, place.family / "lora_lcm")
    scores = {"last_loss": float(np.mean(progress.losses[-100:]))}
    write_record("lora_lcm", training, progress, place, scores)


class _Items:
    """Stills, or clips of which some know their first frames."""

    def __init__(self, place: Place, kind: str, encoders: train_text.TextEncoders, count: int) -> None:
        self.place, self.encoders, self.count = place, encoders, count
        self.moving = kind == "clips"
        self.latents = np.asarray(load_latents(place, kind))
        self.drawn = drawn_data.load(place.work, kind, place.seed)
        self.scenes = self.drawn.scenes
        self.index: np.ndarray | None = None  # of the clips that maps were drawn for

    def steering(self, control: ControlNetModel | None, dice: Dice) -> train_steering.Steering | None:
        """Maps of the clips that the next draw gives; None without a pose ControlNet."""
        self.index = dice.numpy.integers(len(self.latents), size=self.count)
        if control is None or self.drawn.joints is None:
            return None
        maps = train_steering.draw_maps(np.asarray(self.drawn.joints[self.index]), self.place)
        return train_steering.Steering.of(
            control, maps, train_steering.strengths(dice.numpy, self.count, self.place)
        )

    def draw(self, dice: Dice) -> tuple[Tensor, Tensor, Tensor, diffusion.Conditions, diffusion.Conditions]:
        """Clean latents [B,4,...], their noise, known frames [B,F], what is told, and the empty prompt."""
        index = dice.numpy.integers(len(self.latents), size=self.count) if self.index is None else self.index
        scenes = [self.scenes[i] for i in index]
        clean = diffusion.take(self.latents, index, self.place)
        known = torch.zeros(self.count, 1, dtype=torch.bool)
        if self.moving:
            clean = clean.transpose(1, 2)  # [B,4,F,32,32]
            captions = [train_motion.clip_caption(scene, dice.numpy, empty=0.0) for scene in scenes]
            known = train_motion.known_frames(dice.numpy, self.count, clean.shape[2])
            noise = train_motion.clip_noise(dice, clean)
        else:
            captions = diffusion.captions_for(scenes, dice.numpy, 0.0)
            noise = dice.normal(*clean.shape).to(clean.device)
        told = diffusion.conditions(self.encoders, captions, dice, self.place)
        untold = diffusion.conditions(self.encoders, [""] * self.count, dice, self.place)
        return clean, noise, known.to(self.place.device), told, untold


def _loss(solver: _Solver, teacher: Network, student: Network, items: _Items, dice: Dice) -> Tensor:
    clean, noise, known, told, untold = items.draw(dice)
    start = solver.grid(dice, len(clean), noisier=items.moving)  # what she does is decided in the noise
    noisy, _ = solver.schedule.noised(clean, noise, start)

    def held(x: Tensor) -> Tensor:
        """Known frames as they are; a still has none."""
        return torch.where(known[:, None, :, None, None], clean, x) if items.moving else x

    with torch.no_grad():
        target = solver.solve(teacher, noisy, start, told, untold, held)
    found = held(solver.consistency(student, held(noisy), start, told))
    return ((found - held(target)).square() + HUBER**2).sqrt().mean() - HUBER


def _still(unet: UNet2DConditionModel) -> Network:
    return lambda x, timesteps, told: unet(x, timesteps, **told.arguments()).sample.float()


def _clip(unet: UNetMotionModel, steered: train_steering.Steering | None) -> Network:
    if steered is None:
        return lambda x, timesteps, told: train_motion.predict(unet, x, timesteps, told).float()
    return lambda x, timesteps, told: train_steering.predict(unet, x, timesteps, told, steered).float()


def _control(place: Place) -> ControlNetModel | None:
    """The pose ControlNet, frozen; None where there is none yet."""
    folder = place.family / "controlnet_pose"
    if not (folder / "config.json").exists():
        return None
    return ControlNetModel.from_pretrained(folder).to(place.device).eval().requires_grad_(False)


def _moving(unet: UNet2DConditionModel, place: Place) -> UNetMotionModel:
    """The UNet with the trained motion adapter in it, frozen."""
    folder = place.family / "motion_adapter"
    if not folder.exists():
        raise ValueError("no motion adapter in the work folder; train the member 'motion' first")
    adapter = MotionAdapter.from_pretrained(folder)
    return family.make_motion_unet(unet, adapter).to(place.device).eval().requires_grad_(False)


class _Solver:
    """The guided teacher's trajectories, and the consistency function of the student."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.schedule = diffusion.Schedule.of(place.device)
        ratio = self.schedule.sigma / self.schedule.alpha
        self.log_ratio = ratio.log()  # increasing in the timestep

    def grid(self, dice: Dice, count: int, *, noisier: bool) -> Tensor:
        """Timesteps [B] on LCMScheduler's grid, stratified over the batch, perhaps denser the noisier."""
        stride = diffusion.STEPS // GRID
        draw = diffusion.noisy_timesteps if noisier else diffusion.timesteps
        return (draw(dice, count, self.place) // stride + 1) * stride - 1

    def split(self, velocity: Tensor, x: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted clean latents and noise."""
        alpha, sigma = self.schedule.at(timesteps, x)
        return alpha * x - sigma * velocity, sigma * x + alpha * velocity

    def solve(
        self,
        teacher: Network,
        x: Tensor,
        start: Tensor,
        told: diffusion.Conditions,
        untold: diffusion.Conditions,
        held: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Clean latents at the end of the trajectory: DPM-Solver++ 2M (arXiv 2211.01095, alg. 2).

        `held` puts back what is known of them before every step.
        """
        path = self.path(start)
        before: tuple[Tensor, Tensor] | None = None  # the last step's clean latents and step size
        clean = x
        for here, there in zip(path, [*path[1:], None], strict=True):
            clean = self.guided(teacher, held(x), here, told, untold)
            if there is None:
                return clean
            alpha, sigma = self.schedule.at(there, x)
            step = (self.log_ratio[here] - self.log_ratio[there]).clamp(min=1e-4)
            step = step.view(-1, *(1,) * (x.dim() - 1))
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
        teacher: Network,
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
        with_text, without = teacher(torch.cat([x, x]), timesteps.repeat(2), both).chunk(2)
        return self.split(without + GUIDANCE * (with_text - without), x, timesteps)[0]

    def consistency(
        self, student: Network, x: Tensor, timesteps: Tensor, told: diffusion.Conditions
    ) -> Tensor:
        """Clean latents by the student, with LCMScheduler's boundary condition."""
        clean, _ = self.split(student(x, timesteps, told), x, timesteps)
        scaled = (timesteps.float() * SCALING).view(-1, *(1,) * (x.dim() - 1))
        skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        out = scaled / (scaled**2 + SIGMA_DATA**2).sqrt()
        return out * clean + skip * x
