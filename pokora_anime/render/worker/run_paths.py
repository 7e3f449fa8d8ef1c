"""Where a run will lie, before anything of it exists."""

from __future__ import annotations

from pathlib import Path

from pokora_anime.schema.run_identity import run_key, run_slug
from pokora_anime.schema.settings import RunConfig, VideoConfig


def command_of(config: RunConfig) -> str:
    """`video` or `stills`."""
    return "video" if isinstance(config, VideoConfig) else "stills"


def run_folder(config: RunConfig, root: Path) -> Path:
    """The folder that RunFolder.open will make for this run."""
    command = command_of(config)
    return root / command / f"{run_slug(config)}-{run_key(command, config)[:12]}"
