"""The examples run as they stand, at a tiny size."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from pokora_anime.prompt import prompt_attributes
from pokora_anime.submission import project
from pokora_anime.workshop.data import data_adding
from pokora_anime.workshop.judging import camera_move

EXAMPLES = Path(__file__).parent.parent / "examples"
TINY = (
    *("base.width=64", "base.height=64", "finish.width=64", "finish.height=64", "speed.steps=1"),
    *("shot.fps=4", "control=none", "quality.score=false", "quality.preview=false", "finish.fps=8"),
    *("device.threads=1", "guard=off"),
)


def run(*line: str, folder: Path) -> str:
    """What an example prints, started from elsewhere than the checkout."""
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def shell() -> str:
    found = shutil.which("sh")
    if found is None or not (Path(sys.prefix) / "bin" / "pokora").exists():
        pytest.skip("needs a shell and the installed command")
    return found


def test_the_sweep_has_a_job_for_each_prompt_of_its_file(shell: str, tmp_path: Path) -> None:
    printed = run(shell, str(EXAMPLES / "sweep.sh"), "seed=1,2", "--cfg", folder=tmp_path)
    lines = (EXAMPLES / "prompts.txt").read_text().splitlines()
    prompts = [line for line in lines if line[:1] not in ("", "#")]
    jobs = [config for config in yaml.safe_load_all(printed) if config]
    assert len(prompts) >= 3 and sorted(job["shot"]["prompt"] for job in jobs) == sorted(prompts * 2)


def test_the_prompt_travels(shell: str, tmp_path: Path) -> None:
    run(shell, str(EXAMPLES / "travel.sh"), *TINY, folder=tmp_path)
    assert len(list(tmp_path.glob("outputs/video/*/video.mp4"))) == 1


def test_the_script_chains_two_segments(tmp_path: Path) -> None:
    words = ("clip.webp", "--steps", "2", "--size", "64", "--frames", "6")
    assert "8 frames" in run(sys.executable, str(EXAMPLES / "motion_pipeline.py"), *words, folder=tmp_path)
    with Image.open(tmp_path / "clip.webp") as clip:
        assert (getattr(clip, "n_frames", 1), clip.size) == (8, (64, 64))


def test_the_project_is_one_that_a_submission_reads(tmp_path: Path) -> None:
    place = project.path(tmp_path)
    place.parent.mkdir()
    shutil.copyfile(EXAMPLES / "project.yaml", place)
    read = project.load(tmp_path)
    assert (read.contest, len(read.members)) == ("cs492c", 2)
    assert read.due is not None and read.due.utcoffset() is not None


def test_the_drawn_character_is_one_girl_whom_no_caption_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    script = str(EXAMPLES / "draw_character.py")
    options = ("--count", "9", "--size", "160", "--eye-color", "gold")
    run(sys.executable, script, str(tmp_path / "drawn"), *options, folder=tmp_path)
    captions = [path.read_text() for path in sorted((tmp_path / "drawn").glob("*.txt"))]
    assert len(captions) == len(list((tmp_path / "drawn").glob("*.png"))) == 9
    told = [prompt_attributes.asked_attributes(caption) for caption in captions]
    assert all(set(one) == {"action", "background", "expression", "shot"} for one in told)
    by = data_adding.Told(licence="CC0-1.0", source="drawn by nano's world")
    drawn = data_adding.add(tmp_path / "drawn", "girl", by)
    assert not [finding for finding in drawn.findings if finding.code != "DAT-NO-CAPTION"]


def test_a_drawn_move_is_a_set_of_clips_that_goes_one_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    options = ("--move", "drift", "--count", "2", "--size", "128")
    run(sys.executable, str(EXAMPLES / "draw_motion.py"), str(tmp_path / "drawn"), *options, folder=tmp_path)
    by = data_adding.Told(licence="CC0-1.0", source="drawn by nano's world")
    added = data_adding.add(tmp_path / "drawn", "drift", by, few=True, clips=True)
    assert not added.findings and added.stored.data.amount == "2 clips of 32 frames"
    clips = [[added.stored.picture(one) for one in clip] for clip in added.stored.data.by_clip().values()]
    move = camera_move.of_clips(clips)
    assert move.right < -3 and abs(move.down) < 3
