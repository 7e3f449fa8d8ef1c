"""POLICY: whether the run, as it was recorded, keeps to the rules."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from pokora_anime.config import gate
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.code_hash import package_hash
from pokora_anime.rules import closed_config, contest_limits
from pokora_anime.untrusted.container import finding
from pokora_anime.untrusted.untrusted_names import is_digest, shown
from pokora_anime.verify.policy import graph, node_settings, noise_origin, weights_policy
from pokora_anime.verify.record import surroundings
from pokora_anime.verify.record.claimed_record import Record
from pokora_anime.verify.record.stored_contents import Arrays

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]{0,39}")


def check(record: Record, arrays: Arrays, contest: str) -> list[Finding]:
    """Every finding of POLICY: the config's (GATE-*, RULE-*, CFG-*, PRM-*) and the record's own (POL-*).

    `contest` names the limits to judge by, "" for the contest that the run was made for.
    Raises ConfigError CFG-CONTEST for a name without limits.
    """
    config, _ = closed_config.read(record.command, record.config)
    if contest and config is not None:
        judged = gate.examine(replace(config, contest=contest_limits.load(contest)))
    else:
        judged = gate.examine_recorded(record.command, record.config)
    found = [_safe(one) for one in judged]
    readable = config is not None and not any(one.code.startswith(("GATE-", "CFG-", "PRM-")) for one in found)
    found += [*graph.check(record), *noise_origin.check(record, arrays), *_guard(record), *_machine(record)]
    found += _code(record)
    if config is not None and readable:
        found += [*node_settings.check(record, config), *weights_policy.check(record, config)]
    return found


def _guard(record: Record) -> Iterable[Finding]:
    guard = record.guard
    level = guard.get("level") if isinstance(guard, dict) else None
    if guard is not None and level not in ("landlock", "process", "none"):
        yield finding("POL-GUARD", "a guard of no known level", run_layout.RECORD, shown(guard, 60))
    elif problem := surroundings.guard_problem(guard):
        yield finding(
            "POL-GUARD", "a guard that tells something else than itself", run_layout.RECORD, problem
        )
    elif level is None or level == "none":
        yield _about_guard(
            Severity.review,
            "rendered without a guard" if level else "no guard is recorded",
            "render with guard=require, or have the run replayed",
        )
    elif isinstance(guard, dict) and (level, guard.get("network")) != ("landlock", "closed"):
        yield _about_guard(
            Severity.note,
            f"guard level {level}, network {shown(guard.get('network'), 20)}: this system had no more",
            "",
        )


def _machine(record: Record) -> Iterable[Finding]:
    told = record.content["environment"]
    if problem := surroundings.machine_problem(told if isinstance(told, dict) else {}):
        message = "the record tells something else of its machine than system, processor and Python"
        yield finding("POL-PARAMS", message, run_layout.RECORD, problem)


def _about_guard(severity: Severity, message: str, fix: str) -> Finding:
    return Finding(
        code="POL-GUARD",
        severity=severity,
        message=message,
        expected="level landlock, network closed",
        fix=fix,
        where=run_layout.RECORD,
    )


def _code(record: Record) -> Iterable[Finding]:
    code = record.content["code"]
    if isinstance(code, dict) and not (
        _VERSION.fullmatch(str(code["version"])) and is_digest(code["sha256"])
    ):
        yield finding(
            "POL-CODE", "the sources are not named by version and hash", run_layout.RECORD, shown(code)
        )
    if isinstance(code, dict) and code["sha256"] != package_hash():
        yield Finding(
            code="POL-CODE",
            severity=Severity.note,
            message="rendered with other sources of pokora_anime than those installed here",
            got=shown(f"version {code['version']}"),
            where=run_layout.RECORD,
        )


def _safe(one: Finding) -> Finding:
    """The same finding with what it quotes made safe to show."""
    return replace(
        one,
        message=shown(one.message, 300),
        got=shown(one.got),
        expected=shown(one.expected, 300),
        fix=shown(one.fix, 300),
        where=shown(one.where),
    )
