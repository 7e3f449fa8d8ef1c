"""The libraries and the machine that a result depends on; nothing that names a machine or a person."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from pokora_anime.provenance.hashing import Json

if TYPE_CHECKING:
    import torch


class ComputeSettings(Protocol):
    """What a run computes with."""

    @property
    def device(self) -> torch.device:
        """Where."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which number format."""
        ...

    @property
    def threads(self) -> int:
        """With how many threads of the processor."""
        ...


LIBRARIES = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "numpy",
    "opencv-python-headless",
    "imageio-ffmpeg",
)


@cache
def libraries() -> dict[str, Json]:
    """The installed version of every library that takes part in a result."""
    return {name: version(name) for name in LIBRARIES}


def environment(context: ComputeSettings, packages: Iterable[str] = ()) -> dict[str, Json]:
    """What a node says of where it ran: device, processor, number format, threads, library versions.

    `packages` are optional ones that took part.
    """
    return {
        "device": context.device.type,
        "processor": _processor(context.device),
        "dtype": str(context.dtype).removeprefix("torch."),
        "threads": context.threads,
        "libraries": libraries() | {name: version(name) for name in packages},
    }


def machine() -> dict[str, Json]:
    """What a record says of the machine as a whole."""
    return {"python": platform.python_version(), "system": sys.platform, "processor": platform.machine()}


def _processor(device: torch.device) -> str:
    """The model of a GPU; of a CPU the instruction set that torch chose, which decides its last bits."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()
