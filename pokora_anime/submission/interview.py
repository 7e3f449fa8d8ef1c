"""The guided way to submission/project.yaml: what flags give, and what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from pokora_anime.errors import ConfigError
from pokora_anime.submission import file_names, project
from pokora_anime.submission.chosen_runs import finished
from pokora_anime.submission.project import Member, Project

Ask = Callable[[str], str]
Say = Callable[[str], None]
QUESTIONS = {
    "title": "Title of the project",
    "tagline": "One line below the title (may stay empty)",
    "contest": "Contest",
    "deadline": "Deadline, as announced, e.g. 2026-12-05 23:59+09:00 (may stay empty)",
    "presentation": "Day of your presentation: 8 or 10 December (may stay empty)",
}
SHOWN = 5


def from_flags(root: Path, options: Mapping[str, object]) -> Project:
    """The project that is there, if any, with what the flags say. Raises ConfigError SUB-FIELD."""
    known = project.load(root) if project.path(root).exists() else Project()
    given: dict[str, object] = {
        name: str(options[name]) for name in (*project.LINES, *project.TEXTS) if options.get(name) is not None
    }
    if options.get("member"):
        members = (_member(text) for text in cast(list[str], options["member"]))
        given["members"] = [{"name": member.name, "id": member.id} for member in members]
    if options.get("stills"):
        given["stills"] = list(cast(list[str], options["stills"]))
    return _joined(known, given)


def ask(root: Path, known: Project, question: Ask, say: Say) -> Project:
    """Asks for everything; an empty answer keeps what is known. Raises ConfigError SUB-FIELD."""
    project = file_names.FOLDER / file_names.PROJECT
    say(f"An empty answer keeps what stands in brackets. Longer texts: edit {project}.")
    given: dict[str, object] = {}
    for name, text in QUESTIONS.items():
        given[name] = question(f"{text} [{getattr(known, name)}]: ").strip() or getattr(known, name)
    given["members"] = _ask_members(known, question)
    if not known.artistic_statement:
        given["artistic_statement"] = question("The idea, in a sentence or two: ").strip()
    given["video"] = _ask_run("video", finished(root, "video"), known.video, question, say)
    chosen = _ask_run("stills", finished(root, "stills"), next(iter(known.stills), ""), question, say)
    given["stills"] = [chosen] if chosen else []
    return _joined(known, given)


def _joined(known: Project, given: Mapping[str, object]) -> Project:
    """Checked as if it stood in the file."""
    fields = {name: getattr(known, name) for name in (*project.LINES, *project.TEXTS)}
    parsed = project.parse({**fields, **given})
    return replace(
        parsed,
        members=parsed.members if "members" in given else known.members,
        stills=parsed.stills if "stills" in given else known.stills,
    )


def _ask_members(known: Project, question: Ask) -> list[dict[str, str]]:
    members = list(known.members)
    listed = ", ".join(f"{member.name}={member.id}" for member in members)
    answer = question(f"Members as NAME=ID, with commas between [{listed}]: ").strip()
    if answer:
        members = [_member(part) for part in answer.split(",") if part.strip()]
    return [{"name": member.name, "id": member.id} for member in members]


def _ask_run(kind: str, found: list[str], known: str, question: Ask, say: Say) -> str:
    if not found:
        say(f"No finished run of `pokora {kind}` yet; the newest one will be taken.")
        return known
    for number, name in enumerate(found[:SHOWN], start=1):
        say(f"  {number}  {name}")
    answer = question(f"Which {kind}, by number (empty: the newest at the time) [{known}]: ").strip()
    if not answer:
        return known
    if not answer.isdecimal() or not 1 <= int(answer) <= len(found[:SHOWN]):
        raise ConfigError("SUB-FIELD", f"{kind}: {answer}", expected=f"1 to {len(found[:SHOWN])}")
    return found[int(answer) - 1]


def _member(text: str) -> Member:
    name, equals, identifier = (part.strip() for part in text.partition("="))
    if not (name and equals and identifier):
        raise ConfigError(
            "SUB-FIELD", f"member {text!r}", expected="NAME=ID", fix="--member 'Kim Minsu=20231234'"
        )
    return Member(name=name, id=identifier)
