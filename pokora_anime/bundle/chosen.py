"""The runs of a submission: found, verified by the contest's limits, and read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pokora_anime.bundle import names
from pokora_anime.bundle.project import Project
from pokora_anime.compliance.rules import closed
from pokora_anime.compliance.verify.examine import examine_and_show
from pokora_anime.compliance.verify.exhibits import Exhibits
from pokora_anime.compliance.verify.verdict import Report
from pokora_anime.config.schema import RunConfig
from pokora_anime.errors import PokoraError, RecordError
from pokora_anime.provenance import layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.reading import Reading, read_run

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
            return (layout.VIDEO,)
        told = cast(list[Json], self.reading.summary.get("stills") or [])
        return tuple(str(name) for name in told)

    @property
    def files(self) -> tuple[str, ...]:
        """What goes into the bundle: the sealed part, the signature, the scorecard's numbers if it has any.

        Not its page, which shows pictures that nobody could compare with anything.
        """
        outside = [layout.RECORD, layout.LEDGER, layout.STATEMENT]
        outside += [names.SCORECARD]
        present = [name for name in outside if (self.folder / name).is_file()]
        return tuple(sorted({*present, *self.reading.files}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The runs of a submission; the video is None where there is none yet."""

    video: Run | None
    stills: tuple[Run, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of them, the video first."""
        return (*((self.video,) if self.video else ()), *self.stills)

    @property
    def pictures(self) -> list[Path]:
        """The stills' files, in order."""
        return [run.folder / name for run in self.stills for name in run.delivered]


def choose(root: Path, project: Project) -> Choice:
    """The named runs, or the newest finished ones where none is named.

    Raises RecordError SUB-RUN for a named run that cannot be used at all.
    """
    video = [project.video] if project.video else newest(root, "video")
    stills = [*project.stills] or newest(root, "stills")
    clips = [open_run(root, name, "video", project.contest) for name in video]
    pictures = [open_run(root, name, "stills", project.contest) for name in dict.fromkeys(stills)]
    return Choice(video=clips[0] if clips else None, stills=tuple(pictures))


def newest(root: Path, command: str) -> list[str]:
    """The last finished run of a command, as a list of none or one."""
    return finished(root, command)[:1]


def finished(root: Path, command: str) -> list[str]:
    """Names of the finished runs of a command, the newest first; sweeps included."""
    found: list[tuple[float, str]] = []
    for folder in _folders(root, command):
        try:
            changed = (folder / layout.RECORD).stat().st_mtime
            if read_run(folder).command == command:
                found.append((changed, folder.relative_to(root).as_posix()))
        except (OSError, PokoraError):
            continue
    return [name for _, name in sorted(found, reverse=True)]


def open_run(root: Path, name: str, command: str, contest: str) -> Run:
    """One run, verified. Raises RecordError SUB-RUN for none that is finished and of this kind."""
    folder = root / name
    try:
        reading = read_run(folder)
        config, _ = closed.read(reading.command, reading.config)
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
