"""Runs that are finished already: found, checked against their record, and answered without rendering."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pokora_anime.errors import MachineError, PokoraError, RecordError
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.provenance.run_layout import RECORD
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.render.worker.run_paths import command_of, run_folder
from pokora_anime.sandbox.guard_state import Level
from pokora_anime.schema.run_identity import run_key
from pokora_anime.schema.settings import RunConfig


def find(config: RunConfig, roots: Iterable[Path]) -> Path | None:
    """The root among `roots` under which this run is finished and unchanged; None for a run that is not."""
    if config.fresh:
        return None
    for root in roots:
        folder = run_folder(config, root)
        if not (folder / RECORD).is_file():
            continue
        with suppress(PokoraError), RunFolder(folder, run_key(command_of(config), config)) as opened:
            if opened.finished:
                return root
    return None


def require_guard(folder: Path) -> None:
    """Raise MachineError SYS-GUARD unless the finished run in `folder` was rendered behind Landlock."""
    try:
        guard = read_run(folder).summary.get("guard")
    except RecordError:
        guard = None
    level = guard.get("level") if isinstance(guard, dict) else None
    if level != Level.landlock.value:
        raise MachineError(
            "SYS-GUARD",
            f"the finished run in {folder} was rendered at guard level {level or 'none'}",
            expected=f"level {Level.landlock.value}",
            fix="fresh=true renders it anew",
        )
