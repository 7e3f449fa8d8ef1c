"""Digests of the code that did the work: a change of it is a cache miss."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from pokora_anime.system.files.installed_package import INSTALLED

# What every network and every noise goes through before a stage sees it.
SHARED = (
    "pokora_anime.stages.run_context",
    "pokora_anime.devices.compiled_blocks",
    "pokora_anime.devices.machine",
    "pokora_anime.devices.memory_layout",
    "pokora_anime.networks.converted.conversion",
    "pokora_anime.networks.converted.converted_network",
    "pokora_anime.networks.converted.kept_conversions",
    "pokora_anime.networks.placement",
    "pokora_anime.networks.loader",
    "pokora_anime.networks.ip_adapter",
    "pokora_anime.catalogue.lora.lora_change",
    "pokora_anime.catalogue.lora.lora_names",
    "pokora_anime.catalogue.lora.lora_table",
    "pokora_anime.catalogue.lora.lora_merge",
    "pokora_anime.networks.motion_unet",
    "pokora_anime.networks.schedulers",
    "pokora_anime.networks.repeat_text_per_frame",
    "pokora_anime.networks.text_encoders",
    "pokora_anime.nano.nano_extractors",
    "pokora_anime.provenance.seed_noise",
    "pokora_anime.system.typed_tensors",
)


def code_hash(*modules: ModuleType) -> str:
    """sha256 over the sources of the modules that do the work, and of what all of them share."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(inspect.getsource(module).encode())
    for name in SHARED:
        digest.update(_source(name))
    return digest.hexdigest()


@cache
def package_hash() -> str:
    """sha256 over the names and bytes of the package's sources, in the order of their names."""
    files = INSTALLED.rglob("*.py")
    return sources_hash({path.relative_to(INSTALLED).as_posix(): path.read_bytes() for path in files})


def sources_hash(sources: Mapping[str, bytes]) -> str:
    """The same of sources by their POSIX names inside the package."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}|{len(sources[name])}|".encode())
        digest.update(sources[name])
    return digest.hexdigest()


@cache
def _source(name: str) -> bytes:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_bytes()
