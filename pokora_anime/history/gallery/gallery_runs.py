"""What a gallery shows: one entry a clip, a still or a job that failed, read from folders that nobody trusts.

A run's folder may be half written, damaged or a stranger's: each becomes an entry that says so. Torch-free.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from pokora_anime.errors import PokoraError
from pokora_anime.history import run_list, run_origin, typed_words_again
from pokora_anime.history.run_folders import folders
from pokora_anime.history.run_origin import Origin
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.quality.metrics.metric_table import METRICS, STAGES
from pokora_anime.quality.overall import overall
from pokora_anime.quality.scorecard import SCORECARD
from pokora_anime.schema.config_groups import prompt_keys
from pokora_anime.schema.option_values import leaves
from pokora_anime.system.files.atomic_files import write_atomic
from pokora_anime.untrusted.untrusted_names import shown

JOBS = "job-*.json"
WORDS = "again.json"  # in the reports: the words of the command, which take half a second to find
_MOST_WORDS, _MOST_CHARACTERS = 200, 20_000
_MOST_STILLS = 64
_WORD = re.compile(r"[A-Za-z][\w.]*=.*", re.ASCII | re.DOTALL)
# What sets runs of different commands apart, where no sweep says it.
FACETS = {
    "base": "base.family",
    "speed": "speed.name",
    "steps": "speed.steps",
    "seed": "seed",
    "seconds": "shot.seconds",
    "width": "finish.width",
    "camera": "motion.camera",
    "contest": "contest.name",
}
Value = str | float


@dataclass(slots=True, kw_only=True)
class Entry:
    """One picture or clip of a gallery.

    `path` is the run's folder, "" for a job that has none; `still` a still's index. `status`: finished,
    unfinished, failed or damaged, the last two with a reason in `problem`. `keys`: what it was made with,
    of what sets entries apart; `scores` by "stage.metric", and `verdicts` of the same; `overall` is the
    overall score, 0..1.
    """

    status: str
    path: Path | None = None
    still: int | None = None
    command: str = ""
    prompt: str = ""
    seed: int | None = None
    seconds: float | None = None
    problem: str = ""
    words: tuple[str, ...] = ()
    keys: dict[str, Value] = field(default_factory=dict[str, Value])
    scores: dict[str, float] = field(default_factory=dict[str, float])
    verdicts: dict[str, str] = field(default_factory=dict[str, str])
    overall: float | None = None
    changed: float = 0.0
    sweep: str = ""
    plain: Mapping[str, Json] = field(default_factory=dict[str, Json])  # its config by dotted key

    def config(self, key: str) -> Value | None:
        """The value of a key in the run's config; of a group its option, where a value names it."""
        value = self.plain.get(typed_words_again.NAMED.get(key, key))
        return None if value is None else _value(value)

    @property
    def line(self) -> str:
        """What to type to have it again; "" where nobody knows."""
        return shlex.join(["pokora", self.command, *self.words]) if self.words and self.command else ""

    @property
    def name(self) -> str:
        """How a page and a table name it."""
        number = "" if self.still is None else f"#{self.still + 1}"
        return (shown(self.path.name, 120) if self.path else "") + number


def of_root(root: Path) -> list[Entry]:
    """The entries of all runs below an output folder, newest first; jobs of sweeps that failed included."""
    told = {sweep: jobs(sweep) for sweep in sorted(root.glob("sweep/*")) if sweep.is_dir()}
    found = [one for folder in folders(root) for one in of_run(folder, _job_of(folder, told))]
    for sweep, its_jobs in told.items():
        found += [one for one in _failed(sweep, its_jobs) if one.path is None]
    for one in found:
        one.keys = {name: value for name, value in one.keys.items() if name in (*FACETS, "command", "sweep")}
    return found


def of_sweep(folder: Path) -> list[Entry]:
    """The entries of a sweep, in the order of its jobs; runs that no job tells of come last."""
    told = jobs(folder)
    order = {place: number for number, job in enumerate(told) if (place := _place(job)) is not None}
    places = [*order, *(one for one in folders(folder) if _known(one, order) is None)]
    found = [one for place in places for one in of_run(place, told[order[place]] if place in order else None)]
    found += [one for one in _failed(folder, told) if one.path is None]
    swept = dict.fromkeys(key for job in told for key in _keys(job))
    if "part" in swept:
        for one in found:
            one.keys.setdefault("part", "draft")
    for one in found:
        if swept:  # a run that has no job yet is told by its config
            one.keys = {
                key: value for key in swept if (value := one.keys.get(key, one.config(key))) is not None
            }
    return found


def _known(folder: Path, places: Collection[Path]) -> Path | None:
    return next((one for one in places if _same_folder(one, folder)), None)


def jobs(folder: Path) -> list[dict[str, Json]]:
    """What the jobs of a sweep told of themselves, by number."""
    found = [{**run_list.report(path)} for path in sorted(folder.glob(JOBS))]
    return [job for job in found if isinstance(job.get("number"), int)]


def _place(job: Mapping[str, Json]) -> Path | None:
    place = job.get("path")
    return Path(place) if isinstance(place, str) and place and "\0" not in place else None


def _job_of(folder: Path, told: Mapping[Path, Sequence[dict[str, Json]]]) -> dict[str, Json] | None:
    """The job that made a run, where one of the sweeps did that have `told` of theirs."""
    sweep = folder.parent.parent
    if sweep not in told:
        return None
    return next((job for job in told[sweep] if _same_folder(_place(job), folder)), {"sweep": sweep.name})


def _same_folder(one: Path | None, other: Path) -> bool:
    return one is not None and one.name == other.name


def _failed(folder: Path, told: Sequence[dict[str, Json]]) -> list[Entry]:
    """Jobs that ended in an error before they had a run."""
    return [
        Entry(
            status="failed",
            problem=shown(job["error"], 400),
            prompt=_line(job.get("prompt")),
            words=_words(job.get("words")),
            command=_command(job),
            keys=_keys(job),
            sweep=folder.name,
        )
        for job in told
        if isinstance(job.get("error"), str) and _place(job) is None
    ]


def _command(job: Mapping[str, Json]) -> str:
    return command if (command := str(job.get("command"))) in run_origin.COMMANDS else ""


def of_run(folder: Path, job: Mapping[str, Json] | None = None) -> list[Entry]:
    """The entries of one run: its clip, or each of its stills. `job` is what its sweep told of it."""
    job = job or {}
    sweep = folder.parent.parent.name if folder.parent.parent.parent.name == "sweep" else ""
    error = shown(job["error"], 400) if isinstance(job.get("error"), str) else ""
    try:
        found = run_origin.of_run(folder)
        plain, finished = found.plain, found.reading is not None
        words = _words(job.get("words")) or _again(folder, found)
    except (PokoraError, OSError, ValueError, RecursionError) as problem:
        line = problem.line() if isinstance(problem, PokoraError) else str(problem)
        return [Entry(status="damaged", path=folder, problem=shown(line, 400), keys=_keys(job), sweep=sweep)]
    shot = run_origin.shot(plain)
    seed = plain.get("seed")
    one = Entry(
        status="finished" if finished else "failed" if error else "unfinished",
        path=folder,
        command=found.command,
        prompt=_line(shot.get("typed") or shot.get("prompt")),
        seed=seed if isinstance(seed, int) else None,
        seconds=run_list.seconds(folder) if finished else None,
        problem=error,
        words=words,
        keys=_facets(found.command, plain, sweep) | _keys(job),
        changed=_changed(folder),
        sweep=sweep,
        plain=leaves(plain),
    )
    if finished:
        card = run_list.report(folder / run_layout.REPORTS / SCORECARD)
        (one.scores, one.verdicts), one.overall = scores(card), overall(card)
    count = plain.get("count")
    several = found.command == "stills" and finished and isinstance(count, int) and 1 <= count <= _MOST_STILLS
    return _stills(one, cast(int, count)) if several else [one]


def _stills(run: Entry, count: int) -> list[Entry]:
    """One entry a still, each with its own seed."""
    found: list[Entry] = []
    for index in range(count):
        seed = None if run.seed is None else run.seed + index
        keys = run.keys | ({"seed": seed} if seed is not None else {})
        found.append(replace(run, still=index, seed=seed, keys=keys))
    return found


def _line(text: object) -> str:
    return shown(text, 2000) if isinstance(text, str) else ""


def _words(value: object) -> tuple[str, ...]:
    """Words of a command as a file tells them; none where one is no key=value."""
    if not isinstance(value, list):
        return ()
    words = [word for word in cast(list[object], value) if isinstance(word, str)]
    fits = len(words) == len(cast(list[object], value)) <= _MOST_WORDS
    fits = fits and sum(map(len, words)) <= _MOST_CHARACTERS
    plain = all(_WORD.fullmatch(word) and word.isprintable() for word in words)
    return tuple(words) if fits and plain else ()


def _again(folder: Path, found: Origin) -> tuple[str, ...]:
    """The words that make a run again: as kept beside it for this very record, or found anew and kept."""
    place = folder / run_layout.REPORTS / WORDS
    record = found.reading.sha256 if found.reading is not None else ""
    kept = run_list.report(place)
    if record and kept.get("record") == record and (words := _words(kept.get("words"))):
        return words
    try:
        words = _words(found.retyped().words)
    except PokoraError:
        return ()  # of another release, or changed by hand
    if record and words and not place.parent.is_symlink():
        with suppress(OSError):
            place.parent.mkdir(exist_ok=True)
            write_atomic(place, json.dumps({"record": record, "words": words}).encode())
    return words


def _keys(job: Mapping[str, Json]) -> dict[str, Value]:
    """What a sweep typed for a job, by key; prompts in their own words."""
    typed = job.get("overrides")
    found: dict[str, Value] = {}
    for word in cast(list[object], typed) if isinstance(typed, list) else []:
        key, equals, value = str(word).lstrip("+").partition("=")
        if not equals or key.startswith(("hydra.", "hydra/")) or len(found) > _MOST_WORDS:
            continue
        if key in prompt_keys():
            value = str(job.get("prompt")) if key == "shot.prompt" else value.strip("'\"")
        if key != "sweep":
            found[shown(key, 60)] = _value(value)
    return found | ({"part": shown(job["part"], 20)} if "part" in job else {})


def _value(text: object) -> Value:
    """A number where it is one, else one line of text."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return text if run_list.finite(text) else shown(text, 300)
    if isinstance(text, str) and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text):
        return float(text) if "." in text else int(text)
    return shown(text, 300)


def _facets(command: str, plain: Mapping[str, Json], sweep: str) -> dict[str, Value]:
    wanted = leaves(plain)
    found: dict[str, Value] = {"command": command}
    if sweep:
        found["sweep"] = shown(sweep)
    return found | {name: _value(wanted[key]) for name, key in FACETS.items() if wanted.get(key) is not None}


def scores(card: Mapping[str, Json]) -> tuple[dict[str, float], dict[str, str]]:
    """The numbers of a scorecard by "stage.metric", and their verdicts; empty for what is none."""
    values: dict[str, float] = {}
    verdicts: dict[str, str] = {}
    for stage in STAGES:
        told = card.get(stage)
        numbers, judged = _of_stage(told, "values"), _of_stage(told, "verdicts")
        for metric in METRICS:
            value = numbers.get(metric.id)
            if isinstance(value, int | float) and not isinstance(value, bool) and run_list.finite(value):
                values[f"{stage}.{metric.id}"] = float(value)
                if (verdict := judged.get(metric.id)) in ("good", "fair", "bad"):
                    verdicts[f"{stage}.{metric.id}"] = str(verdict)
    return values, verdicts


def _of_stage(told: Json, name: str) -> dict[str, Json]:
    found = told.get(name) if isinstance(told, dict) else None
    return found if isinstance(found, dict) else {}


def _changed(folder: Path) -> float:
    for name in (run_layout.RECORD, run_layout.CONFIG):
        with suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def higher(score: str) -> bool:
    """Whether more of a score ("stage.metric") is better."""
    return next(next(iter(one.bands.values())).higher for one in METRICS if one.id == score.partition(".")[2])
