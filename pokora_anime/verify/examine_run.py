"""The whole verification of one run: opened, judged, and what a report shows of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Json
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS, Limits
from pokora_anime.untrusted.run_source import open_source
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify import report_data
from pokora_anime.verify.policy import policy
from pokora_anime.verify.record import integrity, signature
from pokora_anime.verify.record.claimed_record import Record, read_record
from pokora_anime.verify.record.stored_contents import Arrays
from pokora_anime.verify.report_data import Exhibits
from pokora_anime.verify.verdict import Report


def examine(path: Path, *, key: str = "", contest: str = "", limits: Limits = LIMITS) -> Report:
    """Verifies a run's folder or a zip of it; never raises for what is wrong with it.

    `key` is the fingerprint that must have signed ("": any), `contest` whose limits apply ("": the
    run's own). Raises ConfigError CFG-CONTEST for a contest without limits.
    """
    return examine_and_show(path, key=key, contest=contest, limits=limits, pictures=False)[0]


def examine_and_show(
    path: Path, *, key: str = "", contest: str = "", limits: Limits = LIMITS, pictures: bool = True
) -> tuple[Report, Exhibits]:
    """As `examine`, with the pictures and the graph for a page; empty without `pictures`."""
    started = time.monotonic()
    beforehand: list[Finding] = []
    try:
        with open_source(path, limits) as folder:
            beforehand += folder.findings
            return examine_folder(
                folder, shown(path), key=key, contest=contest, limits=limits, pictures=pictures
            )
    except Unreadable as error:
        report = Report(
            subject=shown(path),
            integrity=tuple(beforehand),
            unreadable=error.line(),
            seconds=time.monotonic() - started,
        )
        return report, Exhibits()


def examine_folder(
    folder: Folder, subject: str, *, key: str, contest: str, limits: Limits, pictures: bool
) -> tuple[Report, Exhibits]:
    """As `examine_and_show`, for a folder that is open. Raises Unreadable for what is no run."""
    started = time.monotonic()
    record = read_record(folder, limits)
    arrays = Arrays(folder, record, limits)
    report = Report(
        subject=subject,
        facts=_facts(folder, record, limits),
        integrity=few(integrity.check(folder, record, arrays, key, limits), limits),
        policy=few(policy.check(record, arrays, contest), limits),
        contest=contest or shown(_at(record.config, "contest", "name"), 60),
        seconds=time.monotonic() - started,
    )
    show = report_data.collect(folder, record, arrays, limits) if pictures else Exhibits()
    return report, show


def few(findings: Iterable[Finding], limits: Limits) -> tuple[Finding, ...]:
    """At most `limits.findings` of each code and severity; the last of them tells how many more there are."""
    kept: dict[tuple[str, Severity], list[Finding]] = {}
    for one in findings:
        kept.setdefault((one.code, one.severity), []).append(one)
    told: list[Finding] = []
    for alike in kept.values():
        told += alike[: limits.findings]
        if (more := len(alike) - limits.findings) > 0:
            told[-1] = replace(told[-1], message=f"{told[-1].message} (and {more} more)")
    return tuple(told)


def _facts(folder: Folder, record: Record, limits: Limits) -> dict[str, str]:
    config = record.config
    speed = f"{_at(config, 'speed', 'name')}, {_at(config, 'speed', 'steps')} steps"
    facts: dict[str, object] = {
        "command": record.command,
        "prompt": _at(config, "shot", "prompt"),
        "negative": _at(config, "shot", "negative"),
        "style": _at(config, "shot", "prefix"),
        "seed": config.get("seed"),
        "base": _at(config, "base", "weights"),
        "speed": f"{speed}, CFG {_at(config, 'speed', 'guidance_scale')}",
    }
    if record.command == "video":
        told = {name: record.summary[name] for name in ("frames", "fps", "width", "height")}
        facts["video"] = "{frames} frames at {fps} fps, {width}x{height}".format(**told)
    guard = record.guard if isinstance(record.guard, dict) else {}
    facts["guard"] = f"{guard.get('level', 'not recorded')}, network {guard.get('network', 'open')}"
    facts["nodes"] = f"{len(record.steps)} nodes, {len(record.files)} sealed files"
    facts["signed by"] = signature.signer(folder, limits) or "nobody"
    return {name: shown(value, 400) for name, value in facts.items()}


def _at(config: dict[str, Json], group: str, name: str) -> object:
    inside = config.get(group)
    return inside.get(name, "") if isinstance(inside, dict) else ""
