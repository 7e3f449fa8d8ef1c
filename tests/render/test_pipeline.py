"""`pokora video` and `pokora stills` as a user runs them: the shipped nano family, a real MP4."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from support.replay_runs import QUIET

from pokora_anime.config.compose import compose
from pokora_anime.render import pipeline
from pokora_anime.schema.settings import StillsConfig, VideoConfig

# Four short segments, small, that still go through every stage.
SHORT = (
    *("shot.seconds=2", "speed.steps=2", "motion.frames=6", "motion.overlap=2", "seed=3"),
    *("base.width=128", "base.height=128", "finish.width=128", "finish.height=128", "device.threads=1"),
)
SEGMENTS = 4
COMMAND = [sys.executable, "-m", "pokora_anime.cli"]


def pokora(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=cwd, timeout=300)


def video(cwd: Path, *overrides: str) -> Path:
    done = pokora("video", *SHORT, *overrides, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / done.stdout.strip().splitlines()[-1]


def here(root: Path, *overrides: str) -> Path:
    """The same clip as by the command line, rendered in this process: without its start."""
    config = compose("video", [*SHORT, *QUIET, *overrides])
    assert isinstance(config, VideoConfig)
    return pipeline.render_video(config, root / "outputs")


def hashes(folder: Path) -> list[str]:
    return json.loads((folder / "frames.json").read_text())["rgb_sha256"]


def start(cwd: Path) -> subprocess.Popen[str]:
    line = [*COMMAND, "video", *SHORT, *QUIET]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)


def wait_for(cwd: Path, pattern: str, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not list(cwd.glob(pattern)):
        assert child.poll() is None, f"ended before {pattern} appeared: {child.communicate()}"
        assert time.monotonic() < deadline, pattern
        time.sleep(0.02)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an uninterrupted run."""
    return video(tmp_path_factory.mktemp("clip"))


def test_the_clip_is_what_was_asked_for(clip: Path) -> None:
    reader = imageio_ffmpeg.read_frames(str(clip / "video.mp4"))
    meta = next(reader)
    frames = [np.frombuffer(frame, np.uint8) for frame in reader]
    assert (meta["fps"], meta["size"], meta["codec"]) == (24.0, (128, 128), "h264")
    assert meta["pix_fmt"].startswith("yuv420p")
    assert len(frames) == 48 == len(hashes(clip))


def test_the_clip_moves_and_is_no_noise(clip: Path) -> None:
    reader = imageio_ffmpeg.read_frames(str(clip / "video.mp4"))
    next(reader)
    frames = [np.frombuffer(frame, np.uint8).astype(float) for frame in reader]
    assert np.abs(frames[0] - frames[-1]).mean() > 0.5
    neighbours = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:], strict=False)]
    assert max(neighbours) < 40


def test_the_run_folder_holds_what_it_promises(clip: Path) -> None:
    for name in (
        "keyframe.png",
        "reports/choreography.webp",
        "sheet.png",
        "config.yaml",
        "record.json",
    ):
        assert (clip / name).is_file(), name
    record = json.loads((clip / "record.json").read_text())
    operations = [node["op"] for node in record["nodes"]]
    assert operations[:4] == ["prompt", "noise", "keyframe", "choreography"]
    assert operations.count("motion") == SEGMENTS
    assert operations[-3:] == ["finish", "encode", "sheet"]


def test_the_same_command_again_is_answered_from_the_folder(clip: Path) -> None:
    started = time.monotonic()
    assert video(clip.parents[2]) == clip
    assert time.monotonic() - started < 10


def test_the_same_clip_in_another_process_has_the_same_frames(clip: Path, tmp_path: Path) -> None:
    folder = here(tmp_path)
    assert hashes(folder) == hashes(clip)
    before = (folder / "frames.json").stat().st_mtime_ns
    assert hashes(here(tmp_path, "fresh=true")) == hashes(clip)
    assert (folder / "frames.json").stat().st_mtime_ns > before


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run was killed between its first segment and its video: read it, and go on from copies."""
    folder = tmp_path_factory.mktemp("killed")
    child = start(folder)
    wait_for(folder, "outputs/video/*/stages/motion-*.safetensors", child)
    child.send_signal(signal.SIGKILL)
    child.communicate()  # to the end of its output: the processes that it started have ended too
    assert 0 < len(segments(folder)) < SEGMENTS
    assert not list(folder.glob("outputs/video/*/video.mp4"))
    return folder


def segments(folder: Path) -> list[Path]:
    """The finished segments, the oldest one first."""
    found = folder.glob("outputs/video/*/stages/motion-*.safetensors")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def test_a_killed_run_goes_on_to_the_same_frames(clip: Path, killed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "copy"))
    before = [(path, path.stat().st_mtime_ns) for path in segments(folder)]
    assert hashes(video(folder, *QUIET)) == hashes(clip)
    assert [(path, path.stat().st_mtime_ns) for path in segments(folder)][: len(before)] == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_ends_soon_and_says_how_to_go_on(clip: Path, tmp_path: Path) -> None:
    child = start(tmp_path)
    wait_for(tmp_path, "outputs/video/*/stages/motion-*.safetensors", child)
    child.send_signal(signal.SIGINT)
    pressed = time.monotonic()
    _, error = child.communicate(timeout=60)
    assert time.monotonic() - pressed < 4  # 2 s is the bar on an idle machine
    assert child.returncode == 130
    assert "go on" in error.splitlines()[-1] and "Traceback" not in error
    before = len(segments(tmp_path))
    assert 0 < before < SEGMENTS
    kept = [(path, path.stat().st_mtime_ns) for path in segments(tmp_path)]
    assert hashes(here(tmp_path)) == hashes(clip)
    assert [(path, path.stat().st_mtime_ns) for path in segments(tmp_path)][:before] == kept


def test_a_damaged_segment_is_made_again(clip: Path, killed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "copy"))
    segment = segments(folder)[0]
    honest = segment.read_bytes()
    segment.write_bytes(honest[:-1] + bytes([honest[-1] ^ 255]))
    assert hashes(here(folder)) == hashes(clip)
    assert segment.read_bytes() == honest


def test_text_alone_without_keyframe_and_control(tmp_path: Path) -> None:
    folder = here(tmp_path, "keyframe=none", "control=none", "shot.seconds=1")
    record = json.loads((folder / "record.json").read_text())
    assert {node["op"] for node in record["nodes"]} == {
        "prompt",
        "noise",
        "motion",
        "finish",
        "encode",
        "sheet",
    }


def test_high_quality_mode_and_last_latent_chaining(tmp_path: Path) -> None:
    folder = here(
        tmp_path, "speed=hq", "speed.steps=3", "motion.overlap=1", "control=none", "shot.seconds=2.2"
    )
    assert len(hashes(folder)) == 53


def test_stills_carry_their_metadata(tmp_path: Path) -> None:
    asked = ("count=2", "speed.steps=2", "base.width=128", "base.height=128")
    config = compose("stills", [*asked, "shot.prompt=1girl, 'x', (blue hair:1.2)"])
    assert isinstance(config, StillsConfig)
    folder = pipeline.render_stills(config, tmp_path)
    first, second = (Image.open(folder / f"still-{index}.png") for index in (1, 2))
    assert first.size == (768, 768)
    assert first.info["prompt"] == "1girl, 'x', (blue hair:1.2)"  # type: ignore[attr-defined]
    assert np.abs(np.asarray(first, float) - np.asarray(second, float)).mean() > 1


def test_sdxl_without_weights_fails_at_once_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    started = time.monotonic()
    done = pokora("video", "base=sdxl", cwd=tmp_path)
    assert time.monotonic() - started < 5
    assert done.returncode == 3
    assert "pokora models fetch base=sdxl" in done.stderr
    assert "Traceback" not in done.stderr
