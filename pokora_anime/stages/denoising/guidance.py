"""Classifier-free guidance as pure functions."""

from __future__ import annotations

from torch import Tensor


def guidance_on(step: int, steps: int, start: float, end: float) -> bool:
    """Whether step `step` of `steps` lies in the share [start, end) of the schedule."""
    return start <= step / steps < end


def combine(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """unconditional + scale * (conditional - unconditional) (arXiv 2207.12598, eq. 6)."""
    return unconditional + scale * (conditional - unconditional)
