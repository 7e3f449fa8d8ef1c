"""Judging words while they are typed: check, estimate, and what there is to type. Torch-free."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Annotated, Literal, cast

from fastapi import APIRouter
from pydantic import BaseModel, Field

from pokora_anime.devices.forecast import estimate
from pokora_anime.devices.forecast.estimate import Estimate
from pokora_anime.jobs import finished_runs, job_estimate
from pokora_anime.schema import field_laws
from pokora_anime.schema.config_groups import SCHEMAS, groups, purpose, typed_settings
from pokora_anime.schema.field_laws import Setting
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import Family, RunConfig, VideoConfig
from pokora_anime.studio.api.services import Asking
from pokora_anime.studio.queue import job_reading
from pokora_anime.studio.queue.job_reading import Sent
from pokora_anime.studio.queue.job_record import RUNS, new_job
from pokora_anime.studio.workspaces import Workspace, run_id
from pokora_anime.system.files.user_folder import free_space

router = APIRouter(prefix="/api", tags=["words"])
Word = Annotated[str, Field(max_length=job_reading.MOST_CHARACTERS)]


class Words(BaseModel, extra="forbid"):
    """A run in words, each `key=value` as behind the command in a shell."""

    command: Literal["video", "stills", "sweep"] = "video"
    words: Annotated[list[Word], Field(max_length=job_reading.MOST_WORDS)] = []

    def sent(self) -> Sent:
        """The words, refused where one is none of the run's own. Raises Problem."""
        return Sent.of(self.command, self.words)


@router.get("/schema")
def schema(asking: Asking) -> dict[str, object]:
    """Groups and their options, every key with its law and help, and the words that nano knows."""
    config = asking.services.config
    asking.queue.warm(job_reading.composed(Sent("video", ())), asking.user)  # a page was opened
    return {
        **_schema(),
        "user": asking.user,
        "studio": {"queue_limit": config.queue, "engine": config.engine.value},
    }


@router.post("/check")
def check(words: Words, asking: Asking) -> dict[str, object]:
    """The judgement of `pokora check`, and which words of the prompt are known."""
    sent = words.sent()
    told = job_reading.checked(sent)
    line = new_job("", sent.command, sent.words, "").command_line
    finished = None
    prompt: dict[str, object] = {"parts": []}
    if sent.command in RUNS and told["contest"]:
        config = job_reading.composed(sent)
        finished = _finished(config, asking.workspace)
        prompt = {"parts": known_parts(config)}
        asking.queue.warm(config, asking.user)
    return {**told, "prompt": prompt, "command_line": line, "finished": finished}


@router.post("/estimate")
def estimated(words: Words, asking: Asking) -> dict[str, object]:
    """Time, memory and disk of it on this machine."""
    out = asking.workspace.outputs
    jobs = job_reading.listed(words.sent(), out)
    found = Estimate.of(jobs.configs, estimate.here(jobs.configs[0].device), at_once=jobs.at_once)
    plain = job_estimate.plain(words.command, jobs, [found])
    return {
        "seconds": {
            "total": round(found.seconds, 1),
            "starting": round(found.starting, 1),
            "computing": round(found.computing, 1),
            "delivering": round(found.delivering, 1),
        },
        "memory_bytes": found.peak,
        "disk_bytes": plain["disk_bytes"],
        "disk_free_bytes": free_space(out),
        "fits": found.fits,
        "jobs": len(jobs.configs),
        "note": found.target.note,
    }


def _finished(config: RunConfig, workspace: Workspace) -> str | None:
    """The id of a finished run that is this very one."""
    from pokora_anime.render.worker.run_paths import run_folder

    places = [workspace.outputs, *sorted(workspace.outputs.glob("sweep/*"))]
    if not any(run_folder(config, place).is_dir() for place in places):
        return None
    root = finished_runs.find(config, places)
    return None if root is None else run_id(workspace.path(run_folder(config, root)))


def known_parts(config: RunConfig) -> list[dict[str, object]]:
    """The prompt between its commas, each part known to nano or not; other bases read any words."""
    from pokora_anime.choreography.action_words import forms
    from pokora_anime.prompt.prompt_syntax import parse_shot
    from pokora_anime.prompt.unknown_words import nearest, unknown_words

    text = parse_shot(replace(config.shot, prefix=""))[0].text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if config.base.family is not Family.nano:
        return [{"text": part, "known": True, "near": ""} for part in parts]
    moves = forms() if isinstance(config, VideoConfig) else ()
    found: list[dict[str, object]] = []
    for part in parts:
        unknown = unknown_words(part, moves)
        near = nearest(unknown[0]) if unknown else ""
        found.append({"text": part, "known": not unknown, "near": near})
    return found


@cache
def _schema() -> dict[str, object]:
    from importlib.metadata import version

    named: dict[str, list[dict[str, str]]] = {}
    for command in RUNS:
        for group, options in groups(command).items():
            named.setdefault(group, [{"name": one, "help": purpose(group, one)} for one in options])
    plain = {command: to_plain(job_reading.composed(Sent(command, ()))) for command in RUNS}
    return {
        "version": version("pokora_anime"),
        "groups": named,
        "settings": {
            command: [_setting(one, plain[command]) for one in typed_settings(command).values()]
            for command in RUNS
        },
        "sections": {
            command: {
                key: law.help for key, law in field_laws.sections(SCHEMAS[command]).items() if law.typed
            }
            for command in RUNS
        },
        "vocabulary": _vocabulary(),
        "examples": _EXAMPLES,
    }


_EXAMPLES = (
    "1girl, red hair, kimono, dancing, night sky",
    "1girl, blue hair, twintails, school uniform, waving, cherry blossoms",
    "1girl, green eyes, black hair, dress, spinning, beach",
    "1girl, blonde hair, ponytail, jacket, walking, city",
    "1girl, purple hair, kimono, bowing, cherry blossoms",
)


def _setting(setting: Setting, plain: object) -> dict[str, object]:
    value = plain
    for name in setting.key.split("."):
        value = cast(dict[str, object], value).get(name) if isinstance(value, dict) else None
    law = setting.law
    return {
        "key": setting.key,
        "section": setting.section,
        "type": setting.type_name,
        "accepted": setting.accepted,
        "members": list(setting.members),
        "low": law.low,
        "high": law.high,
        "multiple": law.multiple,
        "unit": law.unit,
        "default": value,
        "help": law.help,
    }


def _vocabulary() -> list[dict[str, object]]:
    """The words that nano knows, by what they say of a picture."""
    from pokora_anime.choreography.actions import NAMES
    from pokora_anime.nano.world import vocabulary

    nouns = {"hair_color": "hair", "eye_color": "eyes", "outfit_color": "clothes"}
    found: list[dict[str, object]] = []
    for name, values in vocabulary.ATTRIBUTES.items():
        noun = nouns.get(name)
        listed = [*values]
        if name == "action":
            listed += [one for one in NAMES if one not in listed]
        words = [
            {
                "word": f"{value} {noun}" if noun else value,
                "also": list(vocabulary.SYNONYMS.get(name, {}).get(value, ())),
            }
            for value in listed
        ]
        found.append({"kind": name.replace("_", " "), "words": words})
    return found
