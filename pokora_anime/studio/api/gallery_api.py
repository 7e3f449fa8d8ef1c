"""All runs: listed, looked at, compared by their records, chosen, deleted, verified. Torch-free."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pokora_anime.history import favourites, run_list
from pokora_anime.history.gallery import gallery_runs, posters
from pokora_anime.history.gallery.gallery_runs import Entry
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.quality.metrics.metric_table import BY_ID
from pokora_anime.quality.scorecard import SCORECARD
from pokora_anime.studio.api import run_bin, run_files
from pokora_anime.studio.api.run_files import answer_file
from pokora_anime.studio.api.services import Asking
from pokora_anime.studio.api.verify_command import verified
from pokora_anime.studio.problems import Problem
from pokora_anime.studio.workspaces import Workspace, run_id
from pokora_anime.untrusted.untrusted_names import shown

__all__ = ["answer_file", "router"]
router = APIRouter(prefix="/api", tags=["runs"])
_POSTER = "poster.webp"
_SORTS = Literal["newest", "score", "seed", "seconds"]
RunId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Liked(BaseModel, extra="forbid"):
    """Whether a run is a favourite."""

    favourite: bool


class Subject(BaseModel, extra="forbid"):
    """What is verified: a run by its id, or a bundle by its name."""

    run: RunId | None = None
    bundle: Annotated[str, Field(max_length=200)] | None = None


@router.get("/gallery")
def listed(
    asking: Asking,
    query: Annotated[str, Query(max_length=400)] = "",
    sort: _SORTS = "newest",
    command: Literal["", "video", "stills"] = "",
    favourites_only: Annotated[bool, Query(alias="favourites")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> JSONResponse:
    """The caller's runs, of the studio and of the command line alike."""
    liked = set(favourites.runs(asking.workspace.outputs))
    words = query.lower().split()
    found = [
        (folder, entries)
        for folder in asking.workspace.runs().values()
        if (entries := _entries(folder))
        and (not command or entries[0].command == command)
        and all(word in entries[0].prompt.lower() for word in words)
        and (not favourites_only or asking.workspace.path(folder) in liked)
    ]
    if sort != "newest":
        found.sort(key=lambda one: _rank(one[1][0], sort))
    shown = found[offset : offset + limit]
    runs = [_run(folder, entries, asking.workspace, liked) for folder, entries in shown]
    return JSONResponse({"runs": runs, "total": len(found)})


@router.get("/gallery/{wanted}")
def detail(wanted: RunId, asking: Asking) -> dict[str, object]:
    """One run, with its files, scores, and the command that makes it again."""
    folder = asking.workspace.run(wanted)
    liked = set(favourites.runs(asking.workspace.outputs))
    entries = _entries(folder)
    told = _run(folder, entries, asking.workspace, liked)
    files = [{**one, "url": _url(wanted, str(one["name"]))} for one in run_files.listed(folder)]
    return {**told, "command_line": entries[0].line, "files": files, "scorecard": _scorecard(entries[0])}


@router.get("/gallery/{wanted}/graph")
def graph(wanted: RunId, asking: Asking) -> dict[str, object]:
    """The record as a graph: what was made of what, parents first. Raises RecordError for a broken one."""
    reading = read_run(asking.workspace.run(wanted))
    ids = {id(node): name for name, node in reading.by_id.items()}
    return {
        "nodes": [
            {
                "id": ids[id(node)],
                "operation": node.op,
                "label": node.op,
                "params": dict(node.params),
                "parents": list(node.parents),
                "weights": dict(node.weights),
                "output": node.output,
            }
            for node in reading.nodes
        ],
        "results": list(reading.results),
    }


@router.put("/gallery/{wanted}/favourite")
def favourite(wanted: RunId, liked: Liked, asking: Asking) -> dict[str, object]:
    """Chooses a run, or no longer; `pokora submission` takes the latest choice first."""
    outputs = asking.workspace.outputs
    folder = asking.workspace.run(wanted)
    path = asking.workspace.path(folder)
    lines = [line for line in favourites.read(outputs) if line.partition("#")[0] != path]
    favourites.write(outputs, [*lines, path] if liked.favourite else lines)
    return _run(folder, _entries(folder), asking.workspace, set(favourites.runs(outputs)))


@router.delete("/gallery/{wanted}", status_code=204)
def delete(wanted: RunId, asking: Asking) -> None:
    """Moves a run into the bin. Raises Problem 409 for one that is being rendered."""
    folder = asking.workspace.run(wanted)
    run_bin.delete(asking.workspace, folder)


@router.get("/bin")
def bin_listed(asking: Asking) -> dict[str, object]:
    """What was deleted and can come back."""
    return {"runs": run_bin.listed(asking.workspace)}


@router.post("/bin/{wanted}/restore")
def restore(
    wanted: Annotated[str, Field(pattern="^[0-9a-f]{16}-[0-9]{1,20}$")], asking: Asking
) -> dict[str, object]:
    """A run back in its place."""
    folder = run_bin.restore(asking.workspace, wanted)
    return _run(folder, _entries(folder), asking.workspace, set(favourites.runs(asking.workspace.outputs)))


@router.delete("/bin")
def bin_emptied(asking: Asking) -> dict[str, object]:
    """Deletes what lies in the bin for good."""
    return {"freed_bytes": run_bin.empty(asking.workspace)}


@router.get("/gallery/{wanted}/files/{name:path}")
def file(wanted: RunId, name: str, asking: Asking) -> Response:
    """A file of a run; ranges are answered. A poster is made when it is first asked for."""
    folder = asking.workspace.run(wanted)
    if name.startswith(f"{run_layout.REPORTS}/poster") and name.endswith(".webp"):
        number = name.removeprefix(f"{run_layout.REPORTS}/poster").strip("-").removesuffix(".webp")
        posters.poster(folder, int(number) - 1 if re.fullmatch(r"[1-9]\d?", number, re.ASCII) else None)
    return answer_file(folder, name)


@router.post("/verify")
async def verify(subject: Subject, asking: Asking) -> dict[str, object]:
    """`pokora verify` of a run or a bundle: nothing is rendered, and no claim of it is trusted."""
    if (subject.run is None) == (subject.bundle is None):
        raise Problem(422, "CFG-SYNTAX", "neither or both of run and bundle", expected="one of them")
    if subject.run is not None:
        return await verified(asking.workspace.run(subject.run), asking.workspace.root)
    return await verified(asking.workspace.bundle(str(subject.bundle)), asking.workspace.root)


def _entries(folder: Path) -> list[Entry]:
    """What a gallery tells of a run, read anew where a file of it has changed."""
    times: list[int] = []
    for name in (run_layout.RECORD, run_layout.CONFIG, f"{run_layout.REPORTS}/{SCORECARD}"):
        try:
            times.append((folder / name).stat().st_mtime_ns)
        except OSError:
            times.append(0)
    try:
        return list(_read(folder, tuple(times)))
    except _Unread as unread:
        return unread.entries


class _Unread(Exception):
    """A run that could not be read: it is no answer to remember."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        super().__init__()


@lru_cache(maxsize=4096)
def _read(folder: Path, times: tuple[int, ...]) -> tuple[Entry, ...]:
    del times
    try:
        found = gallery_runs.of_run(folder)
    except Exception as error:  # a stranger's run stops no other
        found = [Entry(status="damaged", path=folder, problem=type(error).__name__)]
    if found[0].status == "damaged":
        raise _Unread(found)
    return tuple(found)


def _rank(entry: Entry, sort: str) -> tuple[bool, float]:
    value = {"score": entry.overall, "seed": entry.seed, "seconds": entry.seconds}[sort]
    return value is None, 0.0 if value is None else -float(value) if sort == "score" else float(value)


def _url(wanted: str, name: str) -> str:
    return f"/api/gallery/{wanted}/files/{quote(name)}"


def _run(folder: Path, entries: list[Entry], workspace: Workspace, liked: set[str]) -> dict[str, object]:
    one, path = entries[0], workspace.path(folder)
    wanted = run_id(path)
    stills = [
        _url(wanted, run_layout.still_name(entry.still)) for entry in entries if entry.still is not None
    ]
    if one.command == "stills" and not stills and (folder / run_layout.still_name(0)).is_file():
        stills = [_url(wanted, run_layout.still_name(0))]
    there = {name: (folder / name).is_file() for name in (run_layout.VIDEO, run_layout.KEYFRAME)}
    poster = f"{run_layout.REPORTS}/" + ("poster-1.webp" if stills and one.still is not None else _POSTER)
    verdicts = list(one.verdicts.values())
    counts = {name: verdicts.count(name) for name in ("good", "fair", "bad")} if verdicts else None
    return {
        "id": wanted,
        "path": shown(path),
        "command": one.command,
        "prompt": one.prompt,
        "seed": one.seed,
        "status": one.status,
        "problem": one.problem,
        "seconds": one.seconds,
        "score": counts,
        "overall": one.overall,
        "entry": _entry(folder, one.changed),
        "favourite": path in liked,
        "sweep": one.sweep,
        "when": one.changed,
        "poster": f"{_url(wanted, poster)}?t={int(one.changed)}" if any(there.values()) or stills else None,
        "video": _url(wanted, run_layout.VIDEO) if there[run_layout.VIDEO] else None,
        "stills": stills,
        "words": list(one.words),
        "pictures": {
            "keyframe": _url(wanted, run_layout.KEYFRAME) if there[run_layout.KEYFRAME] else None,
            "choreography": _there(folder, wanted, f"{run_layout.REPORTS}/{run_layout.CHOREOGRAPHY}"),
            "preview": _there(folder, wanted, f"{run_layout.REPORTS}/preview.webp"),
            "report": _there(folder, wanted, f"{run_layout.REPORTS}/scorecard.html"),
        },
    }


def _there(folder: Path, wanted: str, name: str) -> str | None:
    return _url(wanted, name) if (folder / name).is_file() else None


@lru_cache(maxsize=4096)
def _entry(folder: Path, changed: float) -> str:
    """The gate's verdict on a run's recorded config."""
    del changed
    return run_list.run(folder).entry


def _scorecard(one: Entry) -> dict[str, dict[str, dict[str, object]]]:
    """Numbers and verdicts by stage and metric, with the metric's name."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for name, value in one.scores.items():
        stage, _, metric = name.partition(".")
        known = BY_ID.get(metric)
        found.setdefault(stage, {})[metric] = {
            "value": value,
            "verdict": one.verdicts.get(name, ""),
            "label": known.title if known is not None else metric,
        }
    return found
