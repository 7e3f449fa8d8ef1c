"""What a node says of the code and the machine that ran it: a change of either is a cache miss."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

from pokora_anime.provenance.hashing import Json

if TYPE_CHECKING:
    from pokora_anime.context import RunContext

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "numpy", "opencv-python-headless")


def code_hash(*modules: ModuleType) -> str:
    """sha256 over the sources of the modules that do the work."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()


@cache
def _versions() -> dict[str, Json]:
    return {name: version(name) for name in LIBRARIES}


def environment(context: RunContext) -> dict[str, Json]:
    """Device kind, number format, threads and library versions."""
    return {
        "device": context.device.type,
        "dtype": str(context.dtype).removeprefix("torch."),
        "threads": context.threads,
        "libraries": _versions(),
    }
