"""A job of the queue as it stands on disk. Torch-free."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import cast

from pokora_anime.provenance.hashing import Json

RUNS = ("video", "stills")  # rendered by the worker that stays; all others are commands of their own
COMMANDS = (*RUNS, "sweep", "bundle", "fetch")


class State(Enum):
    """Where a job is."""

    queued = "queued"
    running = "running"
    finished = "finished"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self not in (State.queued, State.running)


class Lane(Enum):
    """What a job waits for: the one that renders, or what else goes on beside it."""

    render = "render"
    beside = "beside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job. `words` are typed as for its command; `run` is its folder relative to its user's outputs.

    `version` grows with every change; `place` orders what waits; `tries` counts the starts that brought no
    finished segment more than the one before; times are in Unix seconds.
    """

    id: str
    user: str
    command: str
    words: tuple[str, ...]
    label: str
    state: State
    version: int
    place: float
    created: float
    started: float | None = None
    ended: float | None = None
    attempts: int = 0
    tries: int = 0
    segments: int = 0
    run: str = ""
    error: Mapping[str, Json] | None = None

    @property
    def lane(self) -> Lane:
        """What it waits for."""
        return lane_of(self.command)

    @property
    def attempt(self) -> str:
        """Names this start of the job: what stops it stops no later one."""
        return f"{self.id}:{self.attempts}"

    @property
    def command_line(self) -> str:
        """What to type in a shell for the same."""
        names = {"bundle": ("submission", "build"), "fetch": ("models", "fetch")}
        return shlex.join(["pokora", *names.get(self.command, (self.command,)), *self.words])


def new_job(user: str, command: str, words: Sequence[str], label: str, *, run: str = "") -> Job:
    """A job that nobody has put into a queue yet, with an id that nobody guesses."""
    return Job(
        id=secrets.token_hex(8), user=user, command=command, words=tuple(words), label=label,
        state=State.queued, version=0, place=0.0, created=0.0, run=run,
    )  # fmt: skip


def lane_of(command: str) -> Lane:
    """What a command's jobs wait for."""
    return Lane.render if command in (*RUNS, "sweep") else Lane.beside


def from_row(row: Mapping[str, object]) -> Job:
    """A job from its row."""
    fields = dict(row)
    fields.pop("lane", None)
    fields.pop("idempotency", None)
    error = cast(str | None, fields["error"])
    fields |= {
        "words": tuple(json.loads(cast(str, fields["words"]))),
        "state": State(fields["state"]),
        "error": None if error is None else json.loads(error),
    }
    return Job(**fields)  # pyright: ignore[reportArgumentType]  # the columns are the fields
