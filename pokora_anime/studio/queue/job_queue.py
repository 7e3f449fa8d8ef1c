"""The queue: huey hands out turns, the store says whose turn it is, an engine does the work. Torch-free.

A message of huey names no job. It is a turn: whoever gets it takes the next job of its lane from the store,
in one transaction. So jobs can be reordered and cancelled, a turn too many finds nothing, and a turn that
was lost with a killed server is given again at the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from pokora_anime.errors import ConfigError, MachineError, PokoraError
from pokora_anime.jobs import sweep_jobs
from pokora_anime.schema.settings import RunConfig
from pokora_anime.studio.problems import Problem, plain
from pokora_anime.studio.queue import job_reading
from pokora_anime.studio.queue.command_engine import CommandEngine
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_reading import Sent
from pokora_anime.studio.queue.job_record import RUNS, Job, Lane, State, new_job
from pokora_anime.studio.queue.job_store import JobStore
from pokora_anime.studio.queue.render_engine import DEADLY, segments_of, stopped
from pokora_anime.studio.queue.turns import Turns
from pokora_anime.studio.workspaces import Workspace, Workspaces
from pokora_anime.system.files.file_lock import FolderLock, owner

_log = logging.getLogger("pokora.studio")


class Renders(Protocol):
    """What renders videos and stills."""

    def render(self, job: Job, workspace: Workspace) -> Path:
        """The folder of the finished run."""
        ...

    def warm(self, config: RunConfig, workspace: Workspace) -> None:
        """Get ready for a run like this one, which somebody is about to ask for; returns at once."""
        ...

    def rest(self) -> None:
        """End what renders nothing; the machine is for somebody else."""
        ...

    def interrupt(self, job: Job) -> None:
        """Stop this attempt of a job, whether it has begun or is about to."""
        ...

    def close(self) -> None:
        """Let go of processes."""
        ...


class JobQueue:
    """The jobs of one outputs folder. Only one server at a time may work them off."""

    def __init__(
        self, workspaces: Workspaces, most_waiting: int, renders: Renders, board: JobBoard, turns: int = 1
    ):
        """`turns`: jobs rendered at once. Raises ConfigError API-SERVER where another server works here."""
        self.workspaces, self.most_waiting, self.board = workspaces, most_waiting, board
        self._renders, self._commands = renders, {lane: CommandEngine(board) for lane in Lane}
        self._at_once = {Lane.render: turns, Lane.beside: 1}
        self._running: dict[str, Job] = {}
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._ending = self._paused = False
        state = workspaces.state
        state.mkdir(parents=True, exist_ok=True)
        self._held = _hold(state)
        self.store = JobStore(state / "jobs.db")
        self._turns = {
            lane: Turns(lane.value, state / "turns.db", partial(self._turn, lane), self._at_once[lane])
            for lane in Lane
        }

    def start(self) -> None:
        """Works off from now on; what a killed server left running goes on from its segments."""
        for job in self.store.recover():
            _log.info("job %s goes on", job.id)
        for lane, turns in self._turns.items():
            turns.start(len(self.store.waiting(lane)))

    def stop(self) -> None:
        """Ends what runs, which waits again, and lets go of everything."""
        self._ending = True
        for job in list(self._running.values()):
            self._interrupt(job)
        for turns in self._turns.values():
            turns.stop()
        for turns in self._turns.values():
            turns.join()
        self._renders.close()
        self.store.close()
        self._held.release()

    def add(self, user: str, sent: Sent, idempotency: str = "") -> tuple[Job, bool]:
        """A new job for judged words. Raises ConfigError, PromptError, WeightsError, Problem 429."""
        jobs = job_reading.listed(sent, self.workspaces.of(user).outputs)
        path = ""
        if sent.command in RUNS:
            from pokora_anime.catalogue.needed_weights import check_available
            from pokora_anime.render.worker.run_paths import run_folder

            check_available(jobs.configs[0])
            workspace = self.workspaces.of(user)
            path = workspace.path(run_folder(jobs.configs[0], workspace.renders))
        label = job_reading.label(jobs.configs[0])
        words = sweep_jobs.with_preset(sent.words) if sent.command == "sweep" else sent.words
        return self.put(new_job(user, sent.command, words, label, run=path), idempotency)

    def put(self, job: Job, idempotency: str = "") -> tuple[Job, bool]:
        """A job as it is. Raises Problem 429."""
        kept, new = self.store.add(job, self.most_waiting, idempotency)
        if new:
            self._turns[kept.lane].give()
            self.board.changed()
        return kept, new

    def warm(self, config: RunConfig, user: str) -> None:
        """Somebody types a run: get ready for it where nothing is rendered."""
        if not self._running and not self._paused:
            self._renders.warm(config, self.workspaces.of(user))

    def cancel(self, job_id: str, user: str, version: int | None = None) -> Job:
        """Ctrl-C's promise: finished segments stay, and `retry` goes on from them. Raises Problem."""
        job = self.store.cancel(job_id, user, version)
        if job.state is State.running:
            with self._lock:
                self._cancelled.add(job.attempt)
            self._interrupt(job)
        self.board.changed()
        return job

    def retry(self, job_id: str, user: str, version: int | None = None) -> Job:
        """A job that failed or was cancelled waits again. Raises Problem."""
        job = self.store.retry(job_id, user, version, self.most_waiting)
        self._turns[job.lane].give()
        self.board.changed()
        return job

    def move(self, job_id: str, user: str, position: int, version: int | None = None) -> Job:
        """Reorders what waits. Raises Problem."""
        job = self.store.move(job_id, user, position, version)
        self.board.changed()
        return job

    def running(self, user: str) -> list[str]:
        """The ids of a user's jobs under way."""
        with self._lock:
            return [job.id for job in self._running.values() if job.user == user]

    def pause(self) -> None:
        """Begin no render until `resume`: the machine is for somebody else. Raises Problem 409 beside one."""
        with self._lock:
            if any(job.lane is Lane.render for job in self._running.values()):
                raise Problem(
                    409, "API-LIVE", "a job of the queue is rendered", expected="a machine that is free",
                    fix="wait for it, or cancel it: its finished segments stay",
                )  # fmt: skip
            self._paused = True
        self._renders.rest()

    def resume(self) -> None:
        """Work off what waited."""
        self._paused = False
        if not self._ending:
            for _ in self.store.waiting(Lane.render):
                self._turns[Lane.render].give()

    def _turn(self, lane: Lane) -> None:
        waits = self._ending or (self._paused and lane is Lane.render)
        job = None if waits else self.store.take(lane)
        if job is not None:
            self._work(job)

    def _work(self, job: Job) -> None:
        with self._lock:
            self._running[job.id] = job
        self.board.begin(job.id)
        workspace = self.workspaces.of(job.user)
        try:
            if job.command in RUNS:
                self._renders.render(job, workspace)
            else:
                self._commands[job.lane].run(job, workspace)
        except BaseException as error:
            self._failed(job, workspace, error)
        else:
            self.store.end(job.id, State.finished)
        finally:
            with self._lock:
                self._running.pop(job.id, None)
                self._cancelled.discard(job.attempt)
            self.board.changed()

    def _failed(self, job: Job, workspace: Workspace, error: BaseException) -> None:
        """What becomes of a job that did not come to its end."""
        if stopped(error) or job.attempt in self._cancelled:
            if self._ending and job.attempt not in self._cancelled:
                self.store.put_back(job.id)
            else:
                self.store.end(job.id, State.cancelled)
            return
        if isinstance(error, PokoraError):
            told: Mapping[str, object] = plain(error)
        else:
            _log.exception("job %s", job.id, exc_info=error)
            told = Problem(
                500, "BUG-FAULT", f"{type(error).__name__}: {' '.join(str(error).split())}"
            ).to_json()
        if isinstance(error, PokoraError) and error.code in DEADLY:
            segments = segments_of(workspace.outputs / job.run) if job.run else 0
            if self.store.died(job.id, segments, told).state is State.queued:
                self.board.line(job.id, f"{error.got}; it goes on")
                self._turns[job.lane].give()
            return
        self.store.end(job.id, State.failed, told)

    def _interrupt(self, job: Job) -> None:
        if job.command in RUNS:
            self._renders.interrupt(job)
        else:
            self._commands[job.lane].interrupt(job)


def _hold(state: Path) -> FolderLock:
    """The lock of the one server. Raises ConfigError API-SERVER, which tells its process."""
    try:
        return FolderLock(state)
    except MachineError as error:
        raise ConfigError(
            "API-SERVER",
            f"a studio works in {state.parent} already{owner(state / '.lock')}",
            expected="one studio a folder",
            fix="open that one, or start this one in another folder",
        ) from error
