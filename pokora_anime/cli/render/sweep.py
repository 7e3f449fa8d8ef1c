"""Multirun: every combination through Hydra's launcher, then one contact sheet of the grid."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pokora_anime.cli.render import launchers
from pokora_anime.config.compose import translate, typed
from pokora_anime.config.overrides import prepare, quote
from pokora_anime.errors import Interrupted, MachineError, PokoraError
from pokora_anime.history.gallery import gallery_files, gallery_runs
from pokora_anime.jobs import sweep_jobs
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.schema.config_groups import conf_dir, prompt_keys, register_schemas
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.terminal.labelled_lines import labelled

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

    from pokora_anime.jobs.drafts import Drafts
    from pokora_anime.provenance.stage_records import Image
    from pokora_anime.render.worker.parent import Worker

_FRAMES_A_RUN = 4
_LABEL = 40  # characters of what sets a job apart, in front of each of its lines
_FINAL = "final-"  # how the name of a job begins that renders a draft anew; its number follows
_LOOK_AGAIN = 0.5  # seconds between two looks at a run that an equal job renders


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of a sweep beside its jobs.

    `yes`: many jobs are meant; `show`: the gallery is opened; `keep`: how many of the `drafts` are rendered
    again.
    """

    yes: bool = False
    show: bool = False
    keep: int = 0
    drafts: Drafts | None = None
    typed: tuple[str, ...] = ()  # the command line behind `pokora`


def run(command: str, overrides: Sequence[str], root: Path, wishes: Wishes | None = None) -> int:
    """Render the grid; prints one line a job and the sweep's folder last. 1 if any job failed."""
    from pokora_anime.jobs import sweep_size

    wishes = wishes or Wishes()
    ready = prepare(command, overrides, multirun=True)
    total = sweep_size.count(command, ready, yes=wishes.yes, out=root)
    folder = named(command, ready, root)
    added = launchers.prepare(ready)
    if total is not None:
        print(f"{total + wishes.keep} jobs", file=sys.stderr, flush=True)
    with opened(folder, wishes, None if total is None else total + wishes.keep):
        _launch(command, folder, [*added, *ready])
        for number, words in enumerate(_best(folder, wishes), start=len(results(folder))):
            _launch(command, folder, [*added, *words], again=number)
    return report(folder, command, wishes)


def folder_of(command: str, overrides: Sequence[str], root: Path) -> Path:
    """Where the grid of these overrides lies."""
    return named(command, prepare(command, overrides, multirun=True), root)


def named(command: str, words: Sequence[str], root: Path) -> Path:
    """The folder of a sweep below the output folder: the same words have the same one."""
    return (root / "sweep" / f"{command}-{text_hash([command, *words])[:12]}").absolute()


@contextmanager
def opened(folder: Path, wishes: Wishes, total: int | None) -> Generator[None, None, None]:
    """An empty sweep folder that knows what started it and of how many jobs; its processes end with it."""
    _clear(folder)
    with writing(folder):
        gallery_files.begin_sweep(folder, wishes.typed, total)
    try:
        yield
    finally:
        worker(folder).close()
        launchers.end(folder)


def _launch(command: str, folder: Path, ready: Sequence[str], again: int | None = None) -> None:
    """Start the jobs, and wait for them. `again` is the number of a single one that renders a draft anew."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_schemas()
    job = {"video": video_job, "stills": stills_job}[command]
    start = hydra.main(config_path=str(conf_dir()), config_name=command, version_base="1.3")(job)
    try:
        # What sets a job apart is its label where several render side by side.
        apart = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sweep_jobs.constant(ready))}]"
        added = [f"hydra.sweep.dir={quote(str(folder))}", *sweep_jobs.one_at_a_time(ready), apart]
        added += [] if again is None else [f"hydra.job.name={_FINAL}{again}"]
        with _command_line(["pokora", "--multirun", *added, *ready]):
            start()
    except (HydraException, OmegaConfBaseException) as error:
        raise translate(error) from error
    except Exception as error:
        # A job's own error is in its result and the others have run; what is nowhere is raised.
        if all(result.get("error") != _line(error) for result in results(folder)):
            launchers.explain(error)
            raise


def _best(folder: Path, wishes: Wishes) -> list[list[str]]:
    """What is typed for the best drafts by overall score, without what made them drafts."""
    drafts, keep = wishes.drafts, wishes.keep
    if drafts is None:
        return []
    entries = {one.path: one for one in gallery_runs.of_sweep(folder)}
    done = [result for result in results(folder) if "path" in result and "error" not in result]
    scored = [(one.overall, result) for result in done if (one := entries.get(Path(result["path"])))]
    ranked = sorted(scored, key=lambda one: -(one[0] if one[0] is not None else -1.0))
    for score, result in ranked[:keep]:
        told = f"overall score {score:.3f}" if score is not None else "no score"
        print(f"kept: {result['path']} ({told})", file=sys.stderr)
    return [drafts.final(result["overrides"]) for _, result in ranked[:keep]]


def _open(folder: Path) -> None:
    """Show the gallery on the desktop, where there is one."""
    from pokora_anime.cli.history import open_run

    open_run.show(folder / gallery_files.PAGE)


def video_job(config: DictConfig) -> float:
    """One clip of a sweep; runs in a launcher's worker. Returns its seconds."""
    return _job("video", config)


def stills_job(config: DictConfig) -> float:
    """One set of stills of a sweep."""
    return _job("stills", config)


def _job(command: str, composed: DictConfig) -> float:
    from hydra.core.hydra_config import HydraConfig

    from pokora_anime.cli.judge import key
    from pokora_anime.jobs.render_job import note, render
    from pokora_anime.quality import quality_gate

    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.sweep.dir)
    overrides = [str(one) for one in hydra_config.overrides.task]
    result: dict[str, Any] = {
        "number": int(hydra_config.job.num),
        "command": command,
        "overrides": overrides,
        "words": _words(composed, overrides),
        "prompt": str(composed.shot.prompt),
    }
    if again := re.fullmatch(rf"{_FINAL}(\d+)", str(hydra_config.job.name)):
        result |= {"number": int(again[1]), "part": "final"}
    started = time.monotonic()
    label = _side_by_side(hydra_config)
    try:
        # A sweep lies in ROOT/sweep/NAME, its runs in ROOT/sweep/NAME/COMMAND/NAME.
        config = typed(command, composed, overrides)
        renderer = worker(folder)
        renderer.label = label
        with labelled(label):
            note(config)
            rendered = _in_turn(lambda: render(config, folder.parent.parent, "auto", renderer))
            key.sign(rendered)
        result["path"] = str(rendered)
        quality_gate.require(config, rendered)
    except Interrupted as error:
        raise KeyboardInterrupt from error  # else Hydra would go on with the next job
    except Exception as error:
        result["error"] = _line(error)
        with suppress(MachineError):  # the job's error comes first
            write_result(folder, result, started)
        raise
    return write_result(folder, result, started)


def _words(composed: DictConfig, overrides: Sequence[str]) -> list[str]:
    """A job's overrides as one types them for one run: prompts without Hydra's quotes."""
    from omegaconf import OmegaConf

    found: list[str] = []
    for word in overrides:
        key = word.lstrip("+").partition("=")[0]
        found.append(f"{key}={OmegaConf.select(composed, key)}" if key in prompt_keys() else word.lstrip("+"))
    return found


def _side_by_side(hydra_config: HydraConf) -> str:
    """A job's number and what sets it apart; empty where the launcher runs one job after the other."""
    launcher = hydra_config.launcher
    if launcher["_target_"].endswith(".BasicLauncher") or launcher.get("n_jobs") == 1:
        return ""
    apart = str(hydra_config.job.override_dirname)
    apart = apart if len(apart) <= _LABEL else f"{apart[: _LABEL - 3]}..."
    return " ".join(["job", str(hydra_config.job.num), apart]).strip()


def _in_turn(attempt: Callable[[], Path]) -> Path:
    """A job's run folder, after an equal job beside it: it renders, this one is answered from its folder.

    Runs of a sweep lie below the sweep's own folder, so that nobody else holds their locks.
    """
    while True:
        try:
            return attempt()
        except MachineError as error:
            if error.code != "SYS-LOCK":
                raise
        time.sleep(_LOOK_AGAIN)


@cache
def worker(folder: Path) -> Worker:
    """What renders this sweep's jobs in this process; a launcher may run several of them here."""
    from pokora_anime.render.worker.parent import Worker

    return Worker(folder)


def _line(error: Exception) -> str:
    line = error.line() if isinstance(error, PokoraError) else f"{type(error).__name__}: {error}"
    return " ".join(line.split())


def write_result(folder: Path, result: dict[str, Any], started: float) -> float:
    """Put a job's result where the report finds it; returns the job's seconds. Raises MachineError."""
    seconds = time.monotonic() - started
    result["seconds"] = round(seconds, 1)
    with writing(folder):
        text = json.dumps(result, ensure_ascii=False)
        write_atomic(folder / f"job-{result['number']:03}.json", text.encode())
    gallery_files.refresh_sweep(folder)
    print(f"{len([*folder.glob(gallery_runs.JOBS)])} jobs done", file=sys.stderr, flush=True)
    return seconds


def _clear(folder: Path) -> None:
    """An empty sweep folder: results of an earlier start of the same sweep would be counted twice."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(gallery_runs.JOBS):
            old.unlink()
    except OSError as error:
        raise MachineError(
            "SYS-WRITE", f"cannot write {folder} ({error.strerror})", fix="--out DIR"
        ) from error


@contextmanager
def _command_line(words: list[str]) -> Generator[None, None, None]:
    """Hydra reads sys.argv and prints its own tracebacks unless told to raise."""
    before, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = words, "1"
    try:
        yield
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def results(folder: Path) -> list[dict[str, Any]]:
    """What the jobs of a sweep wrote of themselves so far."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(gallery_runs.JOBS))]


def report(folder: Path, command: str, wishes: Wishes) -> int:
    """Tell of a sweep's jobs, and write its sheet and its gallery; 1 if one failed."""
    found = results(folder)
    for result in found:
        result["label"] = _label(result["overrides"], [other["overrides"] for other in found])
    failed = [result for result in found if "error" in result]
    for result in found:
        outcome = f"failed: {result['error']}" if "error" in result else result["path"]
        part = f"{result['part']} " if "part" in result else ""
        print(f"{part}{result['label']}: {outcome}")
    done = [result for result in found if "path" in result]
    if done:
        _write_sheet(folder, command, done)
    print(f"gallery: {gallery_files.write_sweep(folder)}", file=sys.stderr)
    if failed:
        print(f"pokora: {len(failed)} of {len(found)} renders failed", file=sys.stderr)
    print(folder)
    if wishes.show:
        _open(folder)
    return 1 if failed or not found else 0


def _write_sheet(folder: Path, command: str, done: Sequence[dict[str, Any]]) -> None:
    """sheet.png: one row a run, its frames from first to last, labelled with its overrides."""
    from PIL import Image as Picture

    from pokora_anime.quality.contact_sheet import contact_sheet

    frames: list[Image] = []
    labels: list[str] = []
    columns = 1
    for result in done:
        found = (
            _clip_frames(Path(result["path"])) if command == "video" else _still_frames(Path(result["path"]))
        )
        columns = max(columns, len(found))
        frames += found
        labels += [result["label"], *[""] * (len(found) - 1)]
    sheet = Picture.fromarray(contact_sheet(frames, columns, labels))
    with writing(folder):
        sheet.save(folder / "sheet.png")


def _clip_frames(run_folder: Path) -> list[Image]:
    import imageio_ffmpeg
    import numpy as np

    path = str(run_folder / "video.mp4")
    total = cast(Any, imageio_ffmpeg).count_frames_and_secs(path)[0] or 1
    wanted = {round(index * (total - 1) / (_FRAMES_A_RUN - 1)) for index in range(_FRAMES_A_RUN)}
    reader = cast(Any, imageio_ffmpeg).read_frames(path)  # the metadata first, then bytes of each frame
    width, height = next(reader)["size"]
    frames = [data for index, data in enumerate(reader) if index in wanted]
    return [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in frames]


def _still_frames(run_folder: Path) -> list[Image]:
    import numpy as np
    from PIL import Image as Picture

    paths = sorted(run_folder.glob("still*.png")) or sorted(run_folder.glob("*.png"))
    return [np.asarray(Picture.open(path).convert("RGB")) for path in paths]


def _label(overrides: list[str], all_overrides: list[list[str]]) -> str:
    """What sets one job apart from the others, keys without their section."""
    apart = [one for one in overrides if not all(one in other for other in all_overrides)]
    return " ".join(re.sub(r"^\w+\.(?=\w+=)", "", one) for one in apart or overrides)
