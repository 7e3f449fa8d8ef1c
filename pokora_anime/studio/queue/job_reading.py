"""What was sent as a job: words, judged by the gate of the command line. Torch-free.

Words alone come in: `key=value` as typed in a shell. What names a file, a folder or an address, and what
belongs to the terminal, is refused here by name; the rest meets the same gate and laws as `pokora video`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path

from pokora_anime.jobs import judgement
from pokora_anime.jobs.job_estimate import Jobs
from pokora_anime.schema.config_groups import typed_settings
from pokora_anime.schema.settings import RunConfig
from pokora_anime.studio.problems import Problem
from pokora_anime.untrusted.untrusted_names import shown

MOST_WORDS = 300
MOST_CHARACTERS = 12_000  # of a word, such as a list of shots
MOST_TOGETHER = 48_000  # of all words
_SEARCH = "sweep=search"
_SWEEP_WORDS = {
    "keep": re.compile(r"[1-9]|[1-5]\d|6[0-4]"),
    "search.trials": re.compile(r"\d{1,3}", re.ASCII),
    "search.score": re.compile(r"[a-z_,]{1,200}"),
    "search.seed": re.compile(r"\d{1,9}", re.ASCII),
    "search.prune": re.compile(r"true|false"),
    "search.sampler": re.compile(r"tpe|random"),
}
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
        lengths = [len(word) for word in words]
        if (
            len(words) > MOST_WORDS
            or max(lengths, default=0) > MOST_CHARACTERS
            or sum(lengths) > MOST_TOGETHER
        ):
            raise Problem(
                422, "CFG-SYNTAX", f"{len(words)} words", fix="send fewer, shorter words",
                expected=f"at most {MOST_WORDS} of {MOST_CHARACTERS} characters",
            )  # fmt: skip
        for word in words:
            _refuse_options(command, word)
        from pokora_anime.config.overrides import prepare, settled

        sweep = command == "sweep"
        typed = _of_runs(words) if sweep else list(words)
        for word in words if sweep else ():
            _refuse_sweep_word(word)
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


def _refuse_sweep_word(word: str) -> None:
    """How many are kept, and how a search goes, by closed lists. Raises Problem."""
    key, _, value = word.partition("=")
    law = _SWEEP_WORDS.get(key)
    if (law is None and key.startswith("search.")) or (law is not None and not law.fullmatch(value)):
        raise Problem(
            422, "CFG-RANGE", shown(word, 80), fix=f"leave out {shown(key, 40)}=",
            expected="keep=1 to 64, search.trials=, .score=, .seed=, .prune= or .sampler= with plain values",
        )  # fmt: skip


def _refuse_hydra(word: str) -> None:
    """How a shell starts jobs, of what the gate lets pass there. Raises Problem."""
    if word.lstrip("+~").lower().startswith(("hydra.", "hydra/")):
        raise _of_shells(word, "how the command line starts jobs")


def _of_shells(word: str, kind: str) -> Problem:
    return Problem(
        422, "CFG-STUDIO", f"{word[:80]}: {kind}", expected="settings of the run itself",
        fix=f"leave out {word.partition('=')[0]}=",
    )  # fmt: skip


@lru_cache(maxsize=64)
def composed(sent: Sent) -> RunConfig:
    """The checked config of a video or of stills. Raises ConfigError, PromptError.

    As `compose` does it, with what changes while somebody types put into a config that is there already:
    Hydra takes an eighth of a second for each, and neither a prompt nor a seed chooses what it composes.
    """
    from pokora_anime.config.checks import check
    from pokora_anime.config.resolve import resolve
    from pokora_anime.schema.config_groups import prompt_keys

    texts = {key for key in prompt_keys() if key in typed_settings(sent.command)}
    put: dict[str, str | int] = {}
    rest: list[str] = []
    for word in sent.words:
        key, _, value = word.partition("=")
        if key in texts:
            put[key] = value
        elif re.fullmatch(r"seed=\d{1,9}", word, re.ASCII):
            put[key] = int(value)
        else:
            rest.append(word)
    config = copy.deepcopy(_unresolved(sent.command, tuple(rest)))
    for key, value in put.items():
        *sections, name = key.split(".")
        setattr(reduce(getattr, sections, config), name, value)
    resolved = resolve(config)
    check(resolved)
    return resolved


@lru_cache(maxsize=64)
def _unresolved(command: str, words: tuple[str, ...]) -> RunConfig:
    from pokora_anime.config.compose import unresolved

    return unresolved(command, words)


def checked(sent: Sent) -> dict[str, object]:
    """The judgement of `pokora check`; of a sweep that of its first job. Raises ConfigError, PromptError."""
    if sent.command == "sweep":
        first = listed(sent).configs[0]
        return judgement.report("sweep", first.contest.name, judgement.findings_of(first))
    config = composed(sent)
    return judgement.report(sent.command, config.contest.name, judgement.findings_of(config))


@lru_cache(maxsize=32)
def listed(sent: Sent, out: Path = Path("outputs")) -> Jobs:
    """The jobs that it comes to, judged by the gate: of a sweep the first one stands for all, and the
    sweep itself judges each; of a search what all its trials share. Raises ConfigError, PromptError.
    """
    from pokora_anime.config import gate
    from pokora_anime.config.compose import compose
    from pokora_anime.config.overrides import prepare
    from pokora_anime.jobs import drafts, sweep_jobs, sweep_size

    if sent.command != "sweep":
        config = composed(sent)
        gate.refuse(config)
        return Jobs(labels=[], configs=[config], at_once=1, out=out)
    words = sweep_jobs.with_preset(_of_runs(sent.words))
    words = drafts.of("video", words).words if drafts.WORD in words else words
    ready = prepare("video", words, multirun=True)
    total = None if _SEARCH in words else sweep_size.count("video", ready, yes=False, out=out)
    if total is None:
        shared = {*sweep_jobs.constant(ready)}
        fixed = [word for word in words if word.lstrip("+").partition("=")[0] in shared]
        config, labels = compose("video", fixed), ["search"]
    else:
        config, labels = sweep_jobs.first("video", words), [str(number) for number in range(total)]
    gate.refuse(config)
    return Jobs(labels=labels, configs=[config] * len(labels), at_once=1, out=out)


def label(config: RunConfig) -> str:
    """How a list names a run: its prompt, one line."""
    return " ".join((config.shot.typed or config.shot.prompt).split())[:160]


def from_still(folder: Path, still: int, words: Sequence[str]) -> list[str]:
    """Words of the clip whose keyframe is a still (from 1 on), with what was typed. Raises ConfigError."""
    from pokora_anime.history import run_origin
    from pokora_anime.history.typed_words_again import with_changes

    found = run_origin.find(f"{folder}#{still}", folder.parent).animated()
    return with_changes(found.words, list(words)) + list(words)
