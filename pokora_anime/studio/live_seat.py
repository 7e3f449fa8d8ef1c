"""The one live session of a server: who has it, what is typed, and the queue that waits. Torch-free."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pokora_anime.catalogue.lora.lora_tags import shot_loras
from pokora_anime.config import gate
from pokora_anime.devices import openvino_runtime
from pokora_anime.live import live_settings
from pokora_anime.live.live_settings import LiveConfig, LiveRuntime
from pokora_anime.live.take import Take, run_words, session_words
from pokora_anime.live.typed.live_words import merged
from pokora_anime.prompt import open_words
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.studio.problems import Problem
from pokora_anime.studio.queue import job_reading
from pokora_anime.studio.queue.job_queue import JobQueue
from pokora_anime.studio.queue.job_reading import Sent
from pokora_anime.studio.queue.job_record import Job
from pokora_anime.studio.workspaces import Workspace

if TYPE_CHECKING:
    from pokora_anime.live.live_session import LiveSession

_POLL = 0.5
FOLDER = "live"  # in the outputs: temporary files of the process that generates


class LiveSeat:
    """At most one session; jobs of the queue wait while it lasts."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._session: LiveSession | None = None
        self._user = ""

    def start(self, user: str, prompt: str, words: Sequence[str], workspace: Workspace) -> LiveSession:
        """A new session. Raises ConfigError, PromptError, WeightsError, Problem 409 where one is or a job is
        rendered."""
        from pokora_anime.live.live_session import LiveSession  # OpenCV: for who starts a session

        live = live_settings.read(words)
        config = judged(prompt, live)
        with self._lock:
            if self._session is not None:
                raise Problem(
                    409, "API-LIVE", "a live session is under way on this server", expected="one at a time",
                    fix="end that one; it ends by itself a few seconds after its window was closed",
                )  # fmt: skip
            self._queue.pause()
            try:
                self._session = LiveSession(config, live, workspace.outputs / FOLDER)
            except BaseException:
                self._queue.resume()
                raise
            self._user = user
            threading.Thread(target=self._watch, args=(self._session,), daemon=True).start()
            return self._session

    def of(self, user: str) -> LiveSession:
        """A user's own session. Raises Problem 404."""
        session = self.maybe(user)
        if session is None:
            raise _none()
        return session

    def maybe(self, user: str) -> LiveSession | None:
        """A user's own session, if there is one."""
        with self._lock:
            return self._session if user == self._user else None

    def follow(self, user: str, typed: str) -> tuple[VideoConfig, int]:
        """What is typed changes what is danced; the config that it comes to, and the number of its words."""
        session = self.of(user)
        config = judged(merged(session.words, typed), session.live)
        number = session.follow(config)
        if session.over:  # meanwhile: its window was closed
            raise _none()
        return config, number

    def record(self, user: str) -> Take:
        """A take begins. Raises Problem 409 where one is under way."""
        session = self.of(user)
        if session.take is not None:
            raise Problem(409, "API-LIVE", "it is recorded already", fix="stop the recording first")
        return session.record(judged(session.words, session.live))

    def stop_recording(self, user: str) -> Job:
        """The take becomes a job of the queue, which renders it once the session is over."""
        session = self.of(user)
        found = session.stop_recording()
        if found is None:
            raise Problem(409, "API-LIVE", "no take has begun", expected="a recording", fix="record first")
        return self._queued(user, *found, session.live)

    def end(self, user: str) -> None:
        """End a user's session; a take under way becomes a job."""
        session = self.of(user)
        self._close(session)

    def close(self) -> None:
        """End whatever is under way: the server ends."""
        if self._session is not None:
            self._close(self._session)

    def _close(self, session: LiveSession) -> None:
        with self._lock:
            if self._session is not session:
                return
            self._session, user = None, self._user
        found = session.stop_recording()
        session.close()
        self._queue.resume()
        if found is not None:
            self._queued(user, *found, session.live)

    def _queued(self, user: str, take: Take, seconds: float, live: LiveConfig) -> Job:
        sent = Sent.of("video", run_words(take, seconds, live))
        return self._queue.add(user, sent)[0]

    def _watch(self, session: LiveSession) -> None:
        """Ends a session that nobody looks at, or that is over; a take that is full becomes a job."""
        while self._session is session:
            time.sleep(_POLL)
            if session.over or session.alone:
                time.sleep(2 * _POLL)  # whoever looks on is told why
                self._close(session)
            elif session.take_is_full:
                found = session.stop_recording()
                if found is not None:
                    self._queued(self._user, *found, session.live)


def _none() -> Problem:
    return Problem(404, "API-MISSING", "no live session", expected="one that was started", fix="start one")


def judged(prompt: str, live: LiveConfig) -> VideoConfig:
    """The config that a prompt comes to, judged as a clip's. Raises ConfigError, PromptError, Problem.

    What the prompt leaves open is named in it: words that come later must not change it.
    """
    config = _composed(prompt, live)
    if shot_loras(config.shot):
        raise Problem(
            422, "PRM-SYNTAX", "a LoRA tag in a live prompt", expected="words: its networks stay as they are",
            fix="leave it out, or render a clip",
        )  # fmt: skip
    chosen = open_words.chosen(config)
    return _composed(f"{config.shot.prompt}, {chosen}", live) if chosen else config


def _composed(prompt: str, live: LiveConfig) -> VideoConfig:
    if len(stops(f"0: {prompt}")) > 1:
        raise Problem(
            422, "PRM-TRAVEL", "a prompt that travels", expected="the words from now on",
            fix="type what comes next when it is to come",
        )  # fmt: skip
    runtime = live.runtime
    if runtime is LiveRuntime.auto:
        runtime = LiveRuntime.openvino if openvino_runtime.installed() else LiveRuntime.torch
    words = [
        f"shot.prompt={prompt}",
        f"seed={live.seed}",
        *session_words(live),
        f"motion.frames={live.frames}",
        f"device.runtime={runtime.value}",
        *([f"device.threads={live.threads}"] if live.threads else []),
    ]
    config = job_reading.composed(Sent.of("video", words))
    gate.refuse(config)
    assert isinstance(config, VideoConfig)
    return config
