"""The process that generates a live clip: confined before it imports any library, as one that renders.

Requests come as lines of JSON; what it tells goes out as a line of JSON each, behind which frames follow as
they are: `frames` of `size` (height, width), three bytes a pixel.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pokora_anime.live.typed.word_queue import LastOne
from pokora_anime.render.worker import child
from pokora_anime.render.worker.messages import Message, from_plain, receive, send

if TYPE_CHECKING:
    from pokora_anime.live.typed.asked import Asked
    from pokora_anime.provenance.stage_records import Image

GIVES_WAY = 5  # of 19 steps that a process can go back: a third of the processor, where others want all of it


def main(header: Message) -> None:
    """Confine, then generate until the parent is gone or says so; the display is drawn before that."""
    if sys.platform != "win32":
        os.nice(GIVES_WAY)
    child.main(header, _serve)


def _serve(answers: IO[bytes], temporary: str) -> None:
    opening = receive(sys.stdin.buffer)
    if opening is None:
        return
    with suppress(BrokenPipeError):  # a session that was closed wants no answer
        send(answers, child.answered(lambda: _generate(opening, answers, Path(temporary))))


def _generate(opening: Message, answers: IO[bytes], temporary: Path) -> Message:
    from pokora_anime.live.generation import live_context
    from pokora_anime.live.generation.live_loop import LiveLoop
    from pokora_anime.live.generation.look import LookMaker
    from pokora_anime.live.generation.segment_engine import Decoder, SegmentEngine
    from pokora_anime.live.live_settings import LiveConfig
    from pokora_anime.live.typed.asked import Asked
    from pokora_anime.networks.converted import kept_conversions
    from pokora_anime.provenance.run_folder import RunFolder

    live, first = from_plain(LiveConfig, opening["live"]), Asked.of(opening)
    kept_conversions.hand_over(lambda made: send(answers, {"converted": [str(made)]}))
    with RunFolder(temporary / "session", "live") as folder:
        context = live_context.opened(first.config, folder, lambda line: send(answers, {"note": line}))
        loop = LiveLoop(
            SegmentEngine(context, first.config, live),
            LookMaker(context, temporary),
            Decoder(context),
            live,
            lambda told, images: _tell(answers, told, images),
        )
        loop.run(first, _Inbox())
    return {"ended": True}


def _tell(answers: IO[bytes], told: Mapping[str, object], images: Sequence[Image]) -> None:
    if not images:
        send(answers, told)
        return
    send(answers, {**told, "frames": len(images), "size": images[0].shape[:2]})
    for image in images:
        answers.write(image.tobytes())
    answers.flush()


class _Inbox:
    """What the parent says, read by a thread of its own."""

    def __init__(self) -> None:
        self.shown, self.ended = 0, False
        self._words: LastOne[Message] = LastOne()
        self._takes: LastOne[Message] = LastOne()
        threading.Thread(target=self._listen, daemon=True).start()

    def take(self) -> Asked | None:
        """What was asked for last, once: a take before the words that were typed after it."""
        take = self._takes.take()
        if take is not None:
            self._words.drop(lambda words: words["number"] < take["number"])
        from pokora_anime.live.typed.asked import Asked

        message = take or self._words.take()
        return None if message is None else Asked.of(message)

    @property
    def waits(self) -> bool:
        """Whether something is asked for."""
        return self._words.waits or self._takes.waits

    def wait(self, seconds: float) -> None:
        """Until something changes, or so long."""
        with self._words.changed:
            self._words.changed.wait(seconds)

    def _listen(self) -> None:
        while (message := receive(sys.stdin.buffer)) is not None and "end" not in message:
            if "shown" in message:
                self.shown = int(message["shown"])
            if "config" in message:
                (self._takes if message.get("take") else self._words).put(message)
        self.ended = True
        with self._words.changed:
            self._words.changed.notify_all()
