"""Opening a run: its folder, or a zip of it."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pokora_anime.untrusted import zip_archive
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown


@contextmanager
def open_source(path: Path, limits: Limits) -> Generator[Folder, None, None]:
    """The run at `path`: a folder, or a zip, which is unpacked into a temporary one.

    Raises Unreadable SRC-NONE, SRC-KIND, SRC-ZIP, SRC-SIZE or SRC-COUNT.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise _none("SRC-NONE", f"{shown(path)} cannot be opened") from error
    if stat.S_ISDIR(mode):
        yield Folder(path, limits)
        return
    if not stat.S_ISREG(mode):
        raise _none("SRC-KIND", f"{shown(path)} is neither a folder nor a file")
    with tempfile.TemporaryDirectory(prefix="pokora-verify-") as unpacked:
        found = zip_archive.unpack(path, Path(unpacked), limits)
        folder = Folder(Path(unpacked), limits)
        folder.findings += found
        yield folder


def _none(code: str, got: str) -> Unreadable:
    return Unreadable(
        code, got, expected="a run's folder or a bundle", fix="pokora verify outputs/video/NAME"
    )
