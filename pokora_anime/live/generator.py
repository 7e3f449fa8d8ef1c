"""The process that generates, from the side of who shows: started, told, and heard. Torch-free."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from pokora_anime.errors import MachineError, PokoraError
from pokora_anime.live.display.frame_buffer import MOST
from pokora_anime.live.live_settings import LiveConfig
from pokora_anime.live.typed.asked import Asked
from pokora_anime.provenance.stage_records import Image
from pokora_anime.render.worker.granted_paths import needed
from pokora_anime.render.worker.messages import receive, unpack_error
from pokora_anime.render.worker.parent import Child
from pokora_anime.schema import run_identity

MOST_BYTES = 3 * 512 * 512  # of a frame

_BOOT = """
import json, sys
header = json.loads(sys.stdin.buffer.readline() or sys.exit())
sys.path.insert(0, header["package"])
from pokora_anime.live import live_child
live_child.main(header)
"""


class Hears(Protocol):
    """Who is told what the process tells, in a thread of its own."""

    def told(self, message: Mapping[str, object]) -> None:
        """Something happened."""
        ...

    def frames(self, message: Mapping[str, object], images: Sequence[Image]) -> None:
        """Frames from `start` on."""
        ...

    def ended(self, error: PokoraError | None) -> None:
        """Nothing comes any more."""
        ...


class _LiveProcess(Child):
    boot = _BOOT


class Generator:
    """A confined process that generates one session; `home` is where its temporary files lie."""

    def __init__(self, first: Asked, live: LiveConfig, home: Path, hears: Hears) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._hears, self._telling = (
            hears,
            threading.Lock(),
        )  # who types and the display tell it, each in a thread
        self._process = _LiveProcess(first.config, needed(first.config, home), home, "live", "auto")
        self._process.ask({**first.message(), "live": run_identity.part(live)})
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def ask(self, asked: Asked) -> None:
        """Follow these words from now on; of several the last ones; once the process has ended, nobody."""
        self._tell(asked.message())

    def show(self, frame: int) -> None:
        """This frame is shown now. Nobody needs to know once the process has ended."""
        self._tell({"shown": frame})

    def close(self) -> None:
        """End the process."""
        self._tell({"end": True})
        self._process.close()

    def _tell(self, message: dict[str, object]) -> None:
        with (
            self._telling,
            suppress(OSError, ValueError),
        ):  # the pipe is closed, the process has ended already
            self._process.ask(message)

    def memory(self) -> int:
        """Bytes of memory that the process fills; 0 where the system does not tell."""
        return self._process.memory()

    def _listen(self) -> None:
        error: PokoraError | None = MachineError(
            "SYS-RENDER", "the process that generates was ended", expected="a session that ends by itself",
            fix="start it again",
        )  # fmt: skip
        try:
            while (message := receive(self._process.output)) is not None:
                if "frames" in message:
                    self._hears.frames(message, self._images(message))
                elif "error" in message:
                    error = unpack_error(message["error"])
                elif "bug" in message:
                    error = MachineError("SYS-RENDER", f"{message['bug']}: {message['text']}")
                    print(message["trace"])
                elif "ended" in message:
                    error = None
                else:
                    for made in message.get("converted", ()):
                        self._process.keep(Path(made))
                    self._hears.told(message)
        except (OSError, ValueError):
            pass  # the pipe was closed from this side, or what came is none of ours
        self._hears.ended(error)

    def _images(self, message: Mapping[str, object]) -> list[Image]:
        """The frames behind a message. Raises ValueError, OSError."""
        height, width = (int(side) for side in message["size"])  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType, reportUnknownArgumentType]
        count, size = int(str(message["frames"])), 3 * height * width
        if not 0 < size <= MOST_BYTES or not 0 < count <= MOST:
            raise ValueError(f"{count} frames of {width}x{height}")
        found: list[Image] = []
        for _ in range(count):
            data = self._process.output.read(size)
            if len(data) != size:
                raise ValueError("a frame is cut off")
            found.append(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        return found
