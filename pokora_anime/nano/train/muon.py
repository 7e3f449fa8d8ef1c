"""Muon (Jordan et al., 2024): momentum steps made orthogonal, for weights that are matrices.

Vectors, and matrices with a very short side, take AdamW steps instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
SHORTEST_SIDE = 8
# Quintic Newton-Schulz coefficients of the authors: five rounds bring singular values near 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def is_matrix(parameter: Tensor) -> bool:
    """Convolutions count as matrices [out, in * height * width]."""
    if parameter.ndim < 2:
        return False
    return min(parameter.shape[0], parameter[0].numel()) > SHORTEST_SIDE


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with equal singular values, about; [m,n]."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for matrices at `lr`; its steps have the size of AdamW's (arXiv 2502.16982, eq. 4)."""

    def __init__(self, parameters: Sequence[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(list(parameters), {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].mul_(MOMENTUM).add_(parameter.grad)
                ahead = parameter.grad.add(state["momentum"], alpha=MOMENTUM)  # Nesterov
                update = orthogonal(ahead.flatten(1)) * 0.2 * max(ahead.flatten(1).shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-group["lr"])
