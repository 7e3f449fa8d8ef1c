"""The user's folder for what is kept between runs: own LoRAs, conversions, the lock file. Torch-free."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def data_folder() -> Path:
    """POKORA_DATA, else pokora_anime in XDG_DATA_HOME or ~/.local/share. It need not exist."""
    if named := os.environ.get("POKORA_DATA"):
        return Path(named).expanduser()
    root = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(root).expanduser() / "pokora_anime"


def free_space(folder: Path) -> int:
    """Bytes free where `folder` is or will be."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def amount(count: int) -> str:
    """Bytes in words: 812 B, 1.4 MB, 6.94 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
