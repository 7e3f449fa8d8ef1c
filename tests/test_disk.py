"""Free disk is asked before anything is computed: what a run and a bundle need, and the refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import replayed
import submitted

from pokora_anime.bundle import build, names
from pokora_anime.commands import render
from pokora_anime.compliance.guard.places import run_folder
from pokora_anime.config.compose import compose
from pokora_anime.devices import disk
from pokora_anime.errors import MachineError

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
    need = disk.needed(compose(command))
    free[0] = need - 3 * MB
    with pytest.raises(MachineError) as refused:
        render.main(command, ["--out", str(tmp_path / "out")])
    line = refused.value.line()
    assert line.startswith(
        f"SYS-DISK: {need / 1e6:.3g} MB to write and {free[0] / 1e6:.3g} MB free in {tmp_path}"
    )
    assert line.endswith("expected about 3 MB more; fix: free some space, or --out DIR on another disk")
    assert not (tmp_path / "out").exists()


def test_a_run_needs_at_least_what_one_like_it_wrote() -> None:
    config = compose("video", [*replayed.SMALL])
    run = replayed.rendered(submitted.workplace() / "outputs")
    wrote = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert wrote < disk.needed(config) < 100 * MB


def test_what_is_there_already_is_not_needed_again(tmp_path: Path, free: list[int]) -> None:
    config = compose("video")
    folder = run_folder(config, tmp_path)
    (folder / "stages").mkdir(parents=True)
    (folder / "stages" / "motion-1.safetensors").write_bytes(bytes(5 * MB))
    free[0] = disk.needed(config) - 5 * MB
    disk.require(config, folder)
    free[0] -= 1
    with pytest.raises(MachineError, match="SYS-DISK"):
        disk.require(config, folder)


def test_more_segments_maps_pixels_and_quality_need_more() -> None:
    plain = disk.needed(compose("video"))
    for words in (
        "shot.seconds=20", "control.source=draft", "finish=hires", "encode.crf=0", "finish.width=1024",
        "quality.reroll=3",
    ):  # fmt: skip
        assert disk.needed(compose("video", [words])) > plain + 2 * MB, words


def test_a_bundle_that_does_not_fit_is_refused_before_its_documents_are_made(
    tmp_path: Path, free: list[int]
) -> None:
    root = submitted.copied(tmp_path)
    told: list[str] = []
    free[0] = MB
    with pytest.raises(MachineError, match=r"SYS-DISK: .* to write and 1 MB free .*then build again"):
        build.build(root, submitted.WORDS, draft=True, tell=told.append)
    assert not any("write-up" in line for line in told)
    assert not (root / names.FOLDER / names.DIST).exists()
    made = sum(path.stat().st_size for path in submitted.bundle().parent.iterdir())
    free[0] = 10**12
    assert made < build._size(build.consider(root, submitted.WORDS, draft=True))
