"""Several processes that train one member together, each on its own batch.

On a few CPU cores, single-threaded processes get about twice as much done as one process with as
many threads, which waits at the end of every small operation.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from filelock import Timeout
from torch import distributed, nn

from pokora_anime.system.files.file_lock import lock

# Whoever started the processes ends them all when one fails; a slow one is worth waiting for.
PATIENCE = timedelta(days=30)
_alone = False


class OnlyHelped(Exception):
    """Raised where a training ends in a process that does not write its files."""


def rank() -> int:
    """This process's number; 0 writes the files."""
    return distributed.get_rank() if _together() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _together() else 1


def meet() -> None:
    """Joins the other processes where `pokora train --processes` or `torchrun` started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)


def wait() -> None:
    """Until every process is here."""
    if _together():
        distributed.barrier()


@contextmanager
def by_itself() -> Generator[None]:
    """Inside, this process works as if there were no others."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def take_core() -> None:
    """Moves this process to a core of its own, where the system can and there are several processes."""
    if _together() and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank() % len(cores)]})


@contextmanager
def only_training(member: str, work: Path) -> Generator[None]:
    """Holds a lock on the member's files in a work folder; it ends with the process, however that ends.

    Raises ValueError where another training has it.
    """
    if rank() > 0:
        yield
        return
    path = work / "state" / f"{member}.lock"
    path.parent.mkdir(exist_ok=True)
    try:
        taken = lock(path)
    except Timeout as error:
        raise ValueError(
            f"{member} is being trained in {work} already; wait for that training, stop it, or choose"
            " another --work"
        ) from error
    try:
        yield
    finally:
        if taken is not None:
            taken.release()


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Makes every process's gradients the mean of all; nothing to do for one process."""
    if not _together():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _together() -> bool:
    return distributed.is_initialized() and not _alone
