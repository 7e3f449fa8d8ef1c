"""What was typed and waits to be danced: one place, in which the last one wins. Torch-free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class LastOne(Generic[T]):
    """A queue with one place: what is put in takes the place of what nobody took."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    _waiting: T | None = None
    passed_over: int = 0  # how many nobody took

    def put(self, item: T) -> None:
        """The newest one."""
        with self.changed:
            self.passed_over += self._waiting is not None
            self._waiting = item
            self.changed.notify_all()

    def take(self) -> T | None:
        """What waits, once."""
        with self.changed:
            found, self._waiting = self._waiting, None
            return found

    def drop(self, where: Callable[[T], bool]) -> None:
        """Let go of what waits where the function says so."""
        with self.changed:
            if self._waiting is not None and where(self._waiting):
                self._waiting = None

    @property
    def waits(self) -> bool:
        """Whether something waits."""
        return self._waiting is not None
