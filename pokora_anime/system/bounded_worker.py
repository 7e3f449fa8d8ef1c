"""One worker thread that consumes what the main thread makes, through a queue of bounded length."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Waits are cut into slices because Windows runs signal handlers only between them.
_SLICE = 0.2
_ABORT_SECONDS = 0.6
_PATIENCE = 120.0  # seconds until what wants to be undisturbed goes without


class _Gate:
    """Either any number of workers is at items, or somebody is alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy, self._alone = 0, False

    @contextmanager
    def item(self) -> Generator[None, None, None]:
        """A worker is at an item."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, patience: float) -> Generator[bool, None, None]:
        """No worker is at an item: whether that could be had within so many seconds."""
        with self._changed:
            had = self._changed.wait_for(lambda: not self._alone and not self._busy, timeout=patience)
            self._alone = self._alone or had
        try:
            yield had
        finally:
            with self._changed:
                self._alone = self._alone and not had
                self._changed.notify_all()


_gate = _Gate()


def undisturbed() -> AbstractContextManager[bool]:
    """No worker is at an item meanwhile: whether that could be had. torch traces a whole process at once."""
    return _gate.alone(_PATIENCE)


class Aborted(Exception):
    """Raised inside the worker's iterator once the main thread gave up; never leaves this module."""


class Background(Generic[T, R]):
    """Runs `consume(iterator)` in a worker thread while the caller `put`s the iterator's items.

    At most `depth` items wait, so `put` blocks while the worker is behind. What the worker raises is
    raised by the next `put` or `close`. Leaving the `with` block through an exception (Ctrl-C too) aborts:
    the worker's iterator raises at its next item, and the caller waits for it only a moment.

        with Background(consume, depth=1) as background:
            for segment in segments:
                background.put(segment)
            video = background.close()
    """

    def __init__(self, consume: Callable[[Iterator[T]], R], depth: int = 1, name: str = "background") -> None:
        self._consume, self._depth = consume, depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = self._aborted = self._done = False
        self._result: list[R] = []
        self._error: BaseException | None = None
        # A daemon, so that a worker deep in a long computation cannot hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hands over an item, waiting for a free place; does nothing once the worker has all it needs."""
        with self._changed:
            self._wait(lambda: self._done or len(self._items) < self._depth)
            self._raise_error()
            if not self._done:
                self._items.append(item)
                self._changed.notify_all()

    def close(self) -> R:
        """Says that no item follows, waits for the worker, and returns what `consume` returned."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._wait(lambda: self._done)
            self._raise_error()
        return self._result[0]

    def abort(self) -> None:
        """Tells the worker to stop and drops what waits; returns after a moment at most, raises nothing."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join(_ABORT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            self.abort()

    def _wait(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._changed.wait(_SLICE)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        items = self._iterate()
        try:
            self._result.append(self._consume(items))
        except Aborted:
            pass
        except BaseException as error:  # whatever it is, it belongs to the main thread
            self._error = error
        finally:
            items.close()  # an error holds its frames, and with them an item that would never be over
            with self._changed:
                self._done = True
                self._items.clear()
                self._changed.notify_all()

    def _iterate(self) -> Generator[T, None, None]:
        while True:
            with self._changed:
                self._wait(lambda: bool(self._items) or self._closed or self._aborted)
                if self._aborted:
                    raise Aborted
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            with _gate.item():
                yield item
            del item  # or the queue would hold one item more than `depth` promises
