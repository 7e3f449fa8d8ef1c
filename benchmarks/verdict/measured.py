"""Verify in a process of its own, so that its seconds and peak memory are its own."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.submission.check.examine_bundle import examine_and_show


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verify found: codes that keep it from being clean (none: clean), or the exception that it raised.

    `seconds`: wall; `peak`: bytes of resident memory, what was loaded before included.
    """

    codes: frozenset[str]
    fault: str
    seconds: float
    cpu: float
    peak: int

    @property
    def clean(self) -> bool:
        return not self.codes and not self.fault


def judge(path: Path) -> Verdict:
    """Verifies a run or a bundle in a forked process."""
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(_codes(path), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - started
    found = json.loads(text) if text else {"codes": [], "fault": f"ended by status {status}"}
    return Verdict(
        codes=frozenset(found["codes"]),
        fault=found["fault"],
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss * 1024,
    )


def _codes(path: Path) -> dict[str, object]:
    try:
        report, _ = examine_and_show(path, pictures=False)
    except BaseException as error:
        return {"codes": [], "fault": f"{type(error).__name__}: {error}"}
    codes = {one.code for one in report.findings if one.severity.value != "note"}
    if report.unreadable:
        codes.add(report.unreadable.partition(":")[0])
    return {"codes": sorted(codes), "fault": ""}
