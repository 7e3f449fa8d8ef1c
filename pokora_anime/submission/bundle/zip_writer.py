"""A zip that depends on its content alone: sorted, stored, one date, one mode."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

DATE = (1980, 1, 1, 0, 0, 0)
MODE = 0o100644 << 16


def pack(top: str, files: Mapping[str, bytes]) -> bytes:
    """The zip with every file below the folder `top`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(_member(f"{top}/{name}"), files[name])
    return packed.getvalue()


def packed_hash(top: str, folder: Path, listed: Iterable[str]) -> str:
    """sha256 of the zip that `pack` makes of these files, without holding it in memory."""
    with tempfile.TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(listed):
                archive.writestr(_member(f"{top}/{name}"), (folder / name).read_bytes())
        packed.seek(0)
        return hashlib.file_digest(packed, "sha256").hexdigest()


def top_of(path: Path) -> str:
    """The folder that the members of a zip lie in, from its first one; "" where there is none."""
    with zipfile.ZipFile(path) as archive:
        first = next(iter(archive.namelist()), "")
    return first.partition("/")[0] if "/" in first else ""


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, DATE)
    member.create_system = 3  # the same on Windows
    member.external_attr = MODE
    return member
