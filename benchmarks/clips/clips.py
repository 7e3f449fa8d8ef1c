"""`pokora bench clips`: chaining strategies on the same prompts; it goes on where it was stopped."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clips.clips_arms import CONTROLS, OFF, composed
from benchmarks.nano.nano import SHIPPED
from pokora_anime.cli.bench.video_bench import describe_machine
from pokora_anime.cli.parser import OneLineParser, whole
from pokora_anime.errors import ConfigError
from pokora_anime.schema.config_groups import options
from pokora_anime.system.processor_cores import usable_cores

if TYPE_CHECKING:
    from benchmarks.clips.clips_measure import Made
    from benchmarks.clips.clips_table import Figures
    from benchmarks.nano.nano_rows import Row, Rows
    from benchmarks.nano.nano_studio import Studio

LONG = ("default", "last_latent")  # what the minute-long clips compare
FULL, LONG_CLIPS, QUICK = 30, 8, 3
SHOWN = 4  # clips of each strategy on the contact sheets of joins
SHEETS = "joins"


@dataclass(frozen=True, slots=True)
class Task:
    """One strategy at one length: `count` prompts."""

    strategy: str
    seconds: float
    count: int

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.strategy}, {self.seconds:g} s"


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write JSON, Markdown and contact sheets; returns the exit status."""
    asked = parser().parse_args(list(arguments))
    if asked.rows is not None:
        print(_table_of(asked.rows, tasks(asked), asked.set))
        return 0
    bench = Bench.open(asked.work, asked.threads, asked.set)
    for task in tasks(asked):
        bench.measure(task)
    _deliver(bench, tasks(asked), asked.out)
    return 0


def tasks(asked: argparse.Namespace) -> list[Task]:
    """What the options ask for; of strategies with the same settings only the first."""
    count = asked.prompts or (QUICK if asked.quick else FULL)
    seconds = asked.seconds or (4.0 if asked.quick else 8.0)
    names = _different(asked.strategies, asked.set)
    found = [Task(strategy, seconds, count) for strategy in names]
    if not (asked.quick or asked.seconds):
        found += [Task(name, 60.0, min(LONG_CLIPS, count)) for name in LONG if name in names]
    return found


def _different(names: Sequence[str], more: Sequence[str]) -> list[str]:

    found = {name: composed(name, 8.0, more) for name in names}
    seen = [*found.values()]
    return [name for index, name in enumerate(found) if seen[index] not in seen[:index]]


@dataclass(frozen=True, slots=True)
class Bench:
    """The networks, the judge, and the rows measured so far."""

    studio: Studio
    folder: Path
    rows: Rows
    more: tuple[str, ...]

    @classmethod
    def open(cls, work: Path, threads: int, more: Sequence[str]) -> Bench:
        """Rows are kept by the weights and the code that they depend on."""
        from benchmarks.nano import nano_rows
        from benchmarks.nano.nano_studio import Studio

        folder = work / _key()
        return cls(Studio(SHIPPED, threads), folder, nano_rows.Rows(folder / "rows.jsonl"), tuple(more))

    def section(self, task: Task) -> str:
        """The name of a task's rows."""
        return _section(task, self.more)

    def measure(self, task: Task) -> None:
        """The task's missing rows; each is on the disk as soon as it is measured."""
        from benchmarks.clips.clips_measure import measured, render
        from benchmarks.clips.clips_prompts import asked

        section, probe = self.section(task), self.studio.probe()
        config = composed(task.strategy, task.seconds, self.more)
        config.device.threads = self.studio.machine.threads
        for index in self.rows.missing(section, task.count):
            made = render(self.studio, config, asked(index))
            self.rows.add(section, index, measured(self.studio, probe, asked(index), made))
            if index < SHOWN and made.joins:
                self._show(section, index, made)
            print(f"clips: {task.name} {index + 1}/{task.count}  {made.seconds:.1f} s", flush=True)
            del made  # or the next clip's memory would count this one's frames

    def found(self, task: Task) -> list[Row]:
        """The task's rows."""
        return self.rows.of(self.section(task), task.count)

    def strips(self, task: Task) -> list[Path]:
        """The pictures of the joins of the first clips."""
        paths = [self._strip(self.section(task), index) for index in range(min(SHOWN, task.count))]
        return [path for path in paths if path.exists()]

    def _show(self, section: str, index: int, made: Made) -> None:
        from PIL import Image

        from benchmarks.clips.clips_measure import joins_strip

        path = self._strip(section, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(joins_strip(made)).save(path)

    def _strip(self, section: str, index: int) -> Path:
        return self.folder / SHEETS / f"{section}-{index}.png"


def _section(task: Task, more: Sequence[str]) -> str:
    """The name of a task's rows: its settings as they are now."""
    from pokora_anime.schema.run_identity import to_plain

    plain = json.dumps(to_plain(composed(task.strategy, task.seconds, more)), sort_keys=True)
    return f"{task.strategy}-{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def _key() -> str:
    """What rows depend on: as the nano bench's, and this bench and the scorecard."""
    from benchmarks.nano import nano_rows

    digest = hashlib.sha256(nano_rows.key(SHIPPED).encode())
    for pattern in (
        *("benchmarks/clips/clips_measure.py", "benchmarks/clips/clips_prompts.py"),
        *("benchmarks/nano/constancy.py", "pokora_anime/quality/**/*.py"),
    ):
        for path in sorted(nano_rows.ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _figures(asked: Sequence[Task], rows_of: Callable[[Task], list[Row]]) -> dict[str, Figures]:
    """The figures of the tasks that have rows."""
    from benchmarks.clips.clips_table import figures

    off = {task.seconds: rows_of(task) for task in asked if task.strategy == OFF}
    return {task.name: figures(rows, off.get(task.seconds, ())) for task in asked if (rows := rows_of(task))}


def _table_of(path: Path, asked: Sequence[Task], more: Sequence[str]) -> str:
    """The table of rows that were measured elsewhere. Raises ConfigError CFG-ROWS."""
    from benchmarks.clips.clips_table import table
    from benchmarks.nano import nano_rows

    if not path.is_file():
        raise ConfigError("CFG-ROWS", f"no file {path}", expected="the rows.jsonl of a `pokora bench clips`")
    rows = nano_rows.Rows(path)
    found = _figures(asked, lambda task: rows.of(_section(task, more), task.count))
    if not found:
        expected, fix = "rows of today's settings", "measure them: `pokora bench clips`"
        raise ConfigError("CFG-ROWS", f"{path} has none of these strategies", expected=expected, fix=fix)
    return table(found)


def _deliver(bench: Bench, asked: Sequence[Task], out: Path) -> None:
    from benchmarks.clips.clips_table import table

    found = _figures(asked, bench.found)
    out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    result = {
        "bench": "clips",
        "machine": machine,
        "threads": bench.studio.machine.threads,
        "settings": list(bench.more),
        "strategies": found,
    }
    (out / "clips.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = table(found)
    about = f"Measured on {machine}, {bench.studio.machine.threads} threads."
    (out / "clips.md").write_text(f"{text}\n\n{about}\n", encoding="utf-8")
    sheets = [_sheet(bench, task, out) for task in asked]
    print(text)
    print(f"-> {out / 'clips.json'}, {sum(sheets)} contact sheets of joins")


def _sheet(bench: Bench, task: Task, out: Path) -> bool:
    """Puts a task's strips under each other; whether there were any."""
    import numpy as np
    from PIL import Image

    strips = [np.asarray(Image.open(path)) for path in bench.strips(task)]
    if strips:
        name = f"{SHEETS}-{task.strategy}-{task.seconds:g}s.png"
        Image.fromarray(np.concatenate(strips)).save(out / name)
    return bool(strips)


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    others = (name for name in options("motion") if name != "default")
    known = ("default", *CONTROLS, *others)
    found = OneLineParser(prog="pokora bench clips", description=__doc__)
    found.add_argument("--strategies", nargs="+", choices=known, default=known, help="only these")
    found.add_argument("--prompts", type=whole(1), help=f"prompts of each (default {FULL}; quick: {QUICK})")
    found.add_argument("--seconds", type=float, help="only clips of this length (default 8 and 60)")
    found.add_argument("--quick", action="store_true", help="a few prompts, 4 s, no long clips")
    found.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings for all clips")
    found.add_argument("--threads", type=whole(1), default=usable_cores())
    found.add_argument("--rows", type=Path, metavar="FILE", help="measure nothing: the table of these rows")
    found.add_argument("--work", type=Path, default=Path("outputs/bench/clips"), help="folder of the rows")
    found.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder of the results")
    return found
