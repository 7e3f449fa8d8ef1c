"""Turns of a lane by huey on SQLite, in the server's own process, with messages as JSON. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer

_POLL_SECONDS = 0.2  # of a lane that is idle
_ENDING_SECONDS = 15.0


class Turns:
    """Hands out turns: each one given is worked off once, by one of `at_once` threads."""

    def __init__(self, name: str, path: Path, work: Callable[[], None], at_once: int) -> None:
        self._huey: Any = SqliteHuey(name, filename=str(path), results=False, serializer=_Json(), fsync=True)
        self._task: Any = self._huey.task(name=f"turn_{name}")(work)
        self._consumer: Any = _Consumer(
            self._huey,
            workers=at_once,
            periodic=False,
            initial_delay=0.05,
            max_delay=_POLL_SECONDS,
            check_worker_health=False,
        )

    def give(self) -> None:
        """One turn more."""
        self._task()

    def start(self, waiting: int) -> None:
        """Works off from now on: as many turns as there are jobs, whatever was left of the last server's."""
        self._huey.flush()
        for _ in range(waiting):
            self.give()
        self._consumer.start()

    def stop(self) -> None:
        """No turn begins from now on."""
        self._consumer.stop_flag.set()

    def join(self) -> None:
        """Waits for turns under way."""
        for _, thread in self._consumer.worker_threads:
            if thread.is_alive():
                thread.join(timeout=_ENDING_SECONDS)


class _Consumer(Consumer):
    """The server has signal handlers of its own."""

    def _set_signal_handlers(self) -> None:
        pass


class _Json(Serializer):
    """Nothing that is read from a file here is ever unpickled."""

    def _serialize(self, data: Any) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Any:
        return Message(*json.loads(data))
