"""`pokora reproduce`: a bundle rendered again by this install, or by its own source in a sandbox."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import submitted
from PIL import Image as Pictures

from pokora_anime.bundle import compare, reproduce, trusted
from pokora_anime.bundle.reproduce import Trust
from pokora_anime.cli import main
from pokora_anime.compliance.guard.landlock import landlock_abi
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import LIMITS
from pokora_anime.compliance.verify.verdict import Verdict
from pokora_anime.errors import PokoraError
from pokora_anime.provenance import layout
from pokora_anime.provenance.ffmpeg import find_ffmpeg
from pokora_anime.provenance.reading import read_run

needs_landlock = pytest.mark.skipif(sys.platform != "linux" or not landlock_abi(), reason="needs Landlock")


def video() -> Path:
    """The run of the workplace's clip."""
    return next((submitted.workplace() / "outputs" / "video").iterdir())


@pytest.mark.slow
def test_a_bundle_renders_to_the_same_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["reproduce", str(submitted.bundle()), "--out", str(tmp_path / "again"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (status, told["verdict"]) == (0, "PASS")
    assert [(run["equal"], run["of"], run["video_bytes_equal"]) for run in told["runs"]] == [
        (24, 24, True),
        (1, 1, None),
    ]
    assert len(list((tmp_path / "again").iterdir())) == 2


def test_what_does_not_verify_is_not_rendered(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    data = bytearray(submitted.bundle().read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    outcome = reproduce.reproduce(path, tmp_path / "out", key="", trust=Trust(), tell=lambda line: None)
    assert outcome.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_other_frames_fail(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(video(), tmp_path / "copy"))
    line = [find_ffmpeg(), "-y", "-loglevel", "error", "-i", str(video() / layout.VIDEO), "-vf", "negate"]
    subprocess.run([*line, str(copy / layout.VIDEO)], check=True)
    frames = json.loads((copy / layout.FRAMES).read_bytes())
    frames["rgb_sha256"] = ["0" * 64] * frames["count"]
    (copy / layout.FRAMES).write_text(json.dumps(frames))
    same = compare.compare("video", read_run(video()), read_run(copy))
    assert (same.verdict, same.equal) == (Verdict.failed, 0)


def test_nearly_equal_pictures_are_for_a_person_where_every_bit_should_be_equal(tmp_path: Path) -> None:
    still = next((submitted.workplace() / "outputs" / "stills").iterdir())
    copy = Path(shutil.copytree(still, tmp_path / "copy"))
    picture = np.array(Pictures.open(copy / "still-1.png"))
    picture[0, 0, 0] ^= 1
    Pictures.fromarray(picture).save(copy / "still-1.png")
    same = compare.compare("stills", read_run(still), read_run(copy))
    assert (same.verdict, same.expected) == (Verdict.review, True)
    readings = [read_run(folder) for folder in (still, copy)]
    for node in (node for reading in readings for node in reading.nodes):
        node.environment["compile"] = "default"
    same = compare.compare("stills", *readings)
    assert (same.verdict, same.expected) == (Verdict.passed, False)


def test_the_difference_of_the_source_is_shown(tmp_path: Path) -> None:
    with zipfile.ZipFile(submitted.bundle()) as opened:
        opened.extractall(tmp_path)
    place = tmp_path / submitted.bundle().stem
    cli = place / "source" / "pokora_anime" / "cli.py"
    cli.write_text(cli.read_text().replace("render an 8-10 s clip", "send \x1b[2J home"))
    shown = trusted.difference(Folder(place, LIMITS))
    assert "+++ bundle/pokora_anime/cli.py" in shown
    assert "send \\u{1b}[2J home" in shown
    assert "\x1b" not in shown


def test_nobody_who_agrees_means_that_nothing_runs(tmp_path: Path) -> None:
    trust = Trust(source=True, confirm=lambda difference: False)
    with pytest.raises(PokoraError, match="SUB-TRUST"):
        reproduce.reproduce(submitted.bundle(), tmp_path / "out", key="", trust=trust, tell=lambda line: None)


@pytest.mark.slow
@needs_landlock
def test_the_bundles_own_source_renders_confined(tmp_path: Path) -> None:
    source = _source(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    reading = read_run(video())
    again = read_run(trusted.render(reproduce.as_it_ran(reading), work, source))
    same = compare.compare("video", reading, again)
    assert (same.verdict, same.equal) == (Verdict.passed, 24)


@needs_landlock
def test_source_that_looks_around_gets_nowhere(tmp_path: Path) -> None:
    source = _source(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    pipeline = source / "pokora_anime" / "pipeline.py"
    spy = f"open({str(tmp_path / 'out.txt')!r}, 'w').write(open({str(secret)!r}).read())\n"
    pipeline.write_text(spy)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(PokoraError, match="SYS-RENDER"):
        trusted.render(reproduce.as_it_ran(read_run(video())), work, source)
    assert not (tmp_path / "out.txt").exists()


def _source(target: Path) -> Path:
    """The package in a folder of its own, with the weights that a bundle of nano carries."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(submitted.ROOT / "pokora_anime", target / "source" / "pokora_anime", ignore=ignored)
    shutil.copytree(submitted.ROOT / "conf", target / "source" / "conf")
    return target / "source"
