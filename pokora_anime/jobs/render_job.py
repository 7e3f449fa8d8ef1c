"""One run from a composed config: judged, answered from what is there, or rendered by a guarded process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.errors import Interrupted
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.system.terminal import resume_hint

if TYPE_CHECKING:
    from pokora_anime.render.worker.parent import Worker


def render(
    config: RunConfig,
    root: Path,
    guard: str = "auto",
    worker: Worker | None = None,
    first: Callable[[float], bool] | None = None,
) -> Path:
    """One run in a guarded process; returns the run folder. A finished run is answered from its folder.

    `guard` is auto, require, or off (in this process). A sweep's `worker` keeps its process for the
    next run and renders below the sweep's folder, after a look into the other sweeps under `root`; it tells
    `first` the score of the first segment and stops where that says no.
    """
    from pokora_anime.catalogue.needed_weights import check_available
    from pokora_anime.config import gate
    from pokora_anime.devices import compiler
    from pokora_anime.devices.forecast import disk_space
    from pokora_anime.render.worker.run_paths import run_folder

    gate.refuse(config)
    check_available(config)
    compiler.require(config)
    from pokora_anime.jobs import finished_runs

    place = finished_runs.find(config, [root, *sorted(root.glob("sweep/*"))] if worker else [root])
    if place is not None:
        return _answer(config, place, guard)
    disk_space.require(config, run_folder(config, worker.folder if worker else root))
    if guard == "off":
        return _render_here(config, worker.folder if worker else root)
    from pokora_anime.render.worker import parent

    try:
        return worker.render(config, guard, first) if worker else parent.render(config, root, guard)
    except Interrupted as error:
        # The rendering process does not know what was typed.
        raise Interrupted(error.code, error.got, fix=f"to go on from there: {resume_hint.how()}") from error


def _answer(config: RunConfig, root: Path, guard: str) -> Path:
    """The folder of a finished run, and a word about it."""
    from pokora_anime.jobs import finished_runs
    from pokora_anime.render.run import open_run
    from pokora_anime.render.worker.run_paths import command_of

    with open_run(command_of(config), config, root) as run:
        if guard == "require":
            finished_runs.require_guard(run.folder.path)
        return run.folder.path


def _render_here(config: RunConfig, root: Path) -> Path:
    """For debugging: in this process, with whatever it inherited."""
    from pokora_anime.render import pipeline
    from pokora_anime.sandbox.guard_state import in_force

    if isinstance(config, VideoConfig):
        return pipeline.render_video(config, root, in_force().to_json())
    assert isinstance(config, StillsConfig)
    return pipeline.render_stills(config, root, in_force().to_json())


def note(config: RunConfig) -> None:
    """Say on stderr what bars an entry, what of the prompt is not read, and what was chosen for it."""
    from pokora_anime.config import prompt_notes
    from pokora_anime.config.checks import contest_notes

    notes = contest_notes(config)
    if notes:
        print(f"no entry to {config.contest.name}: {'; '.join(notes)}", file=sys.stderr)
    for line in prompt_notes.lines(config):
        print(printable(line), file=sys.stderr)


def printable(line: str) -> str:
    """A line that the terminal's encoding can show."""
    encoding = sys.stderr.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
