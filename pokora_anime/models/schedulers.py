"""The scheduler follows from the speed mode; noise schedule and prediction type from the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import DPMSolverMultistepScheduler, LCMScheduler

from pokora_anime.config.schema import Sampler


def build_scheduler(folder: Path, sampler: Sampler) -> Any:
    """The sampler's scheduler with the betas and the prediction type of the base in `folder`."""
    config: Any = DPMSolverMultistepScheduler.load_config(folder)
    if sampler is Sampler.lcm:
        return LCMScheduler.from_config(config)
    return DPMSolverMultistepScheduler.from_config(
        config,
        algorithm_type="dpmsolver++",
        solver_order=2,
        use_karras_sigmas=True,
    )
