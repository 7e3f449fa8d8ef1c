"""The jobs on disk: one SQLite file whose every change is a transaction. Torch-free.

A job is what was promised to a user, and what survives kill -9 of anything: rows tell what waits, what runs
and what came of it. Who works jobs off takes them here, each once, in the order of their places.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pokora_anime.errors import MachineError
from pokora_anime.studio.problems import Problem, missing
from pokora_anime.studio.queue.job_record import Job, Lane, State, from_row, lane_of

MOST_TRIES = 3  # starts of a job that died without one more finished segment
KEPT_JOBS = 1000  # of a user that are over; older ones are forgotten, their runs stay
_COLUMNS = (
    "id TEXT PRIMARY KEY, user TEXT NOT NULL, command TEXT NOT NULL, words TEXT NOT NULL,"
    " label TEXT NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL, place REAL NOT NULL,"
    " created REAL NOT NULL, started REAL,"
    " ended REAL, attempts INTEGER NOT NULL, tries INTEGER NOT NULL, segments INTEGER NOT NULL,"
    " run TEXT NOT NULL, error TEXT, lane TEXT NOT NULL, idempotency TEXT"
)


class JobStore:
    """The table of jobs. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises MachineError SYS-STUDIO."""
        self.path = path
        self._lock, self._read_lock = threading.RLock(), threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            with self._writing():
                self._database.execute(f"CREATE TABLE IF NOT EXISTS jobs ({_COLUMNS})")
                self._database.execute("CREATE UNIQUE INDEX IF NOT EXISTS once ON jobs (user, idempotency)")
                self._database.execute("CREATE INDEX IF NOT EXISTS waiting ON jobs (state, lane, place)")
            # Who reads does not wait for a write that the disk confirms.
            self._reading = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._reading.row_factory = sqlite3.Row
        except (OSError, sqlite3.Error) as error:
            raise MachineError(
                "SYS-STUDIO",
                f"the queue {path} cannot be opened: {error}",
                expected="a folder that can be written in, and a queue that is whole",
                fix=f"free some disk space; a damaged queue: move {path} away, runs stay",
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._read_lock:
            self._reading.close()
            self._database.close()

    def add(self, job: Job, most_waiting: int, idempotency: str = "") -> tuple[Job, bool]:
        """The job as it waits now, and whether it is new: a known idempotency key answers its first job.

        Raises Problem 429 where too many wait, 503 where the disk is full.
        """
        with self._writing():
            if idempotency:
                known = self._one("SELECT * FROM jobs WHERE user=? AND idempotency=?", job.user, idempotency)
                if known is not None and (known.command, known.words) != (job.command, job.words):
                    raise Problem(
                        422, "API-KEY", "an idempotency key that was sent with another job before",
                        expected="a key for each job", fix="send it with another key, or with none",
                    )  # fmt: skip
                if known is not None:
                    return known, False
            self._refuse_full(most_waiting)
            self._database.execute(
                "INSERT INTO jobs (id, user, command, words, label, state, version, place, created, attempts,"
                " tries, segments, run, lane, idempotency) VALUES (?,?,?,?,?,'queued',1,?,?,0,0,0,?,?,?)",
                (job.id, job.user, job.command, json.dumps(job.words), job.label, self._behind_all(),
                 time.time(),
                 job.run, lane_of(job.command).value, idempotency or None),
            )  # fmt: skip
            self._forget(job.user)
            return self._known(job.id), True

    def get(self, job_id: str, user: str) -> Job:
        """A user's job. Raises Problem 404."""
        found = self._rows("SELECT * FROM jobs WHERE id=? AND user=?", job_id, user)
        if not found:
            raise missing(f"no job {job_id[:60]}")
        return from_row(dict(found[0]))

    def listed(self, user: str, states: Sequence[State] = (), limit: int = 100) -> list[Job]:
        """A user's jobs: what runs, what waits in its order, then what is over, the latest first."""
        wanted = [one.value for one in states or State]
        marks = ",".join("?" * len(wanted))
        order = (
            "CASE state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END,"
            " CASE state WHEN 'queued' THEN place ELSE -COALESCE(ended, created) END"
        )
        rows = self._rows(
            f"SELECT * FROM jobs WHERE user=? AND state IN ({marks}) ORDER BY {order} LIMIT ?",
            *(user, *wanted, limit),
        )
        return [from_row(dict(row)) for row in rows]

    def waiting(self, lane: Lane | None = None) -> list[str]:
        """The ids of what waits, of all users, in order."""
        where, values = ("", ()) if lane is None else (" AND lane=?", (lane.value,))
        rows = self._rows(f"SELECT id FROM jobs WHERE state='queued'{where} ORDER BY place", *values)
        return [row["id"] for row in rows]

    def positions(self) -> dict[str, int]:
        """The place of each waiting job among those of its lane, from 0, by id; of all users."""
        place = "ROW_NUMBER() OVER (PARTITION BY lane ORDER BY place) - 1"
        rows = self._rows(f"SELECT id, {place} AS position FROM jobs WHERE state='queued'")
        return {row["id"]: row["position"] for row in rows}

    def counts(self) -> dict[str, int]:
        """How many jobs are in which state."""
        rows = self._rows("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
        return {state.value: 0 for state in State} | {row["state"]: row["n"] for row in rows}

    def take(self, lane: Lane) -> Job | None:
        """The next job of a lane, which runs from now on; None where nothing waits. Each is taken once."""
        with self._writing():
            found = self._one(
                "SELECT * FROM jobs WHERE state='queued' AND lane=? ORDER BY place LIMIT 1", lane.value
            )
            if found is None:
                return None
            self._change(
                found.id, state="running", started=time.time(), attempts=found.attempts + 1, ended=None
            )
            return self._known(found.id)

    def end(self, job_id: str, state: State, error: Mapping[str, object] | None = None) -> Job:
        """What came of a job that ran."""
        told = None if error is None else json.dumps(error)
        with self._writing():
            self._change(job_id, state=state.value, ended=time.time(), error=told)
            return self._known(job_id)

    def died(self, job_id: str, segments: int, error: Mapping[str, object]) -> Job:
        """A job whose process was ended: it waits again, first of all, unless it keeps dying at one place."""
        with self._writing():
            before = self._known(job_id)
            tries = 1 if segments > before.segments else before.tries + 1
            if tries >= MOST_TRIES:
                told = json.dumps(error)
                self._change(
                    job_id, state="failed", ended=time.time(), error=told, tries=0, segments=segments
                )
            else:
                self._change(job_id, state="queued", started=None, tries=tries, segments=segments)
            return self._known(job_id)

    def recover(self) -> list[Job]:
        """After a start: what ran when the last server ended waits again, in its old place."""
        with self._writing():
            rows = self._database.execute("SELECT * FROM jobs WHERE state='running'").fetchall()
            for row in rows:
                self._change(row["id"], state="queued", started=None)
            return [self._known(row["id"]) for row in rows]

    def put_back(self, job_id: str) -> None:
        """A job that the end of the server interrupted waits again."""
        with self._writing():
            self._change(job_id, state="queued", started=None)

    def cancel(self, job_id: str, user: str, version: int | None) -> Job:
        """Takes a waiting job out of the queue; a running one is answered as it is. Raises Problem."""
        with self._writing():
            job = self._current(job_id, user, version)
            if job.state.over:
                raise _stale(f"the job is {job.state.value} already")
            if job.state is State.queued:
                self._change(job_id, state="cancelled", ended=time.time())
            return self._known(job_id)

    def retry(self, job_id: str, user: str, version: int | None, most_waiting: int) -> Job:
        """A job that failed or was cancelled waits again, last. Raises Problem 404, 409, 429."""
        with self._writing():
            job = self._current(job_id, user, version)
            if job.state not in (State.failed, State.cancelled):
                raise _stale(f"the job is {job.state.value}: only one that failed or was cancelled goes on")
            self._refuse_full(most_waiting)
            self._change(
                job_id,
                state="queued",
                place=self._behind_all(),
                error=None,
                started=None,
                ended=None,
                tries=0,
            )
            return self._known(job_id)

    def move(self, job_id: str, user: str, position: int, version: int | None = None) -> Job:
        """Puts a waiting job at a position among its user's own; others' jobs keep theirs.

        Raises Problem 404, 409.
        """
        with self._writing():
            job = self._current(job_id, user, version)
            if job.state is not State.queued:
                raise _stale(f"the job is {job.state.value} and waits no more")
            own = [one for one in self.listed(user, [State.queued], 100_000) if one.lane is job.lane]
            places = [one.place for one in own]
            order = [one for one in own if one.id != job_id]
            order.insert(max(0, min(position, len(order))), job)
            for one, place in zip(order, places, strict=True):
                if one.place != place:
                    self._change(one.id, place=place)
            return self._known(job_id)

    def _current(self, job_id: str, user: str, version: int | None) -> Job:
        job = self.get(job_id, user)
        if version is not None and version != job.version:
            raise _stale(f"the job has changed meanwhile (version {job.version}, not {version})")
        return job

    def _known(self, job_id: str) -> Job:
        found = self._one("SELECT * FROM jobs WHERE id=?", job_id)
        assert found is not None
        return found

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """What was written so far."""
        with self._read_lock:
            return self._reading.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> Job | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else from_row(dict(row))

    def _refuse_full(self, most_waiting: int) -> None:
        """Raises Problem 429 where so many wait already."""
        waiting = self._database.execute("SELECT COUNT(*) FROM jobs WHERE state='queued'").fetchone()[0]
        if waiting >= most_waiting:
            raise Problem(
                429, "API-QUEUE", f"{most_waiting} jobs wait already", expected="room in the queue",
                fix="wait until one is over, or cancel one", retry_after=30,
            )  # fmt: skip

    def _behind_all(self) -> float:
        """The place behind every other job."""
        return float(self._database.execute("SELECT MAX(place) FROM jobs").fetchone()[0] or 0.0) + 1.0

    def _change(self, job_id: str, **columns: object) -> None:
        sets = ", ".join(f"{name}=?" for name in columns)
        self._database.execute(
            f"UPDATE jobs SET {sets}, version=version+1 WHERE id=?", (*columns.values(), job_id)
        )

    def _forget(self, user: str) -> None:
        """Drops a user's oldest jobs that are over."""
        over = "user=? AND state NOT IN ('queued', 'running')"
        self._database.execute(
            f"DELETE FROM jobs WHERE {over} AND id NOT IN"
            f" (SELECT id FROM jobs WHERE {over} ORDER BY ended DESC LIMIT {KEPT_JOBS})",
            (user, user),
        )

    def same(self, job: Job) -> Job | None:
        """A job of the same user and words that waits or runs."""
        query = "SELECT * FROM jobs WHERE user=? AND command=? AND words=? AND ended IS NULL"
        found = self._rows(query, job.user, job.command, json.dumps(job.words))
        return from_row(dict(found[0])) if found else None

    @contextmanager
    def _writing(self) -> Generator[None]:
        """A transaction that alone writes. Raises Problem 503 where the disk is full or fails."""
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._database.execute("ROLLBACK")
                    raise
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                raise Problem(
                    503, "SYS-STUDIO", f"the queue cannot be written: {error}",
                    expected="room on the disk", fix="free some disk space and send it again", retry_after=30,
                ) from error  # fmt: skip


def _stale(what: str) -> Problem:
    return Problem(409, "API-STALE", what, expected="the job as it is now", fix="reload the page")
