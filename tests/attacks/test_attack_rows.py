"""The one runner of all attacks that are rows of data (`rows_*.py`): each must be answered with its code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from support import forged_bundle, forged_run, replay_runs, submission_checkout

from attacks.attack import Attack
from pokora_anime.submission.check.examine_bundle import examine_and_show

HERE = Path(__file__).parent
ROWS: list[Attack] = [
    row for path in sorted(HERE.glob("rows_*.py")) for row in import_module(f"attacks.{path.stem}").ROWS
]


def zipped_run(target: Path) -> Path:
    return forged_run.zipped(forged_run.honest(), target / "run.zip")


def zipped_bundle(target: Path) -> Path:
    return Path(shutil.copyfile(submission_checkout.bundle(), target / submission_checkout.bundle().name))


def stills(target: Path) -> Path:
    ignored = shutil.ignore_patterns(".lock", "logs", "reports")
    copied = shutil.copytree(
        replay_runs.stills(), target / "stills", ignore=ignored, copy_function=shutil.copyfile
    )
    return Path(copied)


SUBJECTS: dict[str, Callable[[Path], Path]] = {
    "run": forged_run.copied,
    "stills": stills,
    "bundle": forged_bundle.copied,
    "zipped_run": zipped_run,
    "zipped_bundle": zipped_bundle,
}


def answer(path: Path) -> set[str]:
    """Codes of everything that keeps a run or a bundle from being clean, as `pokora verify` finds them."""
    report, _ = examine_and_show(path, pictures=False)
    return forged_run.told(report)


def test_there_are_at_least_250_attacks_of_different_names() -> None:
    names = [(row.hole, row.name, row.subject) for row in ROWS]
    assert len(names) >= 250
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_honest_subject_has_no_finding(subject: str, tmp_path: Path) -> None:
    # The draft of a bundle is no entry, and says so; nothing else may be said of it.
    assert {code for code in answer(SUBJECTS[subject](tmp_path)) if not code.startswith("SUB-")} == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.hole}: {row.name}")
def test_an_attack_is_answered(row: Attack, tmp_path: Path, tell_hole: Callable[[str], None]) -> None:
    tell_hole(row.hole)
    path = SUBJECTS[row.subject](tmp_path)
    forged = row.forge(path) or path
    assert answer(forged) & row.codes
