"""`pokora check`: the gate alone. Judges a command line or config without loading or rendering anything."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pokora_anime.errors import ConfigError
from pokora_anime.findings import Finding, Severity, of_severity, verdict
from pokora_anime.jobs import judgement
from pokora_anime.rules.typed_words import foreign_options

_COMMANDS = ("video", "stills")


def main(arguments: Sequence[str]) -> int:
    """Print the findings and the verdict; 1 if something is against the rules, else 0.

    Raises ConfigError for a command line that cannot be read (exit status 2).
    """
    words = list(arguments)
    if "-h" in words or "--help" in words:
        from pokora_anime.cli.help_pages import CHECK

        print(CHECK)
        return 0
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    command = words.pop(0) if words and words[0] in _COMMANDS else "video"
    contest, findings = examine(command, words)
    print(_json(command, contest, findings) if as_json else _text(contest, findings))
    return 1 if of_severity(findings, Severity.block) else 0


def examine(command: str, words: Sequence[str]) -> tuple[str, list[Finding]]:
    """The contest's name ("" if nothing was composed) and all findings, the gravest first."""
    foreign = foreign_options(words)
    if foreign:
        return "", foreign
    from pokora_anime.cli.render.render import parse

    request = parse("check", words)
    if request.multirun:
        raise ConfigError("CFG-SYNTAX", "pokora check judges one config", fix="leave out --multirun")
    return judgement.judge(command, request.overrides)


def _json(command: str, contest: str, findings: Sequence[Finding]) -> str:
    return json.dumps(judgement.report(command, contest, findings), ensure_ascii=False, indent=2)


def _text(contest: str, findings: Sequence[Finding]) -> str:
    together: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.severity, finding.code, finding.message, finding.expected, finding.fix)
        together.setdefault(key, []).append(finding)
    lines = [line for alike in together.values() for line in _lines(alike)]
    name = f" for {contest}" if contest else ""
    return "\n".join([*lines, f"{verdict(findings).value}{name}"])


def _lines(alike: Sequence[Finding]) -> list[str]:
    """Findings that differ only in what was got, as one."""
    first = alike[0]
    got = ", ".join(": ".join(part for part in (one.where, one.got) if part) for one in alike)
    lines = [f"{first.severity.value:6}  {first.code}  {first.message}", f"        {got}"]
    if first.expected:
        lines.append(f"        expected {first.expected}")
    if first.fix:
        lines.append(f"        fix: {first.fix}")
    return lines
