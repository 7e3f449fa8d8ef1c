"""How far a download is: bytes of all files together, speed, time left. Torch-free."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, cast

from pokora_anime.system.files.user_folder import amount

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from tqdm.auto import tqdm

PLAIN_SECONDS = 5.0  # between two lines where there is no terminal


class Meter:
    """Counts towards `total` bytes while it is entered; a live line on a terminal, else plain lines.

    `about` says of what; a `quiet` one only counts.
    """

    def __init__(
        self, total: int, console: Console | None = None, *, about: str = "", quiet: bool = False
    ) -> None:
        from rich.console import Console  # here, because a table of weights is read without a meter

        self.total, self.done = total, 0
        self._about, self._quiet = about, quiet
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._begun = self._printed = 0.0
        self._fresh = 0  # bytes that came in this process

    def __enter__(self) -> Self:
        self._begun = self._printed = time.monotonic()
        if self._quiet:
            return self
        if self._console.is_terminal:
            from rich import progress

            self._live = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=24),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._live.start()
            self._task = self._live.add_task(self._about, total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._fresh and not self._quiet:
            self._print()

    def file(self, name: str, already: int) -> None:
        """The next file; `already` bytes of it came in an earlier process and are not part of the total."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=name.rsplit("/", 1)[-1][:40])
        elif already:
            self._console.print(f"{name}: going on after {amount(already)}", soft_wrap=True)

    def add(self, count: int) -> None:
        """`count` more bytes are here; negative if a server made us start a file again."""
        self.done += count
        self._fresh += count
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=self.done)
        elif not self._quiet and time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._print()

    def line(self) -> str:
        """Done, total, speed and time left, in words."""
        seconds = time.monotonic() - self._begun
        speed = self._fresh / seconds if seconds > 0 else 0.0
        left = f", about {clock((self.total - self.done) / speed)} left" if speed > 0 else ""
        about = f"{self._about}: " if self._about else ""
        return f"{about}{amount(self.done)} of {amount(self.total)}, {amount(round(speed))}/s{left}"

    def bar(self) -> type[tqdm[NoReturn]]:
        """What the hub's client makes one of for each file: it looks like tqdm and counts here."""
        meter = self

        class Bar:
            def __init__(self, *_: object, **__: object) -> None:
                pass

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def update(self, count: float | None = 1) -> None:
                meter.add(int(count or 0))

        return cast("type[tqdm[NoReturn]]", Bar)

    def _print(self) -> None:
        self._printed = time.monotonic()
        self._console.print(self.line(), soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
