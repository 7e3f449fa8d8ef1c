"""The folder of an export: whole or not there at all. Torch-free."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pokora_anime.errors import ConfigError
from pokora_anime.export.part_files import CARD
from pokora_anime.system import process
from pokora_anime.system.files.atomic_files import TEMPORARY_SUFFIX, sync_folder, temporary_path, writing


def require_free(folder: Path, *, replace: bool) -> None:
    """Raise ConfigError CFG-EXPORT where something lies at `folder` that is not to be replaced.

    Only an earlier export may be replaced.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if replace and (folder / CARD).is_file():
        return
    earlier = (folder / CARD).is_file()
    raise ConfigError(
        "CFG-EXPORT",
        f"{folder} is there already" + ("" if earlier else " and is no export"),
        expected="a new folder" + (", or --replace" if earlier else ""),
        fix="--replace" if earlier else f"--out {folder.with_name(f'{folder.name}-export')}",
    )


@contextmanager
def making(folder: Path) -> Generator[Path, None, None]:
    """A hidden sibling to write in, which becomes `folder` at the end, or is removed.

    Libraries' own temporary files lie in it too. What killed exports left is removed first. Raises
    MachineError SYS-DISK, SYS-WRITE, SYS-IO.
    """
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        hidden = temporary_path(folder)
        (hidden / "made").mkdir(parents=True)
        (hidden / "work").mkdir()
        before, tempfile.tempdir = tempfile.tempdir, str(hidden / "work")
        try:
            yield hidden / "made"
            _take_place(hidden, folder)
        finally:
            tempfile.tempdir = before
            shutil.rmtree(hidden, ignore_errors=True)


def _take_place(hidden: Path, folder: Path) -> None:
    if folder.exists():
        folder.rename(hidden / "before")
    (hidden / "made").rename(folder)
    sync_folder(folder.parent)


def _sweep(folder: Path) -> None:
    """Remove what exports to `folder` by processes that are no more left behind."""
    ours = re.compile(rf"\.{re.escape(folder.name)}\.(\d+){re.escape(TEMPORARY_SUFFIX)}")
    for path in folder.parent.iterdir():
        found = ours.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not process.runs(int(found[1]))):
            shutil.rmtree(path, ignore_errors=True)
