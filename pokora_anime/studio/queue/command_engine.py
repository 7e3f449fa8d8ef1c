"""Jobs that are commands: sweeps, bundles, downloads; each a process whose lines are shown. Torch-free."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import cast

import psutil

from pokora_anime.errors import MachineError, PokoraError
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_record import Job
from pokora_anime.studio.workspaces import STATE, Workspace

# Ctrl-C, and the end soon after, when whoever started it is gone.
_BOOT = """
import os, signal, sys, threading, time
def watch():
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(20)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
sys.argv = sys.argv[1:]
from pokora_anime.cli import console
console()
"""
_STOPPED = 130
_LEFT_SECONDS = 30.0  # that the command of a killed server may take to end
_ERROR = re.compile(r"pokora: (?P<code>[A-Z]+-[A-Z0-9-]+): (?P<rest>.*)")
_JOBS = re.compile(r"(?:^|: )(?P<count>\d+) jobs(?P<done> done)?$")
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
        self._stops: set[str] = set()  # attempts that somebody wants to end
        self._under_way: tuple[str, subprocess.Popen[str]] | None = None

    def run(self, job: Job, workspace: Workspace) -> None:
        """Runs to its end. Raises PokoraError as the command said, KeyboardInterrupt where it was stopped."""
        workspace.root.mkdir(parents=True, exist_ok=True)
        left = workspace.outputs / STATE / f"command-{job.id}.pid"
        _end_left(left)
        last: deque[str] = deque(maxlen=40)
        totals: dict[str, int] = {}
        with self._started(job, workspace) as process:
            left.parent.mkdir(parents=True, exist_ok=True)
            left.write_text(f"{process.pid}", encoding="utf-8")
            self._under_way = (job.attempt, process)
            if job.attempt in self._stops:
                self._stop(process)
            for text in iter(cast("_Lines", process.stdout).readline, ""):
                last.append(text.rstrip())
                self._board.line(job.id, text.rstrip())
                self._progress(job, text.rstrip(), totals)
            status = process.wait()
            self._under_way = None
        left.unlink(missing_ok=True)
        if job.attempt in self._stops or status == _STOPPED:
            self._stops.discard(job.attempt)
            raise KeyboardInterrupt
        if status:
            raise _told(job, last, status)

    def interrupt(self, job: Job) -> None:
        """Ctrl-C for this attempt of a job, whether it has begun or is about to."""
        self._stops.add(job.attempt)
        under_way = self._under_way
        if under_way is not None and under_way[0] == job.attempt and under_way[1].poll() is None:
            self._stop(under_way[1])

    def _started(self, job: Job, workspace: Workspace) -> subprocess.Popen[str]:
        """The command, which ends when this server does: its standard input is ours."""
        line = [sys.executable, "-X", "utf8", "-P", "-c", _BOOT, "pokora", *_SHELL[job.command], *job.words]
        return subprocess.Popen(
            line, cwd=workspace.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
            start_new_session=True, env=_environment(),
        )  # fmt: skip

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        overdue = threading.Timer(_STOPPING_SECONDS, process.kill)
        overdue.daemon = True
        overdue.start()

    def _progress(self, job: Job, text: str, totals: dict[str, int]) -> None:
        """What a line says of how far the command is: a sweep's jobs, or a download's share."""
        if found := _JOBS.search(text):
            totals["done" if found["done"] else "total"] = int(found["count"])
        elif job.command == "fetch" and (found := _PERCENT.search(text)):
            totals |= {"done": int(found["percent"]), "total": 100}
        else:
            return
        done, total = totals.get("done", 0), totals.get("total", 0)
        stage: dict[str, object] = {"name": job.command, "done": done, "total": max(done, total)}
        left: dict[str, object] = {"detail": "", "left_seconds": None, "stages": [stage]}
        self._board.report(job.id, {"stage": job.command, "done": done, "total": stage["total"], **left})


def _end_left(told: Path) -> None:
    """Waits for the command that a killed server left, and ends it where it does not end."""
    with suppress(OSError, ValueError, psutil.Error):
        left = psutil.Process(int(told.read_text(encoding="utf-8")))
        if any("pokora_anime" in word for word in left.cmdline()):
            with suppress(psutil.TimeoutExpired):
                left.wait(timeout=_LEFT_SECONDS)
                return
            left.kill()


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
