"""A run judged before anything is rendered: what `check` and the studio say of typed words. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from pokora_anime.config import gate
from pokora_anime.config.overrides import screen
from pokora_anime.findings import Finding, verdict, worst_first
from pokora_anime.schema.settings import RunConfig


def judge(command: str, overrides: Sequence[str]) -> tuple[str, list[Finding]]:
    """The contest's name ("" if nothing was composed) and all findings, the gravest first.

    Raises ConfigError and PromptError for words that make no config.
    """
    typed = [finding for override in overrides for finding in screen(command, override)]
    if typed:
        return "", typed
    from pokora_anime.config.compose import compose

    config = compose(command, overrides)
    return config.contest.name, findings_of(config)


def findings_of(config: RunConfig) -> list[Finding]:
    """All findings about a composed config, the gravest first, with the notes on its prompt."""
    from pokora_anime.config import prompt_notes

    return worst_first([*gate.examine(config), *prompt_notes.findings(config)])


def report(command: str, contest: str, findings: Sequence[Finding]) -> dict[str, object]:
    """The judgement as plain data."""
    return {
        "command": command,
        "contest": contest,
        "verdict": verdict(findings).value,
        "findings": [finding.to_plain() for finding in findings],
    }
