"""A take: the words of a recorded stretch with their times, which make a run of their own. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from pokora_anime.live.live_settings import FPS, LiveConfig
from pokora_anime.prompt.prompt_syntax import MAX_STOPS
from pokora_anime.rules.text_rules import MAX_PROMPT

SHORTEST, LONGEST = 0.5, 120.0  # seconds


@dataclass(slots=True, kw_only=True)
class Take:
    """Words from frames of the take on, the first from its frame 0; `origin` is that frame in the session."""

    number: int
    words: str
    origin: int | None = None
    stops: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    end: int | None = None  # its frame with which no run could go on

    def turn(self, frame: int, words: str) -> None:
        """Other words hold around a frame of the take; where a run cannot hold them, it ends there."""
        if self.end is not None or words == (self.stops[-1][1] if self.stops else self.words):
            return
        self.stops.append((frame, words))
        if len(self.stops) >= MAX_STOPS or len(self.prompt(LONGEST)) > MAX_PROMPT:
            self.stops.pop()
            self.end = frame

    def seconds(self, shown: float) -> float:
        """How much of it was shown when the session's frame `shown` was."""
        frames = 0.0 if self.origin is None else shown - self.origin
        frames = frames if self.end is None else min(frames, self.end)
        return round(min(max(frames / FPS, 0.0), LONGEST), 2)

    def full(self, shown: float) -> bool:
        """Whether it ends here: no run takes more stops or words, and it takes two minutes at most."""
        end = LONGEST if self.end is None else min(self.end / FPS, LONGEST)
        return self.seconds(shown) >= round(end, 2)

    def prompt(self, seconds: float) -> str:
        """Its words as a prompt that travels."""
        kept = [(frame, words) for frame, words in self.stops if frame < seconds * FPS]
        if not kept:
            return self.words
        return ", ".join(f"{frame}: {words}" for frame, words in ((0, self.words), *kept))


def run_words(take: Take, seconds: float, live: LiveConfig) -> list[str]:
    """The words of `pokora video` that render a take offline, under the same choreography."""
    return [
        f"shot.prompt={take.prompt(seconds)}",
        f"seed={live.seed}",
        f"shot.seconds={max(seconds, SHORTEST):g}",
        f"shot.fps={FPS}",
        *session_words(live),
    ]


def session_words(live: LiveConfig) -> list[str]:
    """What the size of a session is as words of a run; a run's own size is not named."""
    return [] if live.size == 256 else [f"base.width={live.size}", f"base.height={live.size}"]
