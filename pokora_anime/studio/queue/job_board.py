"""What is told of jobs while they run: progress and lines, in memory; a restart forgets them. Torch-free."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

Progress = dict[str, object]
MOST_LINES = 200
MOST_JOBS = 300  # that are told of, the latest
_MOST_CHARACTERS = 400


@dataclass(slots=True)
class Told:
    """The latest of one job. `count` grows with each change; `lines_count` counts all lines ever told."""

    progress: Progress | None = None
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=MOST_LINES))
    lines_count: int = 0
    count: int = 0


class JobBoard:
    """Written by what renders, read by what streams."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, Told] = {}
        self.changes = 0  # of the queue: another job runs, waits or is over

    def report(self, job_id: str, report: Progress) -> None:
        """A report of `progress.watched`: how far the run is, or a line that stays."""
        if "note" in report:
            self.line(job_id, str(report["note"]))
            return
        with self._lock:
            told = self._told.setdefault(job_id, Told())
            told.progress = report
            told.count += 1

    def line(self, job_id: str, text: str) -> None:
        """A line of the job's log."""
        with self._lock:
            told = self._told.setdefault(job_id, Told())
            told.lines.append(text[:_MOST_CHARACTERS])
            told.lines_count += 1
            told.count += 1

    def changed(self) -> None:
        """The queue is another than before."""
        with self._lock:
            self.changes += 1

    def begin(self, job_id: str) -> None:
        """A job starts: what was told of an earlier attempt is over."""
        with self._lock:
            self._told.pop(job_id, None)
            self._told[job_id] = Told()
            while len(self._told) > MOST_JOBS:
                del self._told[next(iter(self._told))]
            self.changes += 1

    def read(self, job_id: str) -> tuple[Progress | None, list[str], int]:
        """Progress, lines, and how many lines there were in all."""
        with self._lock:
            told = self._told.get(job_id)
            if told is None:
                return None, [], 0
            return told.progress, list(told.lines), told.lines_count
