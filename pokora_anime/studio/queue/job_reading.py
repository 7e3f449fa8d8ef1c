"""What was sent as a job: words, judged by the gate of the command line. Torch-free.

Words alone come in: `key=value` as typed in a shell. What names a file, a folder or an address, and what
belongs to the terminal, is refused here by name; the rest meets the same gate and laws as `pokora video`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pokora_anime.errors import ConfigError
from pokora_anime.jobs import judgement
from pokora_anime.jobs.job_estimate import Jobs
from pokora_anime.schema.settings import RunConfig
from pokora_anime.studio.problems import Problem

MOST_WORDS = 300
MOST_CHARACTERS = 20_000  # of a word
MOST_SWEEP_JOBS = 200
SWEEP_WORDS = ("keep", "track")  # options of `pokora sweep`, of which the first is taken
_WORD = re.compile(r"[~+]{0,2}[A-Za-z][\w./@:-]*(=.*)?", re.ASCII | re.DOTALL)
_OUTSIDE = {
    "timeline": "a file on the server",
    "guard": "the server's own affair",
    "track": "an option of the command line",
    "out": "a folder on the server",
}
_hydra = threading.RLock()  # it composes one config at a time


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: `video`, `stills` or `sweep` with its words, each judged by itself."""

    command: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, command: str, words: Sequence[str]) -> Sent:
        """The words as sent. Raises Problem for what is no word or comes from outside."""
        if len(words) > MOST_WORDS or any(len(word) > MOST_CHARACTERS for word in words):
            raise Problem(
                422, "CFG-SYNTAX", f"{len(words)} words", fix="send fewer, shorter words",
                expected=f"at most {MOST_WORDS} of {MOST_CHARACTERS} characters",
            )  # fmt: skip
        for word in words:
            _refuse(command, word)
        from pokora_anime.config.overrides import settled

        return cls(command, tuple(settled(words)))


def _refuse(command: str, word: str) -> None:
    from pokora_anime.config import gate

    gate.refuse_options([word])
    key, equals, value = word.partition("=")
    name = key.lstrip("+~").lower()
    if not _WORD.fullmatch(word) or not (equals or key.startswith("~")):
        raise Problem(
            422, "CFG-SYNTAX", f"the word {word[:80]!r}", expected="key=value",
            fix="the studio takes settings, no options: `pokora` in a shell has the rest",
        )  # fmt: skip
    kind = _OUTSIDE.get(name)
    if name == "shots" and not value.startswith("["):
        kind = "a file on the server"
    if name.startswith(("hydra.", "hydra/")):
        kind = "how the command line starts jobs"
    if kind or (name == "keep" and command != "sweep"):
        raise Problem(
            422, "CFG-STUDIO", f"{word[:80]}: {kind or 'of one run'}",
            expected="settings of the run itself", fix=f"leave out {name}=",
        )  # fmt: skip


def composed(sent: Sent) -> RunConfig:
    """The checked config of a video or of stills. Raises ConfigError, PromptError."""
    with _hydra:
        return _composed(sent)


@lru_cache(maxsize=32)
def _composed(sent: Sent) -> RunConfig:
    from pokora_anime.config.compose import compose

    return compose(sent.command, list(sent.words))


def checked(sent: Sent) -> dict[str, object]:
    """The judgement of `pokora check`; of a sweep that of its first job. Raises ConfigError, PromptError."""
    with _hydra:
        if sent.command == "sweep":
            first = listed(sent).configs[0]
            return judgement.report("sweep", first.contest.name, judgement.findings_of(first))
        from pokora_anime.config.overrides import screen

        typed = [one for word in sent.words for one in screen(sent.command, word)]
        if typed:
            return judgement.report(sent.command, "", typed)
        config = _composed(sent)
        return judgement.report(sent.command, config.contest.name, judgement.findings_of(config))


def listed(sent: Sent, out: Path = Path("outputs")) -> Jobs:
    """The jobs that it comes to, each judged by the gate. Raises ConfigError, PromptError."""
    several = sent.command == "sweep"
    words = [word for word in sent.words if not word.startswith("keep=")]
    with _hydra:
        if not several:
            from pokora_anime.config import gate

            config = _composed(sent)
            gate.refuse(config)
            return Jobs(labels=[], configs=[config], at_once=1, out=out)
        jobs = Jobs.of("sweep", words, out, several=True)
    if len(jobs.configs) > MOST_SWEEP_JOBS:
        raise ConfigError(
            "CFG-RANGE",
            f"{len(jobs.configs)} jobs",
            expected=f"at most {MOST_SWEEP_JOBS} in one sweep of the studio",
            fix="sweep fewer values, or use `pokora sweep --yes` in a shell",
        )
    return jobs


def label(config: RunConfig) -> str:
    """How a list names a run: its prompt, one line."""
    return " ".join((config.shot.typed or config.shot.prompt).split())[:160]


def from_still(folder: Path, still: int, words: Sequence[str]) -> list[str]:
    """Words of the clip whose keyframe is a still (from 1 on), with what was typed. Raises ConfigError."""
    from pokora_anime.history import run_origin
    from pokora_anime.history.typed_words_again import with_changes

    found = run_origin.find(f"{folder}#{still}", folder.parent).animated()
    return with_changes(found.words, list(words)) + list(words)
