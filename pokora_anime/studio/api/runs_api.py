"""Jobs: sent, listed, watched while they run, cancelled, ordered, and gone on with. Torch-free."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from pokora_anime.provenance import run_layout
from pokora_anime.quality.preview import PREVIEW
from pokora_anime.studio.api.check_api import Word
from pokora_anime.studio.api.services import Asking, Caller
from pokora_anime.studio.problems import Problem, missing
from pokora_anime.studio.queue import job_reading
from pokora_anime.studio.queue.job_reading import Sent
from pokora_anime.studio.queue.job_record import Job, State
from pokora_anime.studio.workspaces import run_id

router = APIRouter(prefix="/api", tags=["jobs"])
STREAM_SECONDS = 0.25  # between two looks at a job that is watched
_MOST_STILLS = 64
PICTURES = {
    "keyframe": run_layout.KEYFRAME,
    "choreography": f"{run_layout.REPORTS}/{run_layout.CHOREOGRAPHY}",
    "preview": f"{run_layout.REPORTS}/{PREVIEW}",
    "video": run_layout.VIDEO,
}


class Still(BaseModel, extra="forbid"):
    """One still of a finished run."""

    run: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    still: Annotated[int, Field(ge=1, le=64)] = 1


class NewRun(BaseModel, extra="forbid", populate_by_name=True):
    """A run in words; `from` takes a still's settings for the clip whose keyframe it is."""

    command: Literal["video", "stills", "sweep"] = "video"
    words: Annotated[list[Word], Field(max_length=job_reading.MOST_WORDS)] = []
    still: Annotated[Still | None, Field(alias="from")] = None


class Seen(BaseModel, extra="forbid"):
    """The version of the job that a person looked at; another one answers 409."""

    version: int | None = None


class Place(Seen):
    """Where a waiting job goes."""

    position: Annotated[int, Field(ge=0, le=100_000)]


@router.post("/runs", status_code=202)
def add(
    sent: NewRun, asking: Asking, response: Response,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> dict[str, object]:  # fmt: skip
    """Puts a video, stills or a sweep into the queue. An Idempotency-Key sent twice makes one job."""
    words = list(sent.words)
    if sent.still is not None:
        if sent.command != "video":
            raise Problem(422, "CFG-SYNTAX", f"from a still in {sent.command}", expected="command: video")
        folder = asking.workspace.run(sent.still.run)
        words = job_reading.from_still(folder, sent.still.still, words)
    job, _ = asking.queue.add(asking.user, Sent.of(sent.command, words), idempotency_key)
    response.headers["Location"] = f"/api/runs/{job.id}"
    return to_json(job, asking)


@router.get("/runs")
def listed(
    asking: Asking, state: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JSONResponse:
    """The caller's jobs: what runs, what waits in its order, what is over."""
    try:
        states = [State(one) for one in state.split(",") if one]
    except ValueError as error:
        known = ", ".join(one.value for one in State)
        raise Problem(
            422, "CFG-RANGE", f"state={state[:60]}", expected=known, fix="state=queued,running"
        ) from error
    jobs, places = asking.queue.store.listed(asking.user, states, limit), asking.queue.store.positions()
    return JSONResponse({"runs": [to_json(job, asking, places) for job in jobs], "waiting": len(places)})


@router.get("/runs/{job_id}")
def get(job_id: str, asking: Asking) -> JSONResponse:
    """A job as it is now."""
    return JSONResponse(to_json(asking.queue.store.get(job_id, asking.user), asking))


@router.post("/runs/{job_id}/cancel")
def cancel(job_id: str, asking: Asking, seen: Seen | None = None) -> dict[str, object]:
    """Stops it, or takes it out of the queue; finished segments stay."""
    return to_json(asking.queue.cancel(job_id, asking.user, seen.version if seen else None), asking)


@router.post("/runs/{job_id}/retry")
def retry(job_id: str, asking: Asking, seen: Seen | None = None) -> dict[str, object]:
    """Goes on with one that failed or was cancelled."""
    return to_json(asking.queue.retry(job_id, asking.user, seen.version if seen else None), asking)


@router.post("/runs/{job_id}/move")
def move(job_id: str, place: Place, asking: Asking) -> dict[str, object]:
    """Puts a waiting job at another position among the caller's own."""
    return to_json(asking.queue.move(job_id, asking.user, place.position, place.version), asking)


@router.get("/runs/{job_id}/events")
async def events(job_id: str, asking: Asking, request: Request) -> EventSourceResponse:
    """Server-sent events of a job: `job`, `progress`, `picture`, `line`, and `end`."""
    await asyncio.to_thread(asking.queue.store.get, job_id, asking.user)
    return EventSourceResponse(_told(job_id, asking, request), ping=15)


@router.get("/events")
async def queue_events(asking: Asking, request: Request) -> EventSourceResponse:
    """Server-sent events of the queue: `queue` whenever another job runs, waits or is over."""
    return EventSourceResponse(_queue_told(asking, request), ping=15)


@router.get("/runs/{job_id}/files/{name:path}")
def file(job_id: str, name: str, asking: Asking) -> Response:
    """A file of the job's run; ranges are answered."""
    from pokora_anime.studio.api.gallery_api import answer_file

    job = asking.queue.store.get(job_id, asking.user)
    if not job.run:
        raise missing(f"job {job_id} has no folder of its own")
    return answer_file(asking.workspace.outputs / job.run, name)


def to_json(job: Job, asking: Caller, places: Mapping[str, int] | None = None) -> dict[str, object]:
    """A job as the API tells it; `places` of waiting jobs are asked for where nobody has them."""
    progress, lines, _ = asking.board.read(job.id)
    position = None
    if job.state is State.queued:
        position = (asking.queue.store.positions() if places is None else places).get(job.id)
    return {
        "id": job.id,
        "command": job.command,
        "words": list(job.words),
        "command_line": job.command_line,
        "label": job.label,
        "state": job.state.value,
        "position": position,
        "version": job.version,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "attempts": job.attempts,
        "run": run_id(job.run) if job.run else None,
        "progress": progress if job.state is State.running else None,
        "pictures": pictures(job, asking),
        "lines": lines,
        "error": job.error,
    }


def pictures(job: Job, asking: Caller) -> dict[str, str | None]:
    """Addresses of what there is to see of a run; each new preview has another one."""
    found: dict[str, str | None] = dict.fromkeys(PICTURES)
    if not job.run:
        return found
    folder = asking.workspace.outputs / job.run
    named = PICTURES
    if job.command == "stills":
        named = {f"still-{one + 1}": run_layout.still_name(one) for one in range(_MOST_STILLS)}
    for kind, name in named.items():
        try:
            told = os.stat(folder / name)
        except OSError:
            if job.command == "stills":
                break  # they are drawn one after the other
            continue
        if job.started is not None or job.state.over:
            found[kind] = f"/api/runs/{job.id}/files/{name}?t={told.st_mtime_ns // 1_000_000}"
    return found


async def _told(job_id: str, asking: Caller, request: Request) -> AsyncIterator[ServerSentEvent]:
    """The events of a job, from what it is now to its end."""
    version, progress, seen, told_lines = -1, None, {}, asking.board.read(job_id)[2]
    while not await request.is_disconnected():
        job = await asyncio.to_thread(asking.queue.store.get, job_id, asking.user)
        if job.version != version:
            version = job.version
            yield _event("job", await asyncio.to_thread(to_json, job, asking))
        now, lines, count = asking.board.read(job_id)
        if count < told_lines:  # another attempt
            told_lines = 0
        for line in lines[len(lines) - min(len(lines), count - told_lines) :]:
            yield _event("line", {"text": line})
        told_lines = count
        if now is not None and now is not progress:
            progress = now
            yield _event("progress", now)
        there = await asyncio.to_thread(pictures, job, asking)
        for kind, url in there.items():
            if url is not None and seen.get(kind) != url:
                yield _event("picture", {"kind": kind, "url": url})
        seen = there
        if job.state.over:
            yield _event("end", {"state": job.state.value})
            return
        await asyncio.sleep(STREAM_SECONDS)


async def _queue_told(asking: Caller, request: Request) -> AsyncIterator[ServerSentEvent]:
    changes = -1
    while not await request.is_disconnected():
        if asking.board.changes != changes:
            changes = asking.board.changes
            waiting = await asyncio.to_thread(asking.queue.store.waiting)
            yield _event("queue", {"running": asking.queue.running(asking.user), "waiting": len(waiting)})
        await asyncio.sleep(STREAM_SECONDS)


def _event(name: str, data: object) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, ensure_ascii=False), event=name)
