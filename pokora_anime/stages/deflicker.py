"""Calms what should hold still: a segment's latents averaged over time where they hardly differ.

A motion adapter draws what stands still a little differently in each frame. Each latent pixel becomes the
mean of itself and its neighbours in time, weighted by nearness and likeness (a bilateral filter, Tomasi and
Manduchi 1998, along time alone), so that what moves stays as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pokora_anime.config.schema import VideoConfig
from pokora_anime.stages.spans import Span

REACH, NEAR = 8, 4.0  # frames that are looked at on each side; deviation of the weight over them
AROUND = 3  # latent pixels a side over which a difference is judged


def finished(latents_CFHW: Tensor, span: Span, config: VideoConfig) -> Tensor:
    """A segment's latents as it is kept: steadied, in float32 on the CPU, a loop's frames going round."""
    frames = latents_CFHW.shape[1]
    steady = steadied(latents_CFHW.float().cpu(), config.motion.deflicker, span.known, span.tail)
    # Those past a loop's end are the first ones again.
    return steady[:, torch.arange(span.frames) % frames].clone()


def steadied(latents_CFHW: Tensor, like: float, known: int, tail: int) -> Tensor:
    """Latents of a segment [C, F, H, W]; its `known` first and `tail` last frames stay as they are.

    `like` is the root mean square difference up to which two frames count as the same there; 0 leaves all.
    """
    frames = latents_CFHW.shape[1]
    if like == 0.0:
        return latents_CFHW
    total, weight = latents_CFHW.clone(), torch.ones_like(latents_CFHW[:1])
    for step in range(1, min(REACH, frames - 1) + 1):
        early, late = latents_CFHW[:, :-step], latents_CFHW[:, step:]
        apart = (late - early).square().mean(0)[:, None]  # [F - step, 1, H, W]
        apart = functional.avg_pool2d(apart, AROUND, 1, AROUND // 2, count_include_pad=False)[:, 0]
        alike = torch.exp(-apart / (2 * like**2) - step**2 / (2 * NEAR**2))
        total[:, :-step] += alike * late
        total[:, step:] += alike * early
        weight[:, :-step] += alike
        weight[:, step:] += alike
    steady = total / weight
    steady[:, :known] = latents_CFHW[:, :known]
    if tail:
        steady[:, -tail:] = latents_CFHW[:, -tail:]
    return steady
