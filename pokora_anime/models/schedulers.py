"""The scheduler follows from the speed mode; noise schedule and prediction type from the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler

from pokora_anime.config.schema import Sampler


def build_scheduler(folder: Path, sampler: Sampler) -> Any:
    """The sampler's scheduler with the betas and the prediction type of the base in `folder`."""
    config: Any = DPMSolverMultistepScheduler.load_config(folder)
    if sampler is Sampler.lcm:
        return LCMScheduler.from_config(config)
    if sampler is Sampler.euler_trailing:
        # Distilled from the last timestep on (arXiv 2402.13929, 2404.13686); the bases' own spacing
        # is "leading" and never visits it. Without churn Euler's steps are DDIM's.
        return EulerDiscreteScheduler.from_config(
            config, timestep_spacing="trailing", use_karras_sigmas=False
        )
    return DPMSolverMultistepScheduler.from_config(
        config,
        algorithm_type="dpmsolver++",
        solver_order=2,
        use_karras_sigmas=True,
    )
