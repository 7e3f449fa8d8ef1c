"""What a node says of the code and the machine that ran it: a change of either is a cache miss."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pokora_anime.provenance.hashing import Json

if TYPE_CHECKING:
    from pokora_anime.context import RunContext

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "numpy", "opencv-python-headless")


# What every network and every noise goes through before a stage sees it.
SHARED = (
    "pokora_anime.context",
    "pokora_anime.models.loader",
    "pokora_anime.models.loras",
    "pokora_anime.models.motion_unet",
    "pokora_anime.models.schedulers",
    "pokora_anime.models.text",
    "pokora_anime.nano.extractors",
)


def code_hash(*modules: ModuleType, also: tuple[str, ...] = ()) -> str:
    """sha256 over the sources of the modules that do the work, and of what all of them share.

    `also` names modules that the caller may not import.
    """
    digest = hashlib.sha256()
    for module in modules:
        digest.update(inspect.getsource(module).encode())
    for name in (*also, *SHARED):
        digest.update(_source(name))
    return digest.hexdigest()


@cache
def _source(name: str) -> bytes:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_bytes()


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
