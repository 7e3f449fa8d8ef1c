"""A session: what is typed goes to the process that generates, what comes from there is shown. Torch-free."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pokora_anime.errors import PokoraError
from pokora_anime.live.display.clip_clock import ClipClock
from pokora_anime.live.display.frame_buffer import Frame, FrameBuffer
from pokora_anime.live.display.shown_frames import ShownFrames, jpeg, png
from pokora_anime.live.generator import Generator
from pokora_anime.live.live_settings import FPS, LiveConfig
from pokora_anime.live.take import Take
from pokora_anime.live.typed.asked import Asked
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import VideoConfig

DISPLAY_FPS = 24
ALONE_SECONDS = 5.0  # that nobody looks on, after which a session ends
_RATES = 6  # segments over which the rate of generation is told


class State(Enum):
    """How far a session is."""

    starting = "starting"
    live = "live"
    ended = "ended"
    failed = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A frame on the display, the `number`-th of the session: where in the clip, following which words."""

    number: int
    position: float
    words: int
    recording: bool
    data: bytes


class LiveSession:
    """One live clip. Threads: who types, the process's listener, and the display."""

    def __init__(self, config: VideoConfig, live: LiveConfig, home: Path) -> None:
        """Raises MachineError, WeightsError where the process cannot be started."""
        self.live, self.words = live, config.shot.prompt
        self.state, self.error = State.starting, None
        self.notes: deque[str] = deque(maxlen=5)
        self.take: Take | None = None
        self._texts = {0: config.shot.prompt}
        self._last = 0  # number of the newest words
        self._asking = threading.Lock()
        self._buffer, self._clock = FrameBuffer(), ClipClock(FPS)
        self._draws = ShownFrames(live.smoothing)
        self.frames_made = 0
        self._rates: deque[float] = deque(maxlen=_RATES)
        self._shown: Shown | None = None
        self._image: Image | None = None
        self._changed = threading.Condition()
        self._seen = time.monotonic() + 60.0  # whoever starts a session is about to look
        self._generator = Generator(Asked(number=0, config=config), live, home, self)
        self._display = threading.Thread(target=self._run_display, daemon=True)
        self._display.start()

    # What is typed

    def follow(self, config: VideoConfig) -> int:
        """Words from now on; their number."""
        return self._ask(config, take=False)

    def record(self, config: VideoConfig) -> Take:
        """A take begins, with the words of the config."""
        number = self._ask(config, take=True)
        self.take = Take(number=number, words=config.shot.prompt)
        return self.take

    def stop_recording(self) -> tuple[Take, float] | None:
        """The take with its seconds; None where none began."""
        take, self.take = self.take, None
        if take is None or take.origin is None:
            return None
        return take, take.seconds(self._clock.position)

    @property
    def recording(self) -> bool:
        """Whether what is shown belongs to a take."""
        take = self.take
        return take is not None and take.origin is not None and self._clock.position >= take.origin

    def close(self) -> None:
        """End the session."""
        if self.state in (State.starting, State.live):
            self.state = State.ended
        self._generator.close()
        with self._changed:
            self._changed.notify_all()

    # What is shown

    def after(self, number: int, seconds: float) -> Shown | None:
        """The newest frame once it is another than the one of this number; None where none came so long."""
        self._seen = time.monotonic()
        with self._changed:
            self._changed.wait_for(
                lambda: self.over or (self._shown is not None and self._shown.number != number), seconds
            )
            fresh = self._shown if self._shown is not None and self._shown.number != number else None
        return None if self.over else fresh

    def still(self) -> bytes | None:
        """The frame on the display as a PNG."""
        image = self._image
        return None if image is None else png(image)

    @property
    def take_seconds(self) -> float:
        """How long the take under way is by now."""
        return 0.0 if self.take is None else self.take.seconds(self._clock.position)

    @property
    def take_is_full(self) -> bool:
        """Whether the take under way ends here."""
        return self.take is not None and self.take.full(self._clock.position)

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self.state in (State.ended, State.failed)

    @property
    def alone(self) -> bool:
        """Whether nobody has looked on for a while."""
        return time.monotonic() - self._seen > ALONE_SECONDS

    @property
    def made_a_second(self) -> float:
        """New frames that are generated in a second of computing."""
        return sum(self._rates) / len(self._rates) if self._rates else 0.0

    @property
    def position(self) -> float:
        """Where in the clip the display is, in generated frames."""
        return self._clock.position

    @property
    def seconds_ahead(self) -> float:
        """How much is there that was not shown yet."""
        return max(0.0, self._buffer.end - self._clock.position) / FPS

    def memory(self) -> int:
        """Bytes that the process which generates fills."""
        return self._generator.memory()

    # What the process tells

    def told(self, message: Mapping[str, object]) -> None:
        """Something happened."""
        take = self.take
        if "note" in message:
            self.notes.append(str(message["note"]))
        elif "turn" in message and take is not None and take.origin is not None:
            take.turn(int(str(message["frame"])), self._texts[int(str(message["turn"]))])
        elif "take" in message and take is not None and take.number == message["take"]:
            take.origin = int(str(message["origin"]))

    def frames(self, message: Mapping[str, object], images: Sequence[Image]) -> None:
        """Frames from `start` on."""
        start = int(str(message["start"]))
        self.frames_made += len(images)
        self._rates.append(len(images) / max(float(str(message["seconds"])), 1e-3))
        self._buffer.put(start, images, int(str(message["words"])))
        if self.state is State.starting:
            self.state = State.live

    def ended(self, error: PokoraError | None) -> None:
        """Nothing comes any more."""
        if self.state in (State.starting, State.live):
            self.state, self.error = (State.failed if error else State.ended), error
        with self._changed:
            self._changed.notify_all()

    def _ask(self, config: VideoConfig, *, take: bool) -> int:
        with self._asking:  # two may type at once
            self._last = number = self._last + 1
            self.words = self._texts[number] = config.shot.prompt
            for old in [one for one in self._texts if one < number - 400]:
                del self._texts[old]
            self._generator.ask(Asked(number=number, config=config, take=take))
        return number

    def _run_display(self) -> None:
        """At each tick the frame of the clock's position; the ticks do not wait for anybody."""
        number, told, due = 0, -1, time.monotonic()
        before = due
        while not self.over:
            due = max(due + 1 / DISPLAY_FPS, time.monotonic() - 0.5 / DISPLAY_FPS)
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            position = self._clock.advance(now - before, max(self._buffer.end, 0), self.made_a_second)
            before = now
            found = self._buffer.at(position)
            if found is None:
                continue
            number += 1
            self._show(number, position, found)
            if int(position) != told:
                told = int(position)
                self._generator.show(told)

    def _show(self, number: int, position: float, found: tuple[Frame, Frame, float]) -> None:
        first, second, share = found
        image = self._draws.at(first, second, share)
        shown = Shown(
            number=number,
            position=position,
            words=first.words,
            recording=self.recording,
            data=jpeg(image),
        )
        with self._changed:
            self._image, self._shown = image, shown
            self._changed.notify_all()
