"""A gallery's files: its page, and the table beside it. Torch-free."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pokora_anime.errors import PokoraError
from pokora_anime.history import favourites, run_list
from pokora_anime.history.gallery import gallery_page, gallery_runs, gallery_tables
from pokora_anime.history.gallery.gallery_page import PAGE, Place
from pokora_anime.history.gallery.gallery_runs import Entry
from pokora_anime.system.files.atomic_files import write_atomic, writing

SHEET = "sheet.png"
BEGUN = "sweep.json"
SHARE = 0.02  # of a sweep's time that its page may take
MOST_CHARACTERS = 2000  # of a command that is shown


def write_root(root: Path) -> Path:
    """`index.html` over all runs below an output folder; returns it. Raises MachineError SYS-*."""
    return _write(gallery_runs.of_root(root), Place(folder=root, root=root, title=root.resolve().name))


def begin_sweep(folder: Path, words: Sequence[str], total: int | None) -> None:
    """Keep what started a sweep and how many jobs it has, for its page. Raises OSError."""
    told = {"words": [*words], "total": total}
    write_atomic(folder / BEGUN, json.dumps(told, ensure_ascii=False).encode())


def write_sweep(folder: Path, *, tables: bool = True) -> Path:
    """`index.html` of a sweep, of what is there of it so far; returns it. Raises MachineError SYS-*.

    Without `tables` only the page is written.
    """
    root = folder.parent.parent
    told = run_list.report(folder / BEGUN)
    total, words = told.get("total"), told.get("words")
    listed = [str(word) for word in words if str(word).isprintable()] if isinstance(words, list) else []
    place = Place(
        folder=folder,
        root=root,
        title=folder.name,
        command=shlex.join(["pokora", *listed])[:MOST_CHARACTERS] if listed else "",
        total=total if isinstance(total, int) else None,
    )
    return _write(gallery_runs.of_sweep(folder), place, tables=tables)


_cost = 0.0  # seconds that the page took when this process wrote it last


def refresh_sweep(folder: Path) -> None:
    """The page anew after a job, unless that would take more than a share of the sweep's time.

    What it costs grows with the runs, so it is written the less often the more there are. A page that
    cannot be written costs no job: the sweep writes it once more at its end, and says why.
    """
    global _cost
    page = folder / PAGE
    with suppress(OSError):
        if time.time() - page.stat().st_mtime < _cost / SHARE:
            return
    begun = time.monotonic()
    with suppress(PokoraError):
        write_sweep(folder, tables=False)
    _cost = time.monotonic() - begun


def _write(entries: Sequence[Entry], place: Place, *, tables: bool = True) -> Path:
    place.favourites = favourites.read(place.root)
    with writing(place.folder):
        if tables and entries:
            place.files = _tables(entries, place.folder)
        if (place.folder / SHEET).is_file():
            place.files = {**place.files, "contact sheet": SHEET}
        text = gallery_page.page(entries, place)
        write_atomic(place.folder / PAGE, text.encode("utf-8", "backslashreplace"))
    return place.folder / PAGE


def _tables(entries: Sequence[Entry], folder: Path) -> dict[str, str]:
    write_atomic(folder / gallery_tables.CSV, gallery_tables.as_csv(entries))
    found = {"table (CSV)": gallery_tables.CSV}
    if gallery_tables.has_parquet():
        write_atomic(folder / gallery_tables.PARQUET, gallery_tables.as_parquet(entries))
        found["table (Parquet)"] = gallery_tables.PARQUET
    return found
