"""The gallery as one HTML page: no foreign host, no build step; script and style are named by their hashes.

Everything that a run tells stands in escaped text and attributes, never in the script. Torch-free.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from pokora_anime.history.gallery import posters
from pokora_anime.history.gallery.gallery_runs import Entry, Value, higher
from pokora_anime.provenance import run_layout
from pokora_anime.quality.metrics.metric_table import FINAL, GENERATED, METRICS
from pokora_anime.system.html_template import rendered
from pokora_anime.untrusted.untrusted_names import shown

TEMPLATE = Path(__file__).parent / "templates" / "gallery.html.j2"
PAGE = "index.html"
MOST_VALUES = 200  # of a key that can be chosen from
_STAGES = {FINAL: "Delivered frames", GENERATED: "Generated frames"}
_SHOWN_AXES = (
    *("run.overall", "run.seconds", "final.seam_ratio", "final.flicker", "final.subject_consistency"),
)
NOTE = (
    "Scores are those of each run's own page. Stars and comparisons stay in this browser; what counts is"
    " favourites.txt, which `pokora favourite` writes and `pokora submission` reads."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something to choose, and what it is called."""

    id: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key whose values set entries apart."""

    id: str
    title: str
    values: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A number to rank by, or an axis; `higher`: whether more is better."""

    id: str
    title: str
    higher: bool = True
    shown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Numbers to rank by, under one heading."""

    title: str
    scores: tuple[Scale, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An address as seen from the page, percent-encoded, and its words."""

    href: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command to copy."""

    title: str
    words: str


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a page lies: `folder`, in the output folder `root`; `files` that lie beside it by their words."""

    folder: Path
    root: Path
    title: str
    command: str = ""
    total: int | None = None
    favourites: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One entry as the page shows it; `data` is what the script reads, as JSON."""

    id: str
    status: str
    label: str
    alt: str
    name: str
    prompt: str
    problem: str
    clip: str
    full: str
    poster: str
    width: int
    height: int
    lines: tuple[Line, ...]
    links: tuple[Link, ...]
    data: str


def page(entries: Sequence[Entry], place: Place) -> str:
    """The page of these entries."""
    keys = differing(entries)
    cards = [_card(index, one, place, list(keys)) for index, one in enumerate(entries)]
    style, script = _asset("gallery.css"), _asset("gallery.js")
    return rendered(
        TEMPLATE,
        title=shown(place.title, 120),
        out=_typed(place.root),
        facts=_facts(entries, place.total),
        command=place.command,
        links=[
            Link(href="./" + quote(os.fsencode(name)), words=words) for words, name in place.files.items()
        ],
        entries=cards,
        liked=json.dumps([*place.favourites]),
        ranks=_ranks(entries),
        filters=[_key(name, values) for name, values in keys.items() if len(values) <= MOST_VALUES],
        axes=_axes(entries, keys) if len(entries) > 1 else [],
        note=NOTE,
        style=Markup(style),  # ours, from the package
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


@cache
def _asset(name: str) -> str:
    return (TEMPLATE.parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def differing(entries: Sequence[Entry]) -> dict[str, list[Value]]:
    """The keys that set entries apart, each with its values in order."""
    found: dict[str, list[Value]] = {}
    for name in dict.fromkeys(key for one in entries for key in one.keys):
        values = sorted({one.keys[name] for one in entries if name in one.keys}, key=_order)
        if len(values) > 1:
            found[name] = values
    return dict(sorted(found.items(), key=lambda one: one[0] == "shot.prompt"))  # long words last


def _order(value: Value) -> tuple[bool, float, str]:
    return (isinstance(value, str), 0.0 if isinstance(value, str) else value, str(value))


def _number(value: Value) -> str:
    """A value as JavaScript's String() writes it."""
    return value if isinstance(value, str) else f"{value:g}" if abs(value) < 1e6 else str(int(value))


def _key(name: str, values: Sequence[Value]) -> Key:
    choices = tuple(Choice(id=_number(one), words=shown(_number(one), 60)) for one in values)
    return Key(id=name, title=_plain(name), values=choices)


def _plain(key: str) -> str:
    """A key without its section."""
    return key.rpartition(".")[2].replace("_", " ")


def _ranks(entries: Sequence[Entry]) -> list[Group]:
    known = {name for one in entries for name in one.scores}
    runs = [Scale(id="run.overall", title="overall score (%)")] if known else []
    runs += [Scale(id="run.changed", title="newest")]
    runs += [Scale(id="run.seconds", title="seconds of rendering", higher=False)]
    groups = [Group(title="Run", scores=tuple(runs))]
    for stage, title in _STAGES.items():
        scores = tuple(
            Scale(id=score, title=metric.title, higher=higher(score))
            for metric in METRICS
            if (score := f"{stage}.{metric.id}") in known
        )
        groups += [Group(title=title, scores=scores)] if scores else []
    return groups


def _axes(entries: Sequence[Entry], keys: Mapping[str, Sequence[Value]]) -> list[Scale]:
    """What the plot can show: keys that set entries apart, then numbers."""
    found = [Scale(id=f"key:{name}", title=_plain(name), shown=True) for name in keys]
    listed = [
        Scale(
            id=one.id,
            title=one.title if group.title != _STAGES[GENERATED] else f"{one.title} (generated)",
            higher=one.higher,
            shown=one.id in _SHOWN_AXES,
        )
        for group in _ranks(entries)
        for one in group.scores
        if one.id != "run.changed"
    ]
    return [*found, *listed]


def _facts(entries: Sequence[Entry], total: int | None) -> str:
    counts = Counter(one.status for one in entries)
    order = ("finished", "unfinished", "failed", "damaged")
    told = [f"{counts[name]} {name}" for name in order if counts[name]] or ["no run yet"]
    if total and sum(counts.values()) - counts["unfinished"] < total:
        told.append(f"{total} jobs in all: reload for what has come since")
    return ", ".join(told)


def _card(index: int, one: Entry, place: Place, keys: Sequence[str]) -> Card:
    poster = posters.poster(one.path, one.still) if one.path is not None else None
    picture = run_layout.still_name(one.still) if one.still is not None else "keyframe.png"
    clip = _beside(one, run_layout.VIDEO, place)
    full = _beside(one, picture, place) if not clip else ""
    label, name = _label(one, keys), _name(one, place)
    width, height = _size(poster)
    shown_as = {
        "label": label,
        "name": name,
        "clip": clip,
        "full": full,
        "poster": _href(poster, place) if poster else "",
    }
    data = {
        **shown_as,
        "liked": name in place.favourites,
        "keys": one.keys,
        "scores": _rounded(one),
        "verdicts": one.verdicts,
    }
    return Card(
        **shown_as,
        id=f"run-{index}",
        status=one.status,
        alt=f"{'first frame: ' if clip else ''}{one.prompt}"[:300],
        prompt=one.prompt,
        problem=one.problem,
        width=width,
        height=height,
        lines=_lines(one),
        links=_links(one, place, clip),
        data=json.dumps(data),
    )


def _beside(one: Entry, name: str, place: Place) -> str:
    """The address of a file of a run, "" where it is none, or a link."""
    return _href(one.path / name, place) if one.path is not None and _has(one, name) else ""


def _rounded(one: Entry) -> dict[str, float]:
    told = one.scores | ({"run.overall": 100 * one.overall} if one.overall is not None else {})
    told |= {"run.seconds": one.seconds} if one.seconds is not None else {}
    told |= {"run.changed": one.changed} if one.changed else {}
    return {
        name: float(f"{value:.12g}" if name == "run.changed" else f"{value:.5g}")
        for name, value in told.items()
    }


def _label(one: Entry, keys: Sequence[str]) -> str:
    """What sets an entry apart, and where nothing does its name."""
    apart = [
        _number(one.keys[name]) if name == "shot.prompt" else f"{_plain(name)} {_number(one.keys[name])}"
        for name in keys
        if name in one.keys
    ]
    words = " · ".join(shown(part, 80) for part in apart) or shown(one.prompt, 120) or one.name
    return words or one.status


def _name(one: Entry, place: Place) -> str:
    """How favourites name it: its folder below the output folder, "" for what is none."""
    if one.path is None or one.status != "finished":
        return ""
    try:
        inside = one.path.resolve().relative_to(place.root.resolve()).as_posix()
    except ValueError:
        return ""
    return inside + ("" if one.still is None else f"#{one.still + 1}") if inside.isprintable() else ""


def _has(one: Entry, name: str) -> bool:
    return one.path is not None and not (one.path / name).is_symlink() and (one.path / name).is_file()


def _href(path: Path, place: Place) -> str:
    """An address relative to the page; it begins with no scheme."""
    relative = os.path.relpath(path.absolute(), place.folder.absolute())
    return "./" + quote(os.fsencode(Path(relative).as_posix()))


def _size(poster: Path | None) -> tuple[int, int]:
    """Pixels of a poster, so that the page keeps its room."""
    if poster is None:
        return posters.SIDE, posters.SIDE
    from PIL import Image as Pictures

    try:
        with Pictures.open(poster, formats=["WEBP"]) as picture:
            return picture.size
    except (OSError, ValueError):
        return posters.SIDE, posters.SIDE


def _typed(path: Path) -> str:
    """A path as one types it from here."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _lines(one: Entry) -> tuple[Line, ...]:
    found = [Line(title="the same again", words=one.line)] if one.line else []
    if one.path is not None and one.name.isprintable() and one.status == "finished":
        name = _typed(one.path)
        if one.still is not None:
            line = shlex.join(["pokora", "video", "--from", f"{name}#{one.still + 1}"])
            found.append(Line(title="animate it", words=line))
        else:
            found.append(
                Line(title="with a change", words=shlex.join(["pokora", "again", name, "seed=random"]))
            )
        found.append(Line(title="check it", words=shlex.join(["pokora", "verify", name])))
    return tuple(found)


def _links(one: Entry, place: Place, clip: str) -> tuple[Link, ...]:
    found = [Link(href=clip, words="clip")] if clip else []
    if one.path is None:
        return tuple(found)
    card = f"{run_layout.REPORTS}/scorecard.html"
    if _has(one, card):
        found.append(Link(href=_href(one.path / card, place), words="score page"))
    if _has(one, "sheet.png"):
        found.append(Link(href=_href(one.path / "sheet.png", place), words="contact sheet"))
    return (*found, Link(href=_href(one.path, place) + "/", words="folder"))
