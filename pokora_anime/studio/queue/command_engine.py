"""Jobs that are commands: sweeps, bundles, downloads; each a process whose lines are shown. Torch-free."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import cast

from pokora_anime.errors import Interrupted, MachineError, PokoraError
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_record import Job
from pokora_anime.studio.workspaces import Workspace

_ERROR = re.compile(r"pokora: (?P<code>[A-Z]+-[A-Z0-9-]+): (?P<rest>.*)")
_JOB = re.compile(r"\b(?:job )?(?P<done>\d+)(?: of |/)(?P<total>\d+)\b")
_PERCENT = re.compile(r"(?P<percent>\d{1,3})\s?%")
_STOPPING_SECONDS = 30.0
_SHELL = {
    "sweep": ("sweep", "--yes"),
    "bundle": ("submission", "build"),
    "fetch": ("models", "fetch"),
}


class CommandEngine:
    """One command at a time."""

    def __init__(self, board: JobBoard) -> None:
        self._board = board
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()

    def run(self, job: Job, workspace: Workspace) -> None:
        """Runs to its end. Raises PokoraError as the command said, KeyboardInterrupt where it was stopped."""
        self._stopping.clear()
        workspace.root.mkdir(parents=True, exist_ok=True)
        last: deque[str] = deque(maxlen=40)
        line = [
            sys.executable,
            "-X",
            "utf8",
            "-P",
            "-m",
            "pokora_anime.cli",
            *_SHELL[job.command],
            *job.words,
        ]
        with subprocess.Popen(
            line, cwd=workspace.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
            start_new_session=True, env=_environment(),
        ) as process:  # fmt: skip
            self._process = process
            for text in iter(cast("_Lines", process.stdout).readline, ""):
                last.append(text.rstrip())
                self._board.line(job.id, text.rstrip())
                self._progress(job, text)
                if self._stopping.is_set() and process.poll() is None:
                    self._stop(process)
            status = process.wait()
            self._process = None
        if self._stopping.is_set() or status == 130:
            raise KeyboardInterrupt
        if status:
            raise _told(job, last, status)

    def interrupt(self) -> None:
        """Ctrl-C for the command under way."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            self._stop(process)

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        overdue = threading.Timer(_STOPPING_SECONDS, process.kill)
        overdue.daemon = True
        overdue.start()

    def _progress(self, job: Job, text: str) -> None:
        """What a line says of how far the command is."""
        if found := _JOB.search(text):
            done, total = int(found["done"]), int(found["total"])
        elif found := _PERCENT.search(text):
            done, total = int(found["percent"]), 100
        else:
            return
        if total > 0 and done <= total:
            stage = {"name": job.command, "done": done, "total": total}
            left = {"stage": job.command, "detail": "", "left_seconds": None, "stages": [stage]}
            self._board.report(job.id, {**left, "done": done, "total": total})


class _Lines:
    def readline(self) -> str: ...


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "160"}


def _told(job: Job, lines: deque[str], status: int) -> PokoraError:
    """The command's own last word, with its code."""
    for line in reversed(lines):
        if found := _ERROR.match(line):
            got, _, rest = found["rest"].partition("; expected ")
            expected, _, fix = rest.partition("; fix: ")
            if not rest:
                got, _, fix = found["rest"].partition("; fix: ")
            return PokoraError(found["code"], got, expected=expected, fix=fix)
    if job.command == "bundle":
        said = next((line for line in reversed(lines) if line), "")
        return PokoraError("SUB-BARRED", said, fix="look at the checklist, or build a draft")
    if status < 0:
        return MachineError(
            "SYS-RENDER", f"the command was ended by signal {-status}", fix="retry goes on from there"
        )
    return PokoraError(
        "API-COMMAND", f"pokora {job.command} ended with status {status}", fix="look at its lines"
    )


def interrupted(error: BaseException) -> bool:
    """Whether a command ended because somebody asked for it."""
    return isinstance(error, KeyboardInterrupt | Interrupted)
