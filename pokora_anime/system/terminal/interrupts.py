"""Ctrl-C as a request: what runs ends at its next step, soon at the latest, and at once if asked twice."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from pokora_anime.errors import Interrupted

# A step under way may still finish; a longer one is broken off, so that the run ends within 2 s.
GRACE_SECONDS = 1.0
# A process that renders for us and has not ended by then is killed: what is finished is on the disk.
KILL_SECONDS = 1.8


class Interrupts:
    """Installed in the main thread, `check` raises Interrupted once Ctrl-C was pressed.

    If the main thread has not come to a `check` within GRACE_SECONDS, KeyboardInterrupt is raised
    wherever it is. A second Ctrl-C ends the process by the signal itself.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._overdue = False
        self._installed = False
        self._previous: object = None
        self._timer: threading.Timer | None = None

    def install(self) -> None:
        """Takes over SIGINT. Elsewhere than in the main thread it cannot, and Ctrl-C stays as it is."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._installed = True

    def restore(self) -> None:
        """Gives SIGINT back to whoever had it."""
        self._cancel()
        if self._installed:
            previous = self._previous
            signal.signal(signal.SIGINT, previous if callable(previous) else signal.default_int_handler)
            self._installed = False

    def check(self) -> None:
        """Raises Interrupted if Ctrl-C was pressed; may be called from any thread."""
        if self.pressed:
            if threading.current_thread() is threading.main_thread():
                self._cancel()
            raise interrupted()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._overdue:  # our own timer, not the user
            self._overdue = False
            # Not Interrupted: libraries swallow or rename every Exception that meets them halfway.
            raise KeyboardInterrupt
        if self.pressed:
            _die()
        self.pressed = True
        self._timer = threading.Timer(GRACE_SECONDS, self._press_again)
        self._timer.daemon = True
        self._timer.start()

    def _press_again(self) -> None:
        self._overdue = True
        if sys.platform == "win32":
            _thread.interrupt_main(signal.SIGINT)
        else:
            # A real signal, because it also ends a system call that the main thread waits in.
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Relay:
    """Hands Ctrl-C and Ctrl-Z on to a process in a group of its own, for as long as the block lasts.

    A process that has not ended KILL_SECONDS after Ctrl-C is killed. A second Ctrl-C kills it at once
    and ends this process by the signal itself.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pressed = False
        self._process = process
        self._previous: dict[int, object] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._press)
            if sys.platform != "win32":
                self._previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, previous in self._previous.items():
            signal.signal(number, previous if callable(previous) else _default(number))

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            self._process.kill()
            _die()
        self.pressed = True
        if sys.platform != "win32":  # there the console tells both of us
            self._process.send_signal(signal.SIGINT)
        self._timer = threading.Timer(KILL_SECONDS, self._kill)
        self._timer.daemon = True
        self._timer.start()

    def _kill(self) -> None:
        self._process.kill()
        _show_cursor()

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        if sys.platform == "win32":
            return
        self._process.send_signal(signal.SIGSTOP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # goes on behind this line when the shell's `fg` says so
        signal.signal(signal.SIGTSTP, self._suspend)
        self._process.send_signal(signal.SIGCONT)


def _default(number: int) -> signal.Handlers | Callable[[int, FrameType | None], None]:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


def interrupted() -> Interrupted:
    """What Ctrl-C raises; the pipeline adds how to continue."""
    return Interrupted(
        "INT-STOP", "stopped by Ctrl-C", fix="the same command continues; what is finished is kept"
    )


def _die() -> None:
    _show_cursor()
    if sys.platform == "win32":
        os._exit(130)
    # Dying by the signal tells the shell that it was Ctrl-C, so that a loop around us ends too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _show_cursor() -> None:
    """A live display hides it."""
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")
