"""The submission: its words as a form, its checklist, its runs, building and handing out. Torch-free."""

from __future__ import annotations

from dataclasses import asdict
from glob import escape
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pokora_anime.errors import ConfigError
from pokora_anime.schema.config_groups import options
from pokora_anime.studio.api import verify_command
from pokora_anime.studio.api.gallery_api import RunId
from pokora_anime.studio.api.run_files import answer_file
from pokora_anime.studio.api.runs_api import to_json
from pokora_anime.studio.api.services import Asking
from pokora_anime.studio.queue.job_record import new_job
from pokora_anime.studio.workspaces import Workspace
from pokora_anime.submission import interview, project
from pokora_anime.submission.project import Member, Project
from pokora_anime.untrusted.untrusted_names import shown

router = APIRouter(prefix="/api/submission", tags=["submission"])
_HELP = {
    "artistic_statement": "The idea, in the team's own words",
    "technical_notes": "What the jury should know of how it was made (may stay empty)",
    "members": "A member a line: NAME=ID",
}
_TITLES = {
    "title": "Title", "tagline": "Line below the title", "contest": "Contest", "deadline": "Deadline",
    "presentation": "Day of the presentation", "members": "Members",
    "artistic_statement": "Artistic statement", "technical_notes": "Technical notes",
}  # fmt: skip
_LINES = ("title", "tagline", "contest", "deadline", "presentation")
_NEEDED = ("title", "members", "artistic_statement")


class Entry(BaseModel, extra="forbid"):
    """Fields of the form that change, and the runs that are chosen (none: the latest favourites)."""

    fields: Annotated[
        dict[str, Annotated[str, Field(max_length=project.MAX_TEXT)]], Field(max_length=20)
    ] = {}
    runs: Annotated[list[RunId], Field(max_length=20)] | None = None


class Build(BaseModel, extra="forbid"):
    """A draft is written although something bars the entry, with a watermark."""

    draft: bool = False


@router.get("")
def get(asking: Asking) -> dict[str, object]:
    """The form as it is filled in, the chosen runs, and the bundles that were built."""
    workspace = asking.workspace
    return {**_form(workspace, _known(workspace)), "bundles": _bundles(workspace)}


@router.get("/checklist")
async def checklist(asking: Asking) -> dict[str, object]:
    """What is done and what is missing; the chosen runs are verified for it, which takes seconds."""
    found = await verify_command.checklist(asking.workspace.root)
    return {
        "checklist": [
            {"text": f"{one['name']}: {one['text']}", "ok": one["done"], "details": one["details"]}
            for one in found
        ]
    }


@router.put("")
def put(entry: Entry, asking: Asking) -> dict[str, object]:
    """Changes fields and runs. Raises ConfigError SUB-FIELD for a wrong field, Problem 404 for no run."""
    workspace = asking.workspace
    known = _known(workspace)
    strange = sorted(set(entry.fields) - set(_TITLES))
    if strange:
        raise ConfigError(
            "SUB-FIELD", shown(strange[0]), expected=", ".join(_TITLES), fix="send fields of the form"
        )
    plain = {**asdict(known), **{name: text for name, text in entry.fields.items() if name != "members"}}
    members = [asdict(one) for one in known.members]
    if "members" in entry.fields:
        members = [asdict(_member(line)) for line in entry.fields["members"].splitlines() if line.strip()]
    plain["members"], plain["stills"] = members, [*known.stills]
    if entry.runs is not None:
        folders = [workspace.run(one) for one in entry.runs]
        plain["video"] = next((_name(workspace, one) for one in folders if one.parent.name == "video"), "")
        plain["stills"] = [_name(workspace, one) for one in folders if one.parent.name == "stills"]
    project.save(workspace.root, project.parse(plain))
    return get(asking)


@router.post("/build", status_code=202)
def build(wanted: Build, asking: Asking) -> dict[str, object]:
    """Builds the bundle, as a job."""
    words = ("--draft",) if wanted.draft else ()
    label = "draft of the submission" if wanted.draft else "submission"
    job, _ = asking.queue.put(new_job(asking.user, "bundle", words, label))
    return to_json(job, asking)


@router.get("/bundles/{name}")
def bundle(name: str, asking: Asking) -> Response:
    """A bundle or one of the PDFs beside it, to be saved."""
    return answer_file(asking.workspace.bundles, name, download=not name.endswith(".pdf"))


def _known(workspace: Workspace) -> Project:
    return project.load(workspace.root) if project.path(workspace.root).exists() else Project()


def _member(line: str) -> Member:
    name, equals, number = line.partition("=")
    if not equals:
        raise ConfigError("SUB-FIELD", f"member {line[:60]}", expected="NAME=ID", fix="Kim Minsu=20231234")
    return Member(name=name.strip(), id=number.strip())


def _form(workspace: Workspace, known: Project) -> dict[str, object]:
    return {"fields": [_field(name, known) for name in _TITLES], "runs": _chosen(workspace, known)}


def _field(name: str, known: Project) -> dict[str, object]:
    value = (
        "\n".join(f"{one.name}={one.id}" for one in known.members)
        if name == "members"
        else str(getattr(known, name))
    )
    choices = list(options("contest")) if name == "contest" else []
    return {
        "key": name,
        "label": _TITLES[name],
        "help": _HELP.get(name) or interview.QUESTIONS.get(name, ""),
        "value": value,
        "kind": "choice" if choices else "text" if name in _LINES else "lines",
        "choices": choices,
        "required": name in _NEEDED,
    }


def _chosen(workspace: Workspace, known: Project) -> list[str]:
    """The ids of the runs that the project names."""
    named = [name for name in (known.video, *known.stills) if name]
    by_name = {_name(workspace, folder): wanted for wanted, folder in workspace.runs().items()}
    short = {Path(name).name: wanted for name, wanted in by_name.items()}
    found = [by_name.get(name) or short.get(Path(name).name) for name in named]
    return [one for one in found if one]


def _name(workspace: Workspace, folder: Path) -> str:
    return folder.relative_to(workspace.root).as_posix()


def _bundles(workspace: Workspace) -> list[dict[str, object]]:
    found = workspace.built()
    return [
        {
            "name": path.name,
            "bytes": path.stat().st_size,
            "when": path.stat().st_mtime,
            "url": f"/api/submission/bundles/{quote(path.name)}",
            "draft": "-draft-" in path.name,
            "documents": [
                {"name": one.name, "url": f"/api/submission/bundles/{quote(one.name)}"}
                for one in sorted(path.parent.glob(f"{escape(path.stem)}-*.pdf"))
            ],
        }
        for path in found
    ]
