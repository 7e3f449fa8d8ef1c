"""What was sent as a job: words, judged by the gate of the command line. Torch-free.

Words alone come in: `key=value` as typed in a shell. What names a file, a folder or an address, and what
belongs to the terminal, is refused here by name; the rest meets the same gate and laws as `pokora video`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pokora_anime.jobs import judgement
from pokora_anime.jobs.job_estimate import Jobs
from pokora_anime.schema.config_groups import COMPOSING
from pokora_anime.schema.settings import RunConfig
from pokora_anime.studio.problems import Problem

MOST_WORDS = 300
MOST_CHARACTERS = 20_000  # of a word
_SEARCH = "sweep=search"
_OUTSIDE = {
    "timeline": "a file on the server",
    "guard": "the server's own affair",
    "track": "an option of the command line",
    "out": "a folder on the server",
}


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
            _refuse_options(command, word)
        from pokora_anime.config.overrides import prepare, settled

        sweep = command == "sweep"
        typed = _of_runs(words) if sweep else list(words)
        prepare("video" if sweep else command, typed, multirun=sweep)
        for word in typed:
            _refuse_hydra(word)
        return cls(command, tuple(settled(words)))


def _of_runs(words: Sequence[str]) -> list[str]:
    """The words of a sweep that are settings of its runs: neither how many are kept nor how a search goes."""
    search = _SEARCH in words
    return [word for word in words if not word.startswith(("keep=", *(("search.",) if search else ())))]


def _refuse_options(command: str, word: str) -> None:
    """What in a shell stands beside the settings. Raises ConfigError GATE-CONFIG, Problem."""
    from pokora_anime.config import gate

    gate.refuse_options([word])
    name, equals, value = word.partition("=")
    if word.startswith("-") or not (equals or word.startswith("~")):
        raise Problem(
            422, "CFG-SYNTAX", f"the word {word[:80]!r}", expected="key=value",
            fix="the studio takes settings, no options: `pokora` in a shell has the rest",
        )  # fmt: skip
    kind = _OUTSIDE.get(name.lower())
    if name == "shots" and not value.startswith("["):
        kind = "a file on the server"
    if kind or (name == "keep" and command != "sweep"):
        raise _of_shells(word, kind or "of a sweep")


def _refuse_hydra(word: str) -> None:
    """How a shell starts jobs, of what the gate lets pass there. Raises Problem."""
    if word.lstrip("+~").lower().startswith(("hydra.", "hydra/")):
        raise _of_shells(word, "how the command line starts jobs")


def _of_shells(word: str, kind: str) -> Problem:
    return Problem(
        422, "CFG-STUDIO", f"{word[:80]}: {kind}", expected="settings of the run itself",
        fix=f"leave out {word.partition('=')[0]}=",
    )  # fmt: skip


def composed(sent: Sent) -> RunConfig:
    """The checked config of a video or of stills. Raises ConfigError, PromptError."""
    with COMPOSING:
        return _composed(sent)


@lru_cache(maxsize=32)
def _composed(sent: Sent) -> RunConfig:
    from pokora_anime.config.compose import compose

    return compose(sent.command, list(sent.words))


def checked(sent: Sent) -> dict[str, object]:
    """The judgement of `pokora check`; of a sweep that of its first job. Raises ConfigError, PromptError."""
    with COMPOSING:
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
    """The jobs that it comes to, each judged by the gate; of a search what all its trials share.

    Raises ConfigError, PromptError.
    """
    from pokora_anime.config import gate
    from pokora_anime.config.compose import compose
    from pokora_anime.config.overrides import prepare
    from pokora_anime.jobs import sweep_jobs, sweep_size

    with COMPOSING:
        if sent.command != "sweep":
            config = _composed(sent)
            gate.refuse(config)
            return Jobs(labels=[], configs=[config], at_once=1, out=out)
        words = _of_runs(sent.words)
        if not any(word.startswith("sweep=") for word in words):
            words.insert(0, sweep_jobs.DEFAULT_SWEEP)
        ready = prepare("video", words, multirun=True)
        if _SEARCH not in words and sweep_size.count("video", ready, yes=False, out=out) is not None:
            return Jobs.of("sweep", words, out, several=True)
        shared = {*sweep_jobs.constant(ready)}
        fixed = [word for word in words if word.lstrip("+").partition("=")[0] in shared]
        config = compose("video", fixed)
        gate.refuse(config)
        return Jobs(labels=["search"], configs=[config], at_once=1, out=out)


def label(config: RunConfig) -> str:
    """How a list names a run: its prompt, one line."""
    return " ".join((config.shot.typed or config.shot.prompt).split())[:160]


def from_still(folder: Path, still: int, words: Sequence[str]) -> list[str]:
    """Words of the clip whose keyframe is a still (from 1 on), with what was typed. Raises ConfigError."""
    from pokora_anime.history import run_origin
    from pokora_anime.history.typed_words_again import with_changes

    found = run_origin.find(f"{folder}#{still}", folder.parent).animated()
    return with_changes(found.words, list(words)) + list(words)
