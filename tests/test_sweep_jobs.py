"""Jobs of a sweep beside each other: equal ones, and what a grid of runs refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pokora_anime.commands import render, sweep
from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.provenance.folder import RunFolder


def test_an_equal_job_waits_for_the_one_that_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = RunFolder.open(tmp_path, "stills", "equal", "a" * 64, fresh=False)
    waits: list[float] = []

    def other_finishes(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            first.close()

    def attempt() -> Path:
        with RunFolder.open(tmp_path, "stills", "equal", "a" * 64, fresh=False) as mine:
            return mine.path

    with pytest.raises(MachineError, match="SYS-LOCK"):
        attempt()
    monkeypatch.setattr(sweep.time, "sleep", other_finishes)
    assert sweep._in_turn(attempt) == first.path
    assert waits == [sweep._LOOK_AGAIN] * 2


def test_another_error_of_a_job_is_its_own() -> None:
    def attempt() -> Path:
        raise MachineError("SYS-DISK", "full")

    with pytest.raises(MachineError, match="SYS-DISK"):
        sweep._in_turn(attempt)


@pytest.mark.parametrize(
    "start",
    [
        lambda words: render.main("stills", ["--multirun", *words]),
        lambda words: render.sweep_main(words),
    ],
)
def test_a_sweep_that_should_be_printed_renders_nothing(
    start: Callable[[list[str]], int], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="CFG-SYNTAX: --cfg with a sweep"):
        start(["seed=1,2", "--cfg", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
