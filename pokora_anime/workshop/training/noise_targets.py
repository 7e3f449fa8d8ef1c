"""What the UNet is to predict for noisy latents, and how much each timestep counts."""

from __future__ import annotations

import torch
from torch import Tensor

QUIET, CENTRE, SPREAD = 0.5, -0.8, 0.8  # share of quiet timesteps, and how they are spread
GAMMA = 5.0  # of min-SNR (Hang et al., arXiv 2303.09556)


def timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Timesteps [count], stratified over the batch for a calmer loss; every second one is logit-normal
    (arXiv 2403.03206) around the quieter half, where small things such as eyes are decided."""
    drawn = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    quiet = (torch.randn(count, generator=generator) * SPREAD + CENTRE).sigmoid()
    some = torch.rand(count, generator=generator) < QUIET
    return (torch.where(some, quiet, drawn) * steps).long().clamp(0, steps - 1)


def noisy_timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Timesteps [count], stratified over the batch, the noisier the likelier: there a move is decided."""
    drawn = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (drawn.sqrt() * steps).long().clamp(0, steps - 1)


def noised(clean: Tensor, noise: Tensor, kept: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
    """Noisy latents and the target. `kept` [B], or of as many dimensions as the latents, is the share of the
    signal (alphas_cumprod).

    epsilon: the noise; v_prediction: the velocity (Salimans and Ho, arXiv 2202.00512).
    """
    shape = kept.shape if kept.dim() == clean.dim() else (-1, *(1,) * (clean.dim() - 1))
    alpha, sigma = (part.sqrt().view(shape) for part in (kept, 1 - kept))
    target = alpha * noise - sigma * clean if prediction == "v_prediction" else noise
    return alpha * clean + sigma * noise, target


def loss_weights(kept: Tensor, prediction: str) -> Tensor:
    """Weights [B]: min-SNR for epsilon; 1 for velocity, whose error is that of the picture times SNR + 1."""
    if prediction == "v_prediction":
        return torch.ones_like(kept)
    snr = kept / (1 - kept).clamp_min(1e-8)
    return snr.clamp_max(GAMMA) / snr.clamp_min(1e-8)
