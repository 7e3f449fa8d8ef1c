"""Several processes that train one member together, each on its own batch.

On a few CPU cores, single-threaded processes get about twice as much done as one process with as
many threads, which waits at the end of every small operation.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import distributed, nn


def rank() -> int:
    """This process's number; 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def meet() -> None:
    """Joins the other processes where `torchrun` started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def wait() -> None:
    """Until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Makes every process's gradients the mean of all; nothing to do for one process."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
