"""Renders videos and stills in one process that stays, so that the next starts warm. Torch-free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pokora_anime.errors import Interrupted, MachineError, PokoraError
from pokora_anime.jobs import render_job
from pokora_anime.render.worker.parent import Worker
from pokora_anime.schema.settings import RunConfig
from pokora_anime.signing import statement
from pokora_anime.studio.queue import job_reading
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_reading import Sent
from pokora_anime.studio.queue.job_record import Job
from pokora_anime.studio.workspaces import Workspace

_LOCKED_POLL = 0.5
_LOCKED_SECONDS = 15.0  # that a rendering process of a killed server may take to end
IDLE_SECONDS = 900.0  # after which a process that has nothing to do ends
DEADLY = ("SYS-MEMORY", "SYS-RENDER")  # the rendering process was ended


class RenderEngine:
    """One rendering process at a time; another workspace gets another one."""

    def __init__(self, board: JobBoard, sign: bool = True) -> None:
        self._board, self._sign = board, sign
        self._worker: Worker | None = None
        self._held = threading.Lock()  # while the process is asked
        self._stops: set[str] = set()  # attempts that somebody wants to end
        self._rendered = ""  # the attempt under way
        self._idle: threading.Timer | None = None
        self._unwanted = False  # whether a process that warms up is to end once it is warm

    def render(self, job: Job, workspace: Workspace) -> Path:
        """The finished run's folder. Raises what the run raises, KeyboardInterrupt where it was stopped."""
        config = job_reading.composed(Sent(job.command, job.words))
        with self._held:
            worker = self._of(workspace)
            worker.watch = partial(self._report, job)
            try:
                attempt = partial(render_job.render, config, workspace.outputs, worker=worker)
                folder = self._once_free(job, attempt)
            finally:
                self._stops.discard(job.attempt)
                self._rest()
        if self._sign:
            statement.sign_told(folder, partial(self._board.line, job.id))
        return folder

    def warm(self, config: RunConfig, workspace: Workspace) -> None:
        """Has a process import its libraries where none is there; returns at once."""
        self._unwanted = False
        if self._worker is not None and self._worker.alive:
            return
        threading.Thread(target=self._warm, args=(config, workspace), daemon=True).start()

    def _warm(self, config: RunConfig, workspace: Workspace) -> None:
        if not self._held.acquire(blocking=False):
            return
        try:
            with suppress(PokoraError, OSError):  # a run tells what is wrong
                worker = self._of(workspace)
                if not worker.alive:
                    worker.warm(config)
            if self._unwanted:
                self.close()
        finally:
            self._rest()
            self._held.release()

    def rest(self) -> None:
        """End a process that renders nothing: somebody else wants the machine."""
        self._unwanted = True
        self._end_idle()

    def _rest(self) -> None:
        """A process that is not asked for a while ends, and gives its memory back."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(IDLE_SECONDS, self._end_idle)
        self._idle.daemon = True
        self._idle.start()

    def _end_idle(self) -> None:
        if self._held.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._held.release()

    def interrupt(self, job: Job) -> None:
        """Stop this attempt of a job, whether it has begun or is about to; its finished segments stay."""
        self._stops.add(job.attempt)
        if self._rendered == job.attempt and self._worker is not None:
            self._worker.interrupt()

    def close(self) -> None:
        """End the process."""
        if self._idle is not None:
            self._idle.cancel()
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _of(self, workspace: Workspace) -> Worker:
        if self._worker is None or self._worker.folder != workspace.renders:
            self.close()
            workspace.renders.mkdir(parents=True, exist_ok=True)
            self._worker = Worker(workspace.renders)
        return self._worker

    def _report(self, job: Job, report: dict[str, object]) -> None:
        self._board.report(job.id, report)
        if job.attempt in self._stops and self._worker is not None:  # asked before the run had begun
            self._stops.discard(job.attempt)
            self._worker.interrupt()

    def _once_free(self, job: Job, attempt: Callable[[], Path]) -> Path:
        """The attempt, made again while the process of a killed server still holds the run's folder."""
        waited = 0.0
        while True:
            if job.attempt in self._stops:
                raise KeyboardInterrupt
            try:
                self._rendered = job.attempt
                return attempt()
            except MachineError as error:
                if error.code != "SYS-LOCK" or waited >= _LOCKED_SECONDS:
                    raise
                time.sleep(_LOCKED_POLL)
                waited += _LOCKED_POLL
            finally:
                self._rendered = ""


def segments_of(folder: Path) -> int:
    """How many parts of a run are finished, whatever becomes of it."""
    with suppress(OSError):
        return sum(1 for _ in (folder / "stages").iterdir())
    return 0


def stopped(error: BaseException) -> bool:
    """Whether a run ended because somebody asked for it."""
    return isinstance(error, KeyboardInterrupt | Interrupted)
