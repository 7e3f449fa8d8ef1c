"""Ctrl-C as a request: what runs ends at its next step, soon at the latest, and at once if asked twice."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from types import FrameType

from pokora_anime.errors import Interrupted

# A step under way may still finish; a longer one is broken off, so that the run ends within 2 s.
GRACE_SECONDS = 1.0


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


def interrupted() -> Interrupted:
    """What Ctrl-C raises; the pipeline adds how to continue."""
    return Interrupted(
        "INT-1", "stopped by Ctrl-C", fix="the same command continues; what is finished is kept"
    )


def _die() -> None:
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")  # a live display hides the cursor
    if sys.platform == "win32":
        os._exit(130)
    # Dying by the signal tells the shell that it was Ctrl-C, so that a loop around us ends too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
