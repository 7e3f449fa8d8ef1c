"""`pokora reproduce`: a bundle rendered again by this install, or by its own source in a sandbox."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from support import forged_bundle, submission_checkout

from pokora_anime.cli import main
from pokora_anime.errors import PokoraError
from pokora_anime.jobs.render_job import render
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.sandbox.landlock import landlock_abi
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import credentials
from pokora_anime.submission.check import documents_again, entry_verdict
from pokora_anime.submission.check.examine_bundle import examine_and_show, listed_runs, read_manifest
from pokora_anime.submission.documents import content
from pokora_anime.submission.reproduce import compare_runs, reproduce_runs, untrusted_source
from pokora_anime.submission.reproduce.reproduce_runs import Trust
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.verdict import Verdict

needs_landlock = pytest.mark.skipif(sys.platform != "linux" or not landlock_abi(), reason="needs Landlock")


def video() -> Path:
    """The run of the workplace's clip."""
    return next((submission_checkout.workplace() / "outputs" / "video").iterdir())


@pytest.mark.slow
def test_a_bundle_renders_to_the_same_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(
        ["reproduce", str(submission_checkout.bundle()), "--out", str(tmp_path / "again"), "--json"]
    )
    told = json.loads(capsys.readouterr().out)
    assert (status, told["verdict"]) == (0, "PASS")
    assert [(run["equal"], run["of"], run["video_bytes_equal"]) for run in told["runs"]] == [
        (24, 24, True),
        (1, 1, None),
    ]
    assert len(list((tmp_path / "again").iterdir())) == 2


def test_what_does_not_verify_is_not_rendered(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    data = bytearray(submission_checkout.bundle().read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    outcome = reproduce_runs.reproduce(
        path, tmp_path / "out", key="", trust=Trust(), render=render, tell=print
    )
    assert outcome.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_other_frames_fail(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(video(), tmp_path / "copy"))
    line = [find_ffmpeg(), "-y", "-loglevel", "error", "-i", str(video() / run_layout.VIDEO), "-vf", "negate"]
    subprocess.run([*line, str(copy / run_layout.VIDEO)], check=True)
    frames = json.loads((copy / run_layout.FRAMES).read_bytes())
    frames["rgb_sha256"] = ["0" * 64] * frames["count"]
    (copy / run_layout.FRAMES).write_text(json.dumps(frames))
    same = compare_runs.compare("video", read_run(video()), read_run(copy))
    assert (same.verdict, same.equal) == (Verdict.failed, 0)


def test_nearly_equal_pictures_are_for_a_person_where_every_bit_should_be_equal(tmp_path: Path) -> None:
    still = next((submission_checkout.workplace() / "outputs" / "stills").iterdir())
    copy = Path(shutil.copytree(still, tmp_path / "copy"))
    picture = np.array(Pictures.open(copy / "still-1.png"))
    picture[0, 0, 0] ^= 1
    Pictures.fromarray(picture).save(copy / "still-1.png")
    same = compare_runs.compare("stills", read_run(still), read_run(copy))
    assert (same.verdict, same.expected) == (Verdict.review, True)
    readings = [read_run(folder) for folder in (still, copy)]
    for node in (node for reading in readings for node in reading.nodes):
        node.environment["compile"] = "default"
    same = compare_runs.compare("stills", *readings)
    assert (same.verdict, same.expected) == (Verdict.passed, False)


def test_the_difference_of_the_source_is_shown(tmp_path: Path) -> None:
    with zipfile.ZipFile(submission_checkout.bundle()) as opened:
        opened.extractall(tmp_path)
    place = tmp_path / submission_checkout.bundle().stem
    cli = place / "source" / "pokora_anime" / "cli" / "__init__.py"
    cli.write_text(cli.read_text().replace("render an 8-10 s clip", "send \x1b[2J home"))
    shown = untrusted_source.difference(Folder(place, LIMITS))
    assert "+++ bundle/pokora_anime/cli/__init__.py" in shown
    assert "send \\u{1b}[2J home" in shown
    assert "\x1b" not in shown


def test_nobody_who_agrees_means_that_nothing_runs(tmp_path: Path) -> None:
    trust = Trust(source=True, confirm=lambda difference: False)
    with pytest.raises(PokoraError, match="SUB-TRUST"):
        reproduce_runs.reproduce(
            submission_checkout.bundle(),
            tmp_path / "out",
            key="",
            trust=trust,
            render=render,
            tell=lambda line: None,
        )


@pytest.mark.slow
@needs_landlock
def test_the_bundles_own_source_renders_confined(tmp_path: Path) -> None:
    source = _source(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    reading = read_run(video())
    again = read_run(untrusted_source.render(reproduce_runs.as_it_ran(reading), work, source))
    same = compare_runs.compare("video", reading, again)
    assert (same.verdict, same.equal) == (Verdict.passed, 24)


@needs_landlock
def test_source_that_looks_around_gets_nowhere(tmp_path: Path) -> None:
    source = _source(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    pipeline = source / "pokora_anime" / "render" / "pipeline.py"
    spy = f"open({str(tmp_path / 'out.txt')!r}, 'w').write(open({str(secret)!r}).read())\n"
    pipeline.write_text(spy)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(PokoraError, match="SYS-RENDER"):
        untrusted_source.render(reproduce_runs.as_it_ran(read_run(video())), work, source)
    assert not (tmp_path / "out.txt").exists()


def _source(target: Path) -> Path:
    """The package in a folder of its own, with the weights that a bundle of nano carries."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        submission_checkout.ROOT / "pokora_anime", target / "source" / "pokora_anime", ignore=ignored
    )
    shutil.copytree(submission_checkout.ROOT / "conf", target / "source" / "conf")
    return target / "source"


# The MP4 itself: what it decodes to, whatever was recorded of the frames before encoding


def _encoded(target: Path, *filters: str, crf: int = 16) -> Path:
    """A copy of the run whose MP4 was encoded again; the recorded hashes before encoding stay honest."""
    copy = Path(shutil.copytree(video(), target / "copy"))
    line = [find_ffmpeg(), "-y", "-loglevel", "error", "-i", str(video() / run_layout.VIDEO), *filters]
    line += ["-crf", str(crf), "-pix_fmt", "yuv420p", "-fps_mode", "passthrough"]
    subprocess.run([*line, str(copy / run_layout.VIDEO)], check=True)
    return copy


def _compared(copy: Path, *, elsewhere: bool = False) -> compare_runs.Same:
    """The copy as what was recorded against the honest run as what was rendered anew."""
    recorded, new = read_run(copy), read_run(video())
    for node in recorded.nodes if elsewhere else ():
        node.environment["processor"] = "another"
    return compare_runs.compare("video", recorded, new)


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        ("-vf", "negate"),
        ("-vf", "hflip"),
        ("-vf", "drawbox=w=24:h=24:c=red:t=fill"),
        ("-vf", "geq=lum='clip(lum(X,Y)+40*(1-2*mod(X+Y,2)),0,255)':cb='cb(X,Y)':cr='cr(X,Y)'"),
        ("-vf", "eq=brightness=0.2"),
    ],
    ids=["negative", "mirrored", "a box", "a pattern whose 2x2 mean is zero", "brighter"],
)
def test_a_foreign_mp4_beside_honest_hashes_fails(
    filters: tuple[str, ...], elsewhere: bool, tmp_path: Path
) -> None:
    same = _compared(_encoded(tmp_path, *filters), elsewhere=elsewhere)
    assert (same.equal, same.count, same.expected) == (24, 24, not elsewhere)
    assert same.verdict is Verdict.failed
    assert "decode to others" in same.reason


def test_no_recorded_crf_loosens_the_comparison(tmp_path: Path) -> None:
    copy = _encoded(tmp_path, "-vf", "drawbox=w=40:h=40:c=red@0.5:t=fill", crf=51)
    recorded, new = read_run(copy), read_run(video())
    recorded.config["encode"] = {"crf": 51}
    for node in recorded.nodes:
        node.environment["processor"] = "another"
    assert compare_runs.compare("video", recorded, new).verdict is Verdict.failed


def test_the_same_frames_encoded_again_pass_on_another_machine_alone(tmp_path: Path) -> None:
    copy = _encoded(tmp_path)
    assert _compared(copy, elsewhere=True).verdict is Verdict.passed
    assert _compared(copy).verdict is Verdict.failed


def test_another_file_of_the_same_frames_is_never_a_pass_in_the_same_environment(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(video(), tmp_path / "copy"))
    with (copy / run_layout.VIDEO).open("ab") as file:
        file.write(b"\0\0\0\x08free")
    same = _compared(copy)
    assert (same.verdict, same.video_equal) == (Verdict.review, False)
    assert _compared(copy, elsewhere=True).verdict is Verdict.passed


# What a bundle shows beside its runs


def test_what_an_honest_bundle_shows_is_made_again_byte_for_byte() -> None:
    told = entry_verdict.examine(forged_bundle.honest())
    assert told is not None
    assert (told.verdict, told.findings) == (Verdict.passed, ())


def test_a_poster_with_foreign_pictures_is_found_although_it_is_set_as_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = forged_bundle.copied(tmp_path)
    opened = Folder(folder, LIMITS)
    told = read_manifest(opened, LIMITS)
    with monkeypatch.context() as patch:
        honest = content.collect

        def painted(*words: Any, **more: Any) -> content.Content:
            found = honest(*words, **more)
            return replace(found, pictures={name: 255 - one for name, one in found.pictures.items()})

        patch.setattr(content, "collect", painted)
        made = documents_again.make(opened, told, listed_runs(opened, LIMITS))
    (folder / file_names.POSTER).write_bytes(made.poster)
    forged_bundle.mend(folder)
    found = examine_and_show(folder, pictures=False)[0].integrity
    assert {(one.code, one.where) for one in found} == {("BND-DOCUMENT", file_names.POSTER)}
    shown = entry_verdict.examine(folder)
    assert shown is not None
    assert (shown.verdict, {one.code for one in shown.findings}) == (Verdict.failed, {"BND-DOCUMENT"})


def test_other_words_than_the_manifest_has_are_found_in_the_documents(tmp_path: Path) -> None:
    folder = forged_bundle.copied(tmp_path)
    forged_bundle.mend(folder, lambda told: told["words"].update(artistic_statement="Something else."))
    shown = entry_verdict.examine(folder)
    assert shown is not None
    assert {(one.code, one.where) for one in shown.findings} == {
        ("BND-DOCUMENT", file_names.WRITEUP),
        ("BND-DOCUMENT", file_names.POSTER),
    }


@pytest.mark.parametrize("command", ["replay", "reproduce"])
def test_replay_and_reproduce_look_at_the_entry(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = forged_bundle.copied(tmp_path)
    (folder / file_names.still(0)).write_bytes((forged_bundle.run(folder) / "keyframe.png").read_bytes())
    forged_bundle.mend(folder)
    nonce = ["--nonce", "7", "--nodes", "3"] if command == "replay" else []
    assert main([command, str(folder), *nonce, "--out", str(tmp_path / "out")]) == 1
    assert "BND-ENTRY" in capsys.readouterr().out


def test_signed_copies_that_nobody_validated_are_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "available", lambda: False)
    folder = forged_bundle.copied(tmp_path)
    forged_bundle.with_copies(folder)
    forged_bundle.mend(folder)
    report = examine_and_show(folder, pictures=False)[0]
    assert {one.code for one in report.integrity} == {"BND-UNREAD"}
    assert report.verdicts["INTEGRITY"] is Verdict.review
