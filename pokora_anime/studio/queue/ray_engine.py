"""Renders the queue on a Ray cluster: actors, each with a rendering process that stays. Torch-free here.

Every node sees the studio's folder under the same path and has the weights in its own verified store. A node
or actor that is lost is as a killed process: the job waits again and goes on from its segments.
"""

from __future__ import annotations

import queue
import sys
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pokora_anime.errors import MachineError, PokoraError
from pokora_anime.render.worker.messages import pack_error, unpack_error
from pokora_anime.schema.settings import RunConfig
from pokora_anime.signing import statement
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_record import Job
from pokora_anime.studio.queue.render_engine import RenderEngine, stopped
from pokora_anime.studio.workspaces import Workspace

_POLL_SECONDS = 0.5
Outcome = dict[str, Any]


class Renderer:
    """What an actor holds: a rendering process, and what it tells meanwhile."""

    def __init__(self) -> None:
        self._board = JobBoard()
        self._engine = RenderEngine(self._board, sign=False)

    def render(self, job: Job, root: str) -> Outcome:
        """The folder of the finished run, or what came instead; nothing is raised over the wire."""
        try:
            return {"path": str(self._engine.render(job, Workspace(Path(root))))}
        except PokoraError as error:
            return {"stopped": True} if stopped(error) else {"error": pack_error(error)}
        except KeyboardInterrupt:
            return {"stopped": True}

    def told(self, job_id: str) -> tuple[dict[str, object] | None, list[str], int]:
        """Progress, the latest lines, and how many there were."""
        return self._board.read(job_id)

    def interrupt(self, job: Job) -> None:
        """Stop this attempt of a job."""
        self._engine.interrupt(job)


class RayRenders:
    """Actors of a cluster, one for each job that is rendered at once."""

    def __init__(self, board: JobBoard, address: str, count: int) -> None:
        """Connects, or starts a cluster on this machine. Raises MachineError SYS-LIBRARY, SYS-RAY."""
        self._board = board
        try:
            self._ray: Any = import_module("ray")
        except ModuleNotFoundError as error:
            raise MachineError(
                "SYS-LIBRARY", "ray is not installed", expected="the extra `ray`",
                fix="pip install 'pokora_anime[ray]', or studio.engine=local",
            ) from error  # fmt: skip
        self._started = not self._ray.is_initialized()
        if self._started:
            try:
                told = {"address": address} if address else {"include_dashboard": False}
                self._ray.init(log_to_driver=False, logging_level="ERROR", **told)
            except Exception as error:
                raise MachineError(
                    "SYS-RAY", f"no cluster at {address or 'this machine'}: {error}",
                    expected="a cluster that `ray status` shows", fix="studio.engine=local",
                ) from error  # fmt: skip
        self._remote = self._ray.remote(max_concurrency=4, max_restarts=0)(Renderer)
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(self._remote.remote())
        self._busy: dict[str, Any] = {}
        self._stops: set[str] = set()
        self._lock = threading.Lock()

    def render(self, job: Job, workspace: Workspace) -> Path:
        """The folder of the finished run. Raises what the run raised, SYS-RENDER for a lost actor."""
        actor = self._free.get()
        with self._lock:
            self._busy[job.id] = actor
            stopped_before = job.attempt in self._stops
        if stopped_before:
            actor.interrupt.remote(job)
        try:
            outcome = self._outcome(actor, job, workspace)
        except Exception as error:
            actor = self._remote.remote()
            raise MachineError(
                "SYS-RENDER", f"the node that rendered was lost: {type(error).__name__}",
                expected="a node that stays", fix="`ray status` shows the cluster",
            ) from error  # fmt: skip
        finally:
            with self._lock:
                self._busy.pop(job.id, None)
                self._stops.discard(job.attempt)
            self._free.put(actor)
        if "stopped" in outcome:
            raise KeyboardInterrupt
        if "error" in outcome:
            raise unpack_error(outcome["error"])
        folder = Path(outcome["path"])
        # With this machine's key: nodes have none.
        statement.sign_told(folder, partial(self._board.line, job.id))
        return folder

    def warm(self, config: RunConfig, workspace: Workspace) -> None:
        """Actors keep their processes; nothing is started ahead on other machines."""

    def rest(self) -> None:
        """Other machines are no matter of this one's."""

    def interrupt(self, job: Job) -> None:
        """Stop this attempt of a job."""
        with self._lock:
            actor = self._busy.get(job.id)
            self._stops.add(job.attempt)
        if actor is not None:
            actor.interrupt.remote(job)

    def close(self) -> None:
        """Let go of the cluster."""
        if self._started and "ray" in sys.modules:
            self._ray.shutdown()

    def _outcome(self, actor: Any, job: Job, workspace: Workspace) -> Outcome:
        """Waits, and tells the board what the actor tells."""
        coming = actor.render.remote(job, str(workspace.root.resolve()))
        seen, count = None, 0
        while True:
            done, _ = self._ray.wait([coming], timeout=_POLL_SECONDS)
            progress, lines, counted = self._ray.get(actor.told.remote(job.id))
            for line in lines[len(lines) - min(len(lines), counted - count) :]:
                self._board.line(job.id, line)
            count = counted
            if progress is not None and progress != seen:
                seen = progress
                self._board.report(job.id, progress)
            if done:
                return self._ray.get(coming)
