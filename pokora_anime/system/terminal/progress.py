"""The live display of a run on a terminal, plain lines elsewhere; what it tells also goes into the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pokora_anime.system.terminal.interrupts import Interrupts
from pokora_anime.system.terminal.library_remarks import Remarks

PLAIN_SECONDS = 2.0  # between two plain lines of one stage
LOADING_SECONDS = 1.0  # of loading before anything is said about it
AGREEING = 1.25  # times that a forecast may be off by before it is corrected aloud
WATCHED_SECONDS = 0.2  # between two reports to a watcher, unless a stage begins or ends
KEPT = "kept"  # how the detail of a step ends that was read from the run folder, not computed


Report = dict[str, object]
_watchers: list[Callable[[Report], None]] = []


@contextmanager
def watched(watcher: Callable[[Report], None]) -> Generator[None]:
    """Within the block each display of this process reports to `watcher` as well, from any of its threads.

    A report holds `stage`, `done`, `total`, `detail`, `left_seconds` and `stages` (each one's name, done and
    total), or `note` with a line that stays.
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def is_watched() -> bool:
    """Whether somebody looks on while this process renders."""
    return bool(_watchers)


@dataclass(slots=True)
class _Stage:
    """One stage as the display has seen it; times are seconds on the monotonic clock."""

    name: str
    total: int
    detail: str
    begun: float
    latest: float  # when it began or last stepped
    done: int = 0
    kept: int = 0
    warm: bool = False  # whether a step was computed before
    measured_steps: int = 0
    measured_seconds: float = 0.0
    printed: float = 0.0
    closed: bool = False

    def count(self, detail: str, now: float) -> None:
        """One step. Neither the first computed one (it loads, compiles) nor kept ones say what one takes."""
        computed = not detail.endswith(KEPT)
        if computed and self.warm:
            self.measured_steps += 1
            self.measured_seconds += now - self.latest
        self.warm = self.warm or computed
        self.kept += not computed
        self.done += 1
        self.latest = now
        self.detail = detail or self.detail

    @property
    def finished(self) -> bool:
        return bool(self.total) and self.done >= self.total

    @property
    def left_seconds(self) -> float | None:
        """Estimated from the measured steps; None while there are none."""
        if self.finished:
            return 0.0
        if not (self.total and self.measured_steps):
            return None
        return (self.total - self.done) * self.measured_seconds / self.measured_steps


class Display:
    """Implements context.Progress. Inside its `with` block Ctrl-C makes the next `step` raise Interrupted.

    Each thread has its own current stage: finish and encode work beside the denoising. Methods may be
    called from any thread. `quiet` shows nothing, but the log is still written.
    """

    def __init__(
        self, log: Path | None = None, *, quiet: bool = False, console: Console | None = None
    ) -> None:
        self._log, self._quiet = log, quiet
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._lock = threading.RLock()
        self._begun = time.monotonic()
        self._stages: dict[str, _Stage] = {}  # the latest of each name
        self._current: dict[int, _Stage] = {}  # by thread
        self._planned: dict[str, int] = {}
        self._busy: dict[str, float] = {}  # what is being loaded, and since when it is shown
        self._expected: float | None = None  # seconds of the whole run, as forecast
        self._corrected: float | None = None  # and as the first measured steps say
        self._after = 0.0  # what frames take once they are denoised, as a share of that
        self._reported = 0.0  # when a watcher was told last
        self._interrupts = Interrupts()
        self._remarks = Remarks(self._remark)

    def stage(self, name: str, total: int = 0, detail: str = "") -> None:
        """A stage of this thread begins; `total` is its number of steps (0: unknown).

        Told again before it is finished, it goes on.
        """
        thread, now = threading.get_ident(), time.monotonic()
        with self._lock:
            before, stage = self._current.get(thread), self._stages.get(name)
            if stage is None or stage.finished or stage.closed:
                stage = _Stage(name, 0, "", now, now)
            if before is not None and before is not stage:
                self._close(before)
            stage.total = max(stage.total, total or self._planned.get(name, 0))
            stage.detail = detail
            self._stages[name] = self._current[thread] = stage
            self._show(stage, always=True)
            self._record(self._line(stage, timed=False))

    def step(self, detail: str = "") -> None:
        """One step of this thread's stage is done. Raises Interrupted (INT-STOP) once Ctrl-C was pressed."""
        self._interrupts.check()
        with self._lock:
            stage = self._current.get(threading.get_ident())
            if stage is None:
                return
            stage.count(detail, time.monotonic())
            correction = self._correct()
            self._show(stage, always=stage.finished)
            if stage.finished:
                self._close(stage)
        if correction:
            self.note(correction)

    def note(self, message: str) -> None:
        """A line that stays visible and goes into the log."""
        with self._lock:
            self._record(message)
        for watcher in _watchers:
            watcher({"note": message})
        # Outside the lock: the live display's thread takes its own lock first and ours second.
        if not self._quiet:
            self._print(message)

    @contextmanager
    def loading(self, what: str) -> Generator[None]:
        """Within the block `what` is read into memory; more than a moment of it is shown."""
        begun = time.monotonic()
        shown = threading.Timer(LOADING_SECONDS, self._loads, (what,))
        shown.daemon = True
        shown.start()
        try:
            yield
        finally:
            shown.cancel()
            with self._lock:
                self._busy.pop(what, None)
                self._record(f"{what} loaded: {time.monotonic() - begun:.1f} s")

    def _loads(self, what: str) -> None:
        with self._lock:
            self._busy[what] = time.monotonic()
        for watcher in _watchers:
            watcher({"note": f"loading {what}"})
        if self._live is None and not self._quiet:
            self._print(f"loading {what}")

    def plan(self, steps: Mapping[str, int]) -> None:
        """The stages to come and their steps: no time left is told before every one of them can be judged."""
        with self._lock:
            self._planned.update(steps)

    def expect(self, seconds: float, *, after: float = 0.0) -> None:
        """The forecast of the whole run, corrected once steps are measured.

        `after` is what frames take once they are denoised, as a share of the denoising's own time.
        """
        with self._lock:
            self._expected, self._after = seconds, after

    def timings(self) -> dict[str, float | None]:
        """Seconds of the whole run: as forecast, as the first measured steps say, and as taken so far."""
        with self._lock:
            taken = time.monotonic() - self._begun
            found = {"forecast": self._expected, "corrected": self._corrected, "taken": taken}
        return {name: None if seconds is None else round(seconds, 1) for name, seconds in found.items()}

    @property
    def left_seconds(self) -> float | None:
        """Time left, from measured step times; None before it is known.

        Stages overlap (encode beside motion), so the slowest one under way counts. What is measured late
        in a stage holds what the frames before took beside it.
        """
        with self._lock:
            if self._planned.keys() - self._stages.keys() - {"encode"}:
                return None
            under_way = [
                left * (1.0 + self._after * (1.0 - stage.done / stage.total))
                for stage in self._stages.values()
                if not stage.closed and (left := stage.left_seconds) is not None
            ]
        return max(under_way) if under_way else None

    def _correct(self) -> str:
        """The line that corrects the forecast, once, at the first measured step of the last planned stage."""
        left = self.left_seconds
        if self._expected is None or self._corrected is not None or not left:
            return ""  # also after the last step, when there is nothing left to forecast
        self._corrected = total = time.monotonic() - self._begun + left
        resumed = any(stage.kept for stage in self._stages.values())
        apart = max(total / self._expected, self._expected / total)
        if resumed or apart < AGREEING:
            return ""
        return f"about {_clock(total)} in all by the first measured steps, not {_clock(self._expected)}"

    def __enter__(self) -> Self:
        self._interrupts.install()
        self._remarks.install()
        if self._console.is_terminal and not self._quiet:
            self._live = Live(
                get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interrupts.restore()
        self._remarks.restore()
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        with self._lock:
            for stage in self._current.values():
                self._close(stage)
            how = "ended" if error is None else f"stopped by {type(error).__name__}: {error}"
            times = self.timings().items()
            told = [f"{name} {_clock(seconds)}" for name, seconds in times if seconds is not None]
            self._record(f"{how}, {', '.join(told)}" if self._expected else f"{how}, {told[-1]}")

    def _remark(self, text: str) -> None:
        with self._lock:
            self._record(text)

    def _close(self, stage: _Stage) -> None:
        if not stage.closed:
            stage.closed = True
            steps = f"{stage.done} steps, " if stage.done else ""
            self._record(f"{stage.name} over: {steps}{time.monotonic() - stage.begun:.1f} s")

    def _show(self, stage: _Stage, *, always: bool) -> None:
        """A plain line, unless the live display shows it or there was one a moment ago."""
        self._report(stage, always=always)
        if self._live is not None or self._quiet:
            return
        now = time.monotonic()
        if always or now - stage.printed >= PLAIN_SECONDS:
            stage.printed = now
            self._print(self._line(stage))

    def _report(self, stage: _Stage, *, always: bool) -> None:
        """Tell the watchers where the run is."""
        now = time.monotonic()
        if not _watchers or not (always or now - self._reported >= WATCHED_SECONDS):
            return
        self._reported = now
        left = self.left_seconds
        report: Report = {
            "stage": stage.name,
            "done": stage.done,
            "total": stage.total,
            "detail": stage.detail,
            "left_seconds": None if left is None else round(left, 1),
            "stages": [
                {"name": one.name, "done": one.done, "total": one.total or self._planned.get(one.name, 0)}
                for one in self._stages.values()
            ],
        }
        for watcher in _watchers:
            watcher(report)

    def _line(self, stage: _Stage, *, timed: bool = True) -> str:
        count = f" {stage.done}/{stage.total}" if stage.total else ""
        detail = f" ({stage.detail})" if stage.detail else ""
        left = self.left_seconds if timed else None
        return f"{stage.name}{count}{detail}" + (f", about {_clock(left)} left" if left else "")

    def _print(self, message: str) -> None:
        stamp = "" if self._live is not None else f"[{_clock(time.monotonic() - self._begun)}] "
        self._console.print(Text(stamp + message), soft_wrap=True)

    def _picture(self) -> RenderableType:
        with self._lock:
            rows = Table.grid(padding=(0, 1))
            for stage in self._current.values():
                total = stage.total or None
                bar = ProgressBar(total=total, completed=stage.done, width=24, pulse=total is None)
                rows.add_row(stage.name, bar, f"{stage.done}/{total}" if total else "", stage.detail)
            for what, since in self._busy.items():
                bar = ProgressBar(total=None, width=24, pulse=True)
                rows.add_row("loading", bar, _clock(time.monotonic() - since), what)
            left = self.left_seconds
            line = f"{_clock(time.monotonic() - self._begun)} elapsed"
            line += f", about {_clock(left)} left" if left else ""
            return Group(rows, Text(line + (", stopping" if self._interrupts.pressed else "")))

    def _record(self, message: str) -> None:
        """A line of the log; a log that cannot be written must not stop a run that can."""
        if self._log is None:
            return
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a", encoding="utf-8") as handle:
                handle.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
        except OSError:
            self._log = None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
