"""Calms what should hold still: a segment's latents averaged over time, and tied to the frame before.

A motion adapter draws what stands still a little differently in each frame. Each latent pixel becomes the
mean of itself and its neighbours in time, weighted by nearness and likeness (a bilateral filter, Tomasi and
Manduchi 1998, along time alone), so that what moves stays as it is. And it draws all of it a little unlike
the frames that it was given: where a segment stands still, it takes the look of its last known frame.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.timeline.segment_plan import Span

REACH, NEAR = 8, 4.0  # frames that are looked at on each side; deviation of the weight over them
AROUND = 3  # latent pixels a side over which a difference is judged
STILL = 0.2  # deviation over time (RMS) up to which new frames count as standing still
FIRST = 4  # new frames that tell how far they are from the last known one: later ones may have drifted on


def finished(latents_CFHW: Tensor, span: Span, config: VideoConfig) -> Tensor:
    """A segment's latents as it is kept: calmed, in float32 on the CPU, a loop's frames going round.

    Once held, more frames are alike, so they are steadied before and after. A prompt that travels asks for
    another look than the known frames have: nothing is held to them.
    """
    frames, motion = latents_CFHW.shape[1], config.motion
    steady = steadied(latents_CFHW.float().cpu(), motion.deflicker, span.known, span.tail)
    if motion.hold > 0.0 and span.known and len(stops(config.shot.prompt)) == 1:
        held = held_to_known(steady, motion.hold, span.known, span.tail)
        steady = steadied(held, motion.deflicker, span.known, span.tail)
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
        apart = _around((late - early).square().mean(0))
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


def held_to_known(latents_CFHW: Tensor, unlike: float, known: int, tail: int) -> Tensor:
    """Latents of a segment [C, F, H, W] whose still places look as in its last known frame.

    All new frames are moved by the difference of the first ones' mean from that frame; the less they stand
    still, or the more they differ than `unlike` (RMS), the less. Without known frames nothing is.
    """
    end = latents_CFHW.shape[1] - tail
    if not known or known == end:
        return latents_CFHW
    fresh = latents_CFHW[:, known:end]
    away = fresh[:, :FIRST].mean(1) - latents_CFHW[:, known - 1]
    spread = _around(fresh.var(1, unbiased=False).mean(0)[None])
    apart = _around(away.square().mean(0)[None])
    still = torch.exp(-spread / (2 * STILL**2) - apart / (2 * unlike**2))  # [1, H, W]
    moved = fresh - (still * away)[:, None]
    return torch.cat([latents_CFHW[:, :known], moved, latents_CFHW[:, end:]], dim=1)


def _around(squares_NHW: Tensor) -> Tensor:
    """Mean of each place and those around it: [N, H, W]."""
    near = functional.avg_pool2d(squares_NHW[:, None], AROUND, 1, AROUND // 2, count_include_pad=False)
    return near[:, 0]
