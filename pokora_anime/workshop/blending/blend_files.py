"""Blends kept as options of `style`, passed on as one small file, and taken from one. Torch-free."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.own_loras import blend_pins
from pokora_anime.errors import ConfigError
from pokora_anime.rules import contest_limits
from pokora_anime.schema import own_styles
from pokora_anime.schema.own_styles import Blend
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.workshop.blending import blend_weights


def data(blend: Blend) -> bytes:
    """A blend as its file holds it."""
    return json.dumps(blend.to_plain(), indent=1, ensure_ascii=False).encode() + b"\n"


def keep(blend: Blend) -> Path:
    """Make a blend an option of `style`; its file. Raises MachineError SYS-*."""
    path = own_styles.path_of(blend.name)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data(blend))
    return path


def remove(name: str) -> Path:
    """Take an option away, readable or not; its file. Raises ConfigError CFG-STYLE, MachineError SYS-*."""
    if name not in own_styles.names():
        own_styles.find(name)
    path = own_styles.path_of(name)
    with writing(path.parent):
        path.unlink()
        path.with_suffix(".webp").unlink(missing_ok=True)
    return path


def export(name: str, target: Path, *, replace_file: bool) -> Path:
    """Write a blend into a file to pass on. Raises ConfigError CFG-STYLE, CFG-FILE, MachineError SYS-*."""
    blend = own_styles.find(name)
    path = target / f"{name}.json" if target.is_dir() else target
    if path.exists() and not replace_file:
        raise ConfigError(
            "CFG-FILE",
            f"{shown(path)} is there already",
            expected="a new file",
            fix="another name, or --replace",
        )
    with writing(path.parent):
        write_atomic(path, data(blend))
    return path


def take(source: Path, name: str, *, replace_option: bool) -> tuple[Blend, list[str]]:
    """Make somebody's file an option, `name` in the place of its own where given; what was said of it too.

    Each LoRA is found here by its hash, under whatever id. Raises ConfigError CFG-FILE, CFG-STYLE.
    """
    if not source.is_file():
        raise ConfigError(
            "CFG-FILE",
            f"{shown(source)} is no file",
            expected="what `pokora style export` wrote",
            fix="pokora style export NAME FILE, where the style is",
        )
    try:
        blend = own_styles.parse(own_styles.read_bytes(source), source.name)
    except OSError as error:
        raise ConfigError(
            "CFG-FILE", f"{shown(source)}: {error.strerror}", expected="a file that can be read", fix="chmod"
        ) from error
    blend = replace(blend, name=name) if name else blend
    blend_weights.check_name(blend.name, replace=replace_option)
    contest_limits.load(blend.contest)
    told: list[str] = []
    parts: list[own_styles.Part] = []
    for part in blend.parts:
        here = blend_pins.by_digest(part.sha256, blend.base)
        row = None if here is None else registry.get(here, blend.base)
        named = part.id if row is None else blend_weights.named(row)
        if named != part.id:
            told.append(f"{part.id} is {named} here")
        parts.append(replace(part, id=named))
    blend = replace(blend, parts=tuple(parts))
    _check_weights(blend)
    blend_pins.require(blend)
    keep(blend)
    return blend, told


def _check_weights(blend: Blend) -> None:
    """A blend's weights sum to 1, whoever wrote it."""
    whole = sum(part.weight for part in blend.parts)
    if abs(whole - 1) > blend_weights.WHOLE:
        raise ConfigError(
            "CFG-STYLE",
            f"{blend.name}: weights that sum to {whole:.4g}",
            expected="1",
            fix=f"pokora style blend {blend.said} --normalize --name {blend.name}",
        )
