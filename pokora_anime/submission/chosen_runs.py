"""The runs of a submission: found, verified by the contest's limits, and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import cast

from pokora_anime.errors import PokoraError, RecordError
from pokora_anime.history import favourites
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.run_reading import Reading, read_run
from pokora_anime.rules import closed_config
from pokora_anime.schema.settings import RunConfig
from pokora_anime.submission import file_names
from pokora_anime.submission.project import Project
from pokora_anime.verify.examine_run import examine_and_show
from pokora_anime.verify.report_data import Exhibits
from pokora_anime.verify.verdict import Report

OUTPUTS = Path("outputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A chosen run: its record, its typed config and what verification says of it."""

    folder: Path
    reading: Reading
    config: RunConfig
    report: Report
    exhibits: Exhibits

    @property
    def name(self) -> str:
        """Its place in the bundle below runs/."""
        return f"{self.reading.command}/{self.folder.name}"

    @property
    def delivered(self) -> tuple[str, ...]:
        """The files that the run was made for."""
        if self.reading.command == "video":
            return (run_layout.VIDEO,)
        told = cast(list[Json], self.reading.summary.get("stills") or [])
        return tuple(str(name) for name in told)

    @property
    def files(self) -> tuple[str, ...]:
        """What goes into the bundle: the sealed part, the signature, the scorecard's numbers if it has any.

        Not its page, which shows pictures that nobody could compare with anything.
        """
        outside = [run_layout.RECORD, run_layout.LEDGER, run_layout.STATEMENT]
        outside += [file_names.SCORECARD]
        present = [name for name in outside if (self.folder / name).is_file()]
        return tuple(sorted({*present, *self.reading.files}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The runs of a submission; the video is None where there is none yet."""

    video: Run | None
    stills: tuple[Run, ...]
    why: Mapping[str, str] = field(default_factory=dict[str, str])  # by command

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of them, the video first."""
        return (*((self.video,) if self.video else ()), *self.stills)

    def told(self, root: Path, command: str) -> str:
        """The chosen folders of a command, as the project may name them, and why those; empty for none."""
        runs = [run for run in self.runs if run.reading.command == command]
        folders = ", ".join(_below(root, run.folder) for run in runs)
        why = self.why.get(command, "")
        return f"{folders} ({why})" if folders and why else folders

    @property
    def apart(self) -> str:
        """A sentence where clip and stills do not come from the same words, seed and base; else empty."""
        if self.video is None:
            return ""
        clip, stills = self.video.config, [run.config for run in self.stills]
        names = [name for name, of in _DIFFERING.items() if any(of(one) != of(clip) for one in stills)]
        if not names:
            return ""
        differ = "differs" if names in (["seed"], ["base"]) else "differ"
        return (
            f"The stills are runs of their own: their {' and '.join(names)} {differ} from the clip's, "
            "so their character may too."
        )

    @property
    def pictures(self) -> list[Path]:
        """The stills' files, in order."""
        return [run.folder / name for run in self.stills for name in run.delivered]


_DIFFERING: dict[str, Callable[[RunConfig], object]] = {
    "words": lambda config: config.shot.prompt,
    "seed": lambda config: config.seed,
    "base": lambda config: config.base.family,
}


def choose(root: Path, project: Project) -> Choice:
    """The named runs, or the first favourites, or the newest finished ones where none is either.

    Raises RecordError SUB-RUN for a named run that cannot be used at all.
    """
    named = {"video": [project.video] if project.video else [], "stills": [*project.stills]}
    known = {command: [] if named[command] else finished(root, command) for command in named}
    liked = {command: _liked(root, known[command]) for command in named}
    video, stills = (named[command] or liked[command][:1] or known[command][:1] for command in named)
    why = {
        command: _why(command, known[command], liked[command], named=bool(named[command]))
        for command in named
    }
    clips = [open_run(root, name, "video", project.contest) for name in video]
    pictures = [open_run(root, name, "stills", project.contest) for name in dict.fromkeys(stills)]
    return Choice(video=clips[0] if clips else None, stills=tuple(pictures), why=why)


def _liked(root: Path, known: Sequence[str]) -> list[str]:
    """The favourites among finished runs, the first choice first."""
    liked = [(OUTPUTS / name).as_posix() for name in favourites.runs(root / OUTPUTS)]
    return [name for name in liked if name in known]


def _why(command: str, known: Sequence[str], liked: Sequence[str], *, named: bool) -> str:
    if named:
        return f"named under {command}: in the project"
    which = "the only finished one" if len(known) == 1 else f"the newest of {len(known)} finished ones"
    if liked:
        which = "the only favourite" if len(liked) == 1 else f"the last of {len(liked)} favourites"
    return f"{which}; {command}: in the project names another"


def _below(root: Path, folder: Path) -> str:
    try:
        return folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return str(folder)


def _found(root: Path, name: str, command: str) -> Path:
    """The folder that a name means: a path, a path below outputs/, or the run's own name, or a file of it."""
    wanted = root / name
    if wanted.is_file():
        wanted = wanted.parent
    if (wanted / run_layout.RECORD).is_file():
        return wanted
    plain = PurePosixPath(name)
    ways = [root / OUTPUTS / plain, root / OUTPUTS / command / plain]
    ways += [
        folder for folder in _folders(root, command) if folder.name == plain.name and len(plain.parts) < 3
    ]
    return next((folder for folder in ways if (folder / run_layout.RECORD).is_file()), wanted)


def finished(root: Path, command: str) -> list[str]:
    """Names of the finished runs of a command, the newest first; sweeps included."""
    found: list[tuple[float, str]] = []
    for folder in _folders(root, command):
        try:
            changed = (folder / run_layout.RECORD).stat().st_mtime
            if read_run(folder).command == command:
                found.append((changed, folder.relative_to(root).as_posix()))
        except (OSError, PokoraError):
            continue
    return [name for _, name in sorted(found, reverse=True)]


def open_run(root: Path, name: str, command: str, contest: str) -> Run:
    """One run, verified. Raises RecordError SUB-RUN for none that is finished and of this kind."""
    folder = _found(root, name, command)
    try:
        reading = read_run(folder)
        config, _ = closed_config.read(reading.command, reading.config)
    except (PokoraError, OSError) as error:
        reason = error.got if isinstance(error, PokoraError) else str(error.strerror).lower()
        raise _unusable(root, name, command, reason) from error
    if reading.command != command or config is None:
        raise _unusable(root, name, command, f"a run of `pokora {reading.command}`")
    report, exhibits = examine_and_show(folder, contest=contest)
    return Run(folder=folder, reading=reading, config=config, report=report, exhibits=exhibits)


def _folders(root: Path, command: str) -> Iterable[Path]:
    outputs = root / OUTPUTS
    patterns: Sequence[str] = (f"{command}/*", f"sweep/*/{command}/*")
    return (path for pattern in patterns for path in outputs.glob(pattern) if path.is_dir())


def _unusable(root: Path, name: str, command: str, reason: str) -> RecordError:
    others = finished(root, command)[:3]
    return RecordError(
        "SUB-RUN",
        f"{name}: {reason}",
        expected=f"the folder of a finished `pokora {command}` run",
        fix=f"one of {', '.join(others)}" if others else f"`pokora {command}`, then the same command again",
    )
