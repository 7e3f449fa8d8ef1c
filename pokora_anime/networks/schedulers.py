"""The scheduler follows from the speed mode; noise schedule and prediction type from the base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler
from torch import Tensor

from pokora_anime.schema.settings import Betas, Family, Sampler

# What the motion adapters were trained with: AnimateDiff's own inference configurations for SDXL
# (diffusers' documentation has another) and for SD 1.5, whose adapters SD 2 borrows.
ADAPTER_BETAS: Mapping[Family, Mapping[str, object]] = {
    Family.sdxl: {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.020},
    Family.sd2: {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012},
}


def motion_betas(betas: Betas, family: Family, sampler: Sampler) -> Mapping[str, object]:
    """What differs from the base's noise schedule while a clip is denoised.

    Distilled LoRAs walk the base's own schedule in few long steps, and no adapter was trained for SD 2:
    both keep the base's unless told otherwise. nano's adapter was trained with its base's.
    """
    plain = sampler is Sampler.dpmpp_2m_karras and family is Family.sdxl
    wanted = betas is Betas.adapter or (betas is Betas.auto and plain)
    return ADAPTER_BETAS.get(family, {}) if wanted else {}


class StepScheduler(Protocol):
    """The part of a diffusers scheduler that the loop needs."""

    timesteps: Tensor
    init_noise_sigma: float

    def set_timesteps(self, num_inference_steps: int, *, device: torch.device) -> None: ...
    def set_begin_index(self, begin_index: int) -> None: ...
    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor: ...
    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor: ...
    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, **named: object
    ) -> tuple[Tensor, ...]: ...


class _Loads(Protocol):
    """A class of schedulers, whose loaders have no types."""

    def load_config(self, folder: Path) -> dict[str, object]: ...
    def from_config(self, config: Mapping[str, object], **changed: object) -> StepScheduler: ...


def build_scheduler(
    folder: Path, sampler: Sampler, betas: Mapping[str, object] | None = None
) -> StepScheduler:
    """The sampler's scheduler with prediction type and noise schedule of the base in `folder`.

    `betas` are what differs in the noise schedule.
    """
    stored = cast(_Loads, DPMSolverMultistepScheduler).load_config(folder)
    config = {**stored, **(betas or {})}
    if sampler is Sampler.lcm:
        return cast(_Loads, LCMScheduler).from_config(config)
    if sampler is Sampler.euler_trailing:
        # Distilled from the last timestep on (arXiv 2402.13929, 2404.13686); the bases' own spacing
        # is "leading" and never visits it. Without churn Euler's steps are DDIM's.
        return cast(_Loads, EulerDiscreteScheduler).from_config(
            config, timestep_spacing="trailing", use_karras_sigmas=False
        )
    return cast(_Loads, DPMSolverMultistepScheduler).from_config(
        config,
        algorithm_type="dpmsolver++",
        solver_order=2,
        use_karras_sigmas=True,
    )
