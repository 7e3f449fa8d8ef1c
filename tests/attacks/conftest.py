"""The table of attacks at the end of `pytest tests/attacks`: by hole, how many were answered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

HOLE = "attack_hole"  # the property that a row's report carries, also from another process


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, hole in getattr(report, "user_properties", []):
                if name == HOLE and report.when == "call":
                    rows[hole] += 1
                    answered[hole] += outcome == "passed"
    if not rows:
        return
    terminalreporter.section("attacks")
    width = max(map(len, rows))
    for hole, count in sorted(rows.items()):
        terminalreporter.write_line(f"{hole:{width}}  {answered[hole]:4} of {count:4} answered")
    total, all_answered = sum(rows.values()), sum(answered.values())
    terminalreporter.write_line(f"{'all':{width}}  {all_answered:4} of {total:4} answered")


@pytest.fixture
def tell_hole(record_property: Any) -> Any:
    """Notes which hole a row attacks, for the table."""
    return lambda hole: record_property(HOLE, hole)
