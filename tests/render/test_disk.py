"""Free disk is asked before anything is computed: what a run needs, and the refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pokora_anime.cli.render import render
from pokora_anime.config.compose import compose
from pokora_anime.devices.forecast import disk_space
from pokora_anime.errors import MachineError
from pokora_anime.render.worker.run_paths import run_folder

MB = 10**6


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that the disk says to have; the test sets them."""
    left = [0]
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - left[0], left[0])
    )
    return left


@pytest.mark.parametrize("command", ["video", "stills"])
def test_a_run_that_does_not_fit_is_refused_before_anything_is_written(
    command: str, tmp_path: Path, free: list[int]
) -> None:
    need = disk_space.needed(compose(command))
    free[0] = need - 3 * MB
    with pytest.raises(MachineError) as refused:
        render.main(command, ["--out", str(tmp_path / "out")])
    line = refused.value.line()
    sizes = f"{need / 1e6:.3g} MB to write and {free[0] / 1e6:.3g} MB free in {tmp_path}"
    assert line.startswith(f"SYS-DISK: a run does not fit: {sizes}")
    assert line.endswith("expected 3 MB more; fix: free some space, or --out DIR on another disk")
    assert not (tmp_path / "out").exists()


def test_what_is_there_already_is_not_needed_again(tmp_path: Path, free: list[int]) -> None:
    config = compose("video")
    folder = run_folder(config, tmp_path)
    (folder / "stages").mkdir(parents=True)
    (folder / "stages" / "motion-1.safetensors").write_bytes(bytes(5 * MB))
    free[0] = disk_space.needed(config) - 5 * MB
    disk_space.require(config, folder)
    free[0] -= 1
    with pytest.raises(MachineError, match="SYS-DISK"):
        disk_space.require(config, folder)


def test_more_segments_maps_pixels_and_quality_need_more() -> None:
    plain = disk_space.needed(compose("video"))
    for words in (
        "shot.seconds=20", "control.source=draft", "finish=hires", "encode.crf=0", "finish.width=1024",
        "quality.reroll=3",
    ):  # fmt: skip
        assert disk_space.needed(compose("video", [words])) > plain + 2 * MB, words
