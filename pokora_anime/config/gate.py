"""The gate: what a config holds is judged before anything is loaded. Torch-free, and Hydra-free too.

Two questions, kept apart. Does anything come in from outside (codes GATE-*)? Then nothing is rendered.
Is it an entry to the contest (codes RULE-*)? If not, it renders all the same, and the findings say why.
"""

from __future__ import annotations

from collections.abc import Iterable

from pokora_anime.config.checks import check
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.findings import Finding, Severity, of_severity
from pokora_anime.rules import closed_config, contest, contest_limits, loadable_weights, typed_words
from pokora_anime.rules.case import Case, uses
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import RunConfig, StillsConfig


def examine(config: RunConfig) -> list[Finding]:
    """All findings about a composed config."""
    found, case = _inputs(config)
    return [*found, *contest.judge(case)] if case else found


def examine_recorded(command: str, plain: object) -> list[Finding]:
    """All findings about the config that a run of `command` recorded. Judges any JSON value, never raises."""
    found, case = _inputs_of(command, plain)
    return [*found, *contest.judge(case)] if case else found


def refuse(config: RunConfig) -> None:
    """Raise ConfigError GATE-* where anything would come in from outside; a contest's numbers pass."""
    found, _ = _inputs(config)
    _raise(of_severity(found, Severity.block))


def refuse_options(arguments: Iterable[str]) -> None:
    """Raise ConfigError GATE-CONFIG for options that bring in another folder's configs."""
    _raise(typed_words.foreign_options(arguments))


def _inputs(config: RunConfig) -> tuple[list[Finding], Case | None]:
    try:
        plain = to_plain(config)
    except TypeError as error:
        return [_refusal("GATE-TYPE", "a config holds text, numbers and enums", str(error))], None
    return _inputs_of("stills" if isinstance(config, StillsConfig) else "video", plain)


def _inputs_of(command: str, plain: object) -> tuple[list[Finding], Case | None]:
    """What comes in from outside, and the case for the contest's rules once the config can be read."""
    config, found = closed_config.read(command, plain)
    if config is None:
        return found, None
    try:
        if not found:
            check(config)
        case = Case(config=config, limits=contest_limits.load(config.contest.name), uses=uses(config))
    except PokoraError as error:
        return [*found, _from_error(error)], None
    return [*found, *loadable_weights.judge(case)], case


def _from_error(error: PokoraError) -> Finding:
    return _refusal(error.code, "not a config that renders", error.got, error.expected, error.fix)


def _refusal(code: str, message: str, got: str, expected: str = "", fix: str = "") -> Finding:
    return Finding(
        code=code,
        severity=Severity.block,
        message=message,
        got=got,
        expected=expected,
        fix=fix,
        where="config",
    )


def _raise(found: list[Finding]) -> None:
    """ConfigError with the first finding's code, naming them all."""
    if not found:
        return
    first = found[0]
    if len(found) == 1:
        got = f"{first.message} ({': '.join(part for part in (first.where, first.got) if part)})"
        raise ConfigError(first.code, got, expected=first.expected, fix=first.fix)
    each = " ".join(f"({number}) {finding.line()}" for number, finding in enumerate(found, start=1))
    raise ConfigError(first.code, f"{len(found)} problems: {each}")
