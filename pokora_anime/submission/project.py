"""submission/project.yaml: the team's own words and the runs that it chose; read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

import yaml

from pokora_anime.errors import ConfigError
from pokora_anime.submission import file_names
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.untrusted import strict_yaml

MAX_TEXT, MAX_LINE, MAX_MEMBERS = 12_000, 120, 12
HEAD = """# The team's own words for the submission bundle. `pokora submission status` says what is missing.
# Runs are folders under outputs/; left empty, the last favourite of each kind is taken, else the newest run.
"""
_DEADLINE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d)?(?:Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the team."""

    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a team says. `deadline` is ISO 8601, `presentation` a date; texts are plain paragraphs."""

    title: str = ""
    tagline: str = ""
    members: tuple[Member, ...] = ()
    contest: str = "cs492c"
    deadline: str = ""
    presentation: str = ""
    artistic_statement: str = ""
    technical_notes: str = ""
    video: str = ""
    stills: tuple[str, ...] = field(default=())

    @property
    def due(self) -> datetime | None:
        """The deadline as a moment; None where none was entered."""
        return datetime.fromisoformat(self.deadline) if self.deadline else None


LINES = ("title", "tagline", "contest", "deadline", "presentation", "video")
TEXTS = ("artistic_statement", "technical_notes")


def path(root: Path) -> Path:
    """The project's file below the folder that pokora is started in."""
    return root / file_names.FOLDER / file_names.PROJECT


def load(root: Path) -> Project:
    """The project. Raises ConfigError SUB-PROJECT (missing or unreadable), SUB-FIELD for a wrong field."""
    place = path(root)
    try:
        text = place.read_bytes().decode()
    except FileNotFoundError as error:
        raise ConfigError(
            "SUB-PROJECT",
            f"there is no {file_names.FOLDER / file_names.PROJECT}",
            expected="title, members and statements of the team",
            fix="`pokora submission init`",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(
            "SUB-PROJECT", f"{place}: {str(reason).lower()}", expected="a readable file"
        ) from error
    return parse(strict_yaml.load_words(text, file_names.PROJECT))


def parse(value: object) -> Project:
    """A project from YAML data. Raises ConfigError SUB-FIELD."""
    if not isinstance(value, dict):
        raise _wrong("the file", "no fields", "title: ..., members: ...")
    fields = cast(dict[object, object], value)
    known = list(asdict(Project()))
    for name in fields:
        if name not in known:
            raise _wrong(str(name)[:60], "an unknown field", ", ".join(known))
    project = Project(
        **{name: _line(fields, name) for name in LINES if name in fields},
        **{name: _text(fields, name) for name in TEXTS},
        members=_members(fields.get("members")),
        stills=_names(fields.get("stills")),
    )
    return check(project)


def check(project: Project) -> Project:
    """The project, its deadline checked. Raises ConfigError SUB-FIELD."""
    if project.deadline:
        try:
            if not _DEADLINE.fullmatch(project.deadline):
                raise ValueError
            datetime.fromisoformat(project.deadline)
        except ValueError as error:
            raise _wrong("deadline", project.deadline, "YYYY-MM-DD HH:MM+09:00, as announced") from error
    return project


def save(root: Path, project: Project) -> Path:
    """Writes the project's file; returns it. Raises MachineError SYS-*."""
    place = path(root)
    plain = asdict(project)
    plain["members"], plain["stills"] = [*plain["members"]], [*plain["stills"]]
    text = yaml.dump(plain, Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=100)
    with writing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, (HEAD + text).encode())
    return place


class _Blocks(yaml.SafeDumper):
    """Long texts as blocks that read like prose."""


class _Represents(Protocol):
    """PyYAML's representer, which it does not type."""

    def represent_scalar(self, tag: str, value: str, style: str | None) -> yaml.Node: ...


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return cast("_Represents", dumper).represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Blocks.add_representer(str, _represent)


def _line(fields: Mapping[object, object], name: str) -> str:
    return _one_line(name, fields[name])


def _one_line(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name, f"a {type(value).__name__}", "a line of text")
    text = value.strip()
    if len(text) > MAX_LINE or not text.isprintable():
        raise _wrong(name, f"{len(text)} characters", f"one line of at most {MAX_LINE}")
    return text


def _text(fields: Mapping[object, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(name, type(value).__name__, "text, such as `name: |` and indented lines")
    if len(value) > MAX_TEXT:
        raise _wrong(name, f"{len(value)} characters", f"at most {MAX_TEXT}")
    if odd := next((sign for sign in value if not sign.isprintable() and sign not in "\n\t"), ""):
        raise _wrong(name, f"the character U+{ord(odd):04X}", "printable text")
    return value.strip()


def _members(value: object) -> tuple[Member, ...]:
    if not value:
        return ()
    shape = "a list of {name: ..., id: ...}"
    if not isinstance(value, list) or len(cast(list[object], value)) > MAX_MEMBERS:
        raise _wrong("members", "no list, or too many", f"{shape}, at most {MAX_MEMBERS}")
    found: list[Member] = []
    for entry in cast(list[object], value):
        fields = cast(dict[object, object], entry) if isinstance(entry, dict) else {}
        if not fields or not set(fields) <= {"name", "id"}:
            raise _wrong("members", str(cast(object, entry))[:60], shape)
        found.append(Member(**{str(name): _line(fields, str(name)) for name in fields}))
    return tuple(found)


def _names(value: object) -> tuple[str, ...]:
    if not value:
        return ()
    if not isinstance(value, list):
        raise _wrong("stills", type(value).__name__, "a list of run folders")
    return tuple(_one_line("stills", entry) for entry in cast(list[object], value))


def _wrong(name: str, got: str, expected: str) -> ConfigError:
    return ConfigError(
        "SUB-FIELD",
        f"{file_names.PROJECT}: {name}: {got}",
        expected=expected,
        fix=f"edit {file_names.FOLDER / file_names.PROJECT}",
    )
