"""What the documents show, as plain data for their templates; pictures by the names of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, Table
from pokora_anime.provenance.operations import (
    CONTROL,
    ENCODE,
    FINISH,
    KEYFRAME,
    MOTION,
    PROMPT,
    Operation,
)
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.submission.chosen_runs import Choice, Run
from pokora_anime.submission.documents import figures, prose
from pokora_anime.submission.documents.checkpoint_list import Checkpoint
from pokora_anime.submission.documents.command_line import command_line
from pokora_anime.submission.documents.score_rows import scores
from pokora_anime.submission.project import Project
from pokora_anime.timeline import choreography_plan, draft_plan, join_plan

MISSING = "MISSING"
FILM = 8
_OF_A_VIDEO = ("technical", "technical_short", "facts", "diagram", "film", "maps", "scores")
POSTER_CHARACTERS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """`data` for the templates and the pictures that it names, without their file endings."""

    data: Table
    pictures: Mapping[str, Image]


def collect(
    project: Project, choice: Choice, checkpoints: tuple[Checkpoint, ...], *, commit: str, draft: bool
) -> Content:
    """Everything that write-up and poster show. Raises RecordError for a video that does not decode."""
    pictures: dict[str, Image] = {}
    data: Table = {
        "draft": draft,
        "title": project.title or f"TITLE {MISSING}",
        "tagline": project.tagline,
        "members": _members(project),
        "contest": project.contest.upper(),
        "artistic": [*_paragraphs(project.artistic_statement or f"ARTISTIC STATEMENT {MISSING}")],
        "artistic_short": [*_shortened(_paragraphs(project.artistic_statement), POSTER_CHARACTERS)],
        "notes": [*_paragraphs(project.technical_notes)],
        "checkpoints": [_checkpoint(one) for one in checkpoints],
        "commit": commit[:12],
        "stills": _stills(choice, pictures),
        "commands": [*_commands(choice)],
        "fetch": _fetch(checkpoints),
        "apart": choice.apart,
        **{name: [] for name in _OF_A_VIDEO},
        **dict.fromkeys(("prompt", "prefix", "negative", "key"), ""),
        "shots": [],
    }
    if choice.video is not None:
        data |= _video(choice.video, checkpoints, pictures)
    elif choice.stills:
        run = choice.stills[0]
        technical = [*prose.technical(run.config, run.reading, checkpoints)]
        data |= {"technical": [*technical], "technical_short": [*technical], **_typed(run)}
    data["hue"] = figures.hue([pictures[name] for name in pictures if name.startswith(("film", "still"))])
    return Content(data=data, pictures=pictures)


def _typed(run: Run) -> Table:
    """The words of a run: what was typed, what is put before it, the negative prompt; of shots all."""
    shot = run.config.shot
    shots = run.config.shots if isinstance(run.config, VideoConfig) else []
    listed: list[Json] = [
        f"{number}. {'joined, ' if one.joined else ''}{one.seconds:g} s: {one.prompt}"
        for number, one in enumerate(shots, start=1)
    ]
    return {"prompt": shot.prompt, "shots": listed, "prefix": shot.prefix, "negative": shot.negative}


def _members(project: Project) -> list[Json]:
    members = project.members or (None,)
    return [
        {
            "name": (member.name if member else "") or f"NAME {MISSING}",
            "id": (member.id if member else "") or f"ID {MISSING}",
        }
        for member in members
    ]


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _shortened(paragraphs: list[str], most: int) -> list[str]:
    """Whole paragraphs within `most` characters, and of the next one whole sentences."""
    kept: list[str] = []
    left = most
    for part in paragraphs or [f"ARTISTIC STATEMENT {MISSING}"]:
        if len(part) > left:
            end = max(part.rfind(mark, 0, left) for mark in ".!?。！？")
            kept += [part[: end + 1]] if end > 0 else [] if kept else [f"{part[:left]} …"]
            break
        kept.append(part)
        left -= len(part)
    return kept


def _checkpoint(one: Checkpoint) -> Table:
    row = one.row
    return {
        "name": one.name,
        "role": one.role,
        "link": one.link,
        "url": one.link if one.link.startswith("https://") else "",
        "licence": row.terms.name,
        "licence_link": row.terms.link,
        "revision": one.revision[:12],
        "digest": next(
            (digest[:12] for name, digest in sorted(one.files.items()) if name.endswith(".safetensors")), ""
        ),
        "data": row.data_statement,
    }


def _stills(choice: Choice, pictures: dict[str, Image]) -> list[Json]:
    shown: list[Json] = []
    for run in choice.stills:
        for name in run.delivered:
            label = f"still-{len(shown) + 1}"
            pictures[label] = run.reading.picture(name)
            height, width = pictures[label].shape[:2]
            shown.append({"file": label, "size": f"{width}×{height}", "prompt": run.config.shot.prompt})
    return shown


def _commands(choice: Choice) -> list[Json]:
    found: list[Json] = []
    for run in choice.runs:
        line = command_line(run.reading.command, run.config)
        found.append(line or f"pokora reproduce BUNDLE.zip  # {run.reading.command}: no shorter command")
    return found


def _fetch(checkpoints: tuple[Checkpoint, ...]) -> str:
    """The command that fetches exactly these weights; "" where all of them ship with the source."""
    listed = [one.row.id for one in checkpoints if not (one.row.packaged or one.row.own)]
    return " ".join(["pokora models fetch", *listed]) if listed else ""


def _video(run: Run, checkpoints: tuple[Checkpoint, ...], pictures: dict[str, Image]) -> Table:
    config, reading = run.config, run.reading
    assert isinstance(config, VideoConfig)
    delivered = reading.frames()
    indices = figures.spread(delivered.count, FILM)
    film: list[Json] = []
    for number, (index, frame) in enumerate(zip(indices, figures.frames(reading, indices), strict=True)):
        pictures[f"film-{number}"] = frame
        film.append({"file": f"film-{number}", "time": f"{index / delivered.fps:.1f} s"})
    maps: list[Json] = []
    for name, told in sorted(reading.pictures.items(), key=lambda pair: pair[0] != run_layout.KEYFRAME):
        if name == run_layout.SHEET:
            continue
        label = "keyframe" if told.array == "image" else told.array
        pictures[f"map-{label}"] = reading.picture(name)
        maps.append({"file": f"map-{label}", "label": label})
    technical = prose.technical(config, reading, checkpoints)
    return {
        "technical": [*technical],
        "technical_short": [*technical[1:4]],
        "facts": _facts(config, run),
        "diagram": [*_diagram(config, run, maps)],
        "film": film,
        "maps": maps,
        "scores": scores(run.folder),
        **_typed(run),
        "key": reading.key,
    }


def _facts(config: VideoConfig, run: Run) -> list[Json]:
    segments = sum(node.op == MOTION.name for node in run.reading.nodes)
    told = (
        (
            f"{config.shot.seconds:g} s",
            f"{config.finish.width}×{config.finish.height}, {config.finish.fps} fps",
        ),
        (
            str(segments),
            f"{'chained segments' if segments > 1 else 'segment'} of {config.motion.frames} frames",
        ),
        (str(config.speed.steps), f"steps, CFG {config.speed.guidance_scale:g}"),
        (str(len(run.reading.nodes)), "recorded operations, signed"),
    )
    return [{"value": value, "label": label} for value, label in told]


def _diagram(config: VideoConfig, run: Run, maps: list[Json]) -> list[Table]:
    """The boxes of the pipeline as it ran: title, two lines, and the picture below it."""
    segments = sum(node.op == MOTION.name for node in run.reading.nodes)
    base, finish, crf = config.base, config.finish, config.encode.crf
    boxes = [_box(PROMPT, "Prompt", "text, weights", f"seed {config.seed}")]
    if config.keyframe.enabled:
        drawn = f"{prose.BASES[base.family.value].split(',')[0]}, {base.width} px"
        boxes.append(_box(KEYFRAME, "Keyframe", drawn, _speed(config), picture="map-keyframe"))
    if config.control.kinds:
        found = [str(entry["file"]) for entry in cast(list[Table], maps) if entry["label"] != "keyframe"]
        kinds = ", ".join(kind.value for kind in config.control.kinds)
        boxes.append(_box(CONTROL, "Control", kinds, _steered(config), picture=found[0] if found else ""))
    frames = f"AnimateDiff, {config.motion.frames} frames"
    carried = f"{config.motion.overlap} latent{'s' if config.motion.overlap > 1 else ''} carried on"
    rates = f"{config.shot.fps} to {finish.fps} fps, {prose.INTERPOLATIONS[finish.interpolation]}"
    size = f"{finish.width}×{finish.height}"
    return [
        *boxes,
        _box(MOTION, f"Motion ×{segments}", frames, carried, picture=f"film-{FILM // 2}"),
        _box(FINISH, "Finish", rates, size, picture=f"film-{FILM - 1}"),
        _box(ENCODE, "Encode", f"H.264, crf {crf}", f"{config.shot.seconds:g} s"),
    ]


def _box(operation: Operation, title: str, *lines: str, picture: str = "") -> Table:
    return {"title": title, "lines": [*lines], "picture": picture, "op": operation.name}


def _steered(config: VideoConfig) -> str:
    if draft_plan.wanted(config):
        return "from each drafted frame"
    if choreography_plan.wanted(config):
        return "planned for each frame"
    each = "in each segment, " if join_plan.count(config) else ""
    return f"{each}fades to {config.control.fade_floor:g}"


def _speed(config: VideoConfig) -> str:
    return f"{config.speed.steps} steps, CFG {config.speed.guidance_scale:g}"
