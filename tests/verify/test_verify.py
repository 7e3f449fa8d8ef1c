"""`pokora verify` on honest runs: nothing to find, in time, and told so that a person can read it."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors.numpy import save
from support import forged_run, replay_runs
from support.forged_run import Forgery, codes, copied, told, zipped

from pokora_anime.config.compose import compose
from pokora_anime.findings import Finding, Severity
from pokora_anime.media.ffmpeg_program import find_ffmpeg, yuv_hashes
from pokora_anime.provenance.run_layout import video_tag
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.delivery import encode
from pokora_anime.untrusted import stored_arrays, strict_json
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.untrusted_names import problem, shown
from pokora_anime.verify.examine_run import examine, examine_and_show
from pokora_anime.verify.report_page import as_page
from pokora_anime.verify.report_text import as_json, as_text
from pokora_anime.verify.verdict import Report, Verdict

COMMAND = [sys.executable, "-m", "pokora_anime.cli", "verify"]
HOSTILE = "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\r\n"


def verify(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=60)


# Honest runs


def test_an_honest_run_gives_no_finding() -> None:
    report = examine(forged_run.honest())
    assert told(report) == set()
    assert report.integrity == ()
    assert {area: verdict.value for area, verdict in report.verdicts.items()} == {
        "INTEGRITY": "PASS",
        "POLICY": "PASS",
        "REPLAY": "not run",
    }


def test_nano_verifies_and_is_no_entry() -> None:
    report = examine(forged_run.honest())
    assert (report.entry, report.contest) == ("not eligible", "cs492c")
    base = next(finding for finding in report.policy if finding.code == "RULE-BASE")
    assert base.severity is Severity.note
    assert report.exit_code() == 0


def test_another_contest_can_be_judged_by() -> None:
    assert "RULE-BASE" not in {
        finding.code for finding in examine(forged_run.honest(), contest="showcase").policy
    }


def test_what_only_a_person_can_decide_counts_if_strict(tmp_path: Path) -> None:
    forgery = Forgery(tmp_path)
    forgery.record["summary"]["guard"] = None
    report = examine(forgery.seal())
    assert report.verdicts["POLICY"] is Verdict.review
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, 1)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_bundle_of_it_neither(tmp_path: Path, method: int) -> None:
    assert codes(zipped(copied(tmp_path), tmp_path / "run.zip", method)) == set()


def test_a_bundle_with_the_run_in_a_folder_neither(tmp_path: Path) -> None:
    folder = copied(tmp_path / "parent")
    assert codes(zipped(folder.parent, tmp_path / "run.zip")) == set()


def test_logs_and_reports_beside_the_sealed_part_neither(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for name in ("logs/run.log", "reports/verify.html", ".lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    assert codes(folder) == set()


VARIED = (
    ("motion.overlap=1", "finish.interpolation=flow", "shot.fps=12", "motion.frames=8"),
    ("motion.overlap=6", "finish.interpolation=none", "shot.fps=12", "motion.frames=8"),
    *(
        (*("keyframe=none", "control=none", "motion.anchor=none", "motion.noise_share=0.3"), *more)
        for more in (("speed=hq", "style=none"), ("speed=hq", "style=none", "shot.seconds=2.2"))
    ),
    ("control=pose_depth", "shot.seconds=0.5", "motion.color_lock=0.5"),
    ("control=depth", "shot.seconds=0.5", "motion.color_lock=0.5"),
)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", VARIED, ids=" ".join)
def test_varied_honest_runs_neither(overrides: tuple[str, ...], tmp_path: Path) -> None:
    run = replay_runs.rendered(tmp_path, *overrides, "speed.steps=1", *replay_runs.QUIET)
    assert codes(run) - {"RULE-GUIDANCE-INTERVAL"} == set()


def test_honest_stills_neither() -> None:
    assert codes(replay_runs.stills()) == set()


# Cost


def test_an_8_second_clip_takes_under_3_seconds_and_no_torch(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    forgery = Forgery(tmp_path)
    source = ["-f", "lavfi", "-i", "testsrc2=s=768x768:r=24,setsar=0", "-frames:v", "192", "-threads", "2"]
    video = forgery.folder / "video.mp4"
    config = compose("video", ["base=nano", "encode.preset=veryfast"])
    assert isinstance(config, VideoConfig)
    line = encode.command(find_ffmpeg(), (768, 768), 24, config, video, video_tag(forgery.config))
    subprocess.run([line[0], "-v", "error", "-y", *source, *line[line.index("-an") :]], check=True)
    hashes = yuv_hashes(video, 768, 768, 192)
    numbers = {"count": 192, "fps": 24, "width": 768, "height": 768}
    forgery.deliver({**numbers, "rgb_sha256": hashes, "yuv_sha256": hashes})
    folder = forgery.seal()
    code = (
        "import sys; from pokora_anime.cli import main;"
        "status = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(status)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, "verify", folder, "--json"], capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, because a busy machine stretches the clock; ffmpeg is a child of the child.
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = {one["code"] for one in json.loads(done.stdout)["integrity"]}
    assert told == {"INT-SUMMARY", "VID-SHEET"}  # of the small clip
    assert used < 3


# The command line


def test_exit_status_0_1_2(tmp_path: Path) -> None:
    clean = verify(forged_run.honest())
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "INTEGRITY  PASS" in clean.stdout and "POLICY     PASS" in clean.stdout
    folder = copied(tmp_path)
    (folder / "extra.png").write_bytes(b"")
    found = verify(folder)
    assert found.returncode == 1
    assert "INTEGRITY  FAIL" in found.stdout and "INT-EXTRA" in found.stdout
    unreadable = verify(tmp_path / "none.zip")
    assert unreadable.returncode == 2
    assert "SRC-NONE" in unreadable.stdout and "Traceback" not in unreadable.stderr


def test_json(tmp_path: Path) -> None:
    done = verify(forged_run.honest(), "--json", "--key", forged_run.key(2).fingerprint)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert [one["code"] for one in report["integrity"]] == ["SIG-KEY"]
    assert report["verdicts"] == {"INTEGRITY": "FAIL", "POLICY": "PASS", "REPLAY": "not run"}
    assert report["facts"]["signed by"] == forged_run.key().fingerprint
    assert json.loads(verify(tmp_path, "--json").stdout)["unreadable"].startswith("SRC-RECORD")


def test_an_unknown_contest_and_a_wrong_word_are_one_line(tmp_path: Path) -> None:
    for words in (["--contest", "none"], ["--nonsense"]):
        done = verify(forged_run.honest(), *words)
        assert done.returncode == 2
        assert done.stderr.startswith("pokora: CFG-") and done.stderr.count("\n") == 1


# The page


class Tags(HTMLParser):
    """Elements of a page, and their attributes that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def read_page(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_the_page_shows_frames_and_graph_and_loads_nothing(tmp_path: Path) -> None:
    target = tmp_path / "verify.html"
    assert verify(forged_run.honest(), "--html", target).returncode == 0
    page = target.read_text()
    tags = read_page(page)
    assert {"svg", "img", "table"} <= tags.tags and not {"script", "link", "iframe", "object"} & tags.tags
    assert tags.loads and all(one.startswith("data:image/jpeg;base64,") for one in tags.loads)
    assert "http:" not in page and "https:" not in page and "url(" not in page
    assert page.count("frame ") >= 8 and "not eligible" in page


def test_a_hostile_run_cannot_write_into_terminal_or_page(tmp_path: Path) -> None:
    forgery = Forgery(tmp_path)
    summary = forgery.record["summary"]
    summary["config"]["shot"]["prompt"] = summary["config"]["contest"]["name"] = HOSTILE
    summary["guard"] = {"level": HOSTILE}
    node = forgery.of("control")
    node["op"] = node["id"] = HOSTILE
    forgery.of("sheet")["op"] = "<script>x</script>"
    forgery.record["weights"][HOSTILE] = {"row": HOSTILE, "files": {HOSTILE: HOSTILE}}
    forgery.record["files"][HOSTILE] = HOSTILE
    forgery.write_record()
    report, exhibits = examine_and_show(forgery.folder)
    assert len(report.findings) > 10
    text = as_text(report)
    assert all(line.isprintable() for line in text.split("\n"))
    assert as_json(report).isascii() and "\x1b" not in str(json.loads(as_json(report)))
    page = as_page(report, exhibits)
    assert not {"script"} & read_page(page).tags
    assert "<img src=x" not in page and "\x1b" not in page and "\u202e" not in page


def test_a_page_about_nothing_readable(tmp_path: Path) -> None:
    report, exhibits = examine_and_show(tmp_path)
    assert "SRC-RECORD" in as_page(report, exhibits)


def test_many_findings_stay_readable() -> None:
    many = tuple(Finding(code=f"X-{one}", severity=Severity.block, message="m") for one in range(100))
    text = as_text(Report(subject="run", integrity=many))
    assert "X-39" in text and "X-40" not in text and "... and 60 more" in text


# Parts


@given(text=some.text())
def test_shown_text_is_one_printable_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text, 20)) <= 20


@pytest.mark.parametrize(
    "name", ["video.mp4", "stages/motion-0.safetensors", "still-1.png", ".lock", "日本.png"]
)
def test_plain_names_may_name_files(name: str) -> None:
    assert problem(name) == ""


@pytest.mark.parametrize(
    "name", ["", "/a", "a//b", "../a", "a/..", ".", "c:a", "a:b", "a\\b", "a\0", "nul.txt", "a ", "a."]
)
def test_other_names_may_not(name: str) -> None:
    assert problem(name)


def test_a_file_swapped_after_the_folder_was_listed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"honest")
    folder = Folder(tmp_path, LIMITS)
    (tmp_path / "other").write_bytes(b"forged")
    (tmp_path / "other").replace(tmp_path / "a")
    with pytest.raises(Unreadable, match="SRC-DAMAGED"):
        folder.sha256("a")


def test_a_file_that_grows_while_it_is_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"honest")
    folder = Folder(tmp_path, LIMITS)
    with (tmp_path / "a").open("ab") as handle:
        handle.write(b" and more")
    with pytest.raises(Unreadable, match="SRC-DAMAGED"):
        folder.read("a", 100)


JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**60), 2**60)
    | some.text(some.characters(codec="utf-8")),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(some.text(some.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_strict_json_reads_what_is_strict(value: Any) -> None:
    assert strict_json.parse(json.dumps(value).encode(), LIMITS) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a":1,"a":2}', "JSN-DUPLICATE"),
        ('{"a":{"b":1,"\\u0062":2}}', "JSN-DUPLICATE"),
        ("[NaN]", "JSN-NUMBER"),
        ("[-Infinity]", "JSN-NUMBER"),
        ("[1e400]", "JSN-NUMBER"),
        ("[" + "1" * 30 + "]", "JSN-NUMBER"),
        ("[0." + "1" * 40 + "]", "JSN-NUMBER"),
        ("[" * 100 + "]" * 100, "JSN-DEPTH"),
        ("[" * 100_000, "JSN-DEPTH"),
        ('"\\ud83d"', "JSN-UTF8"),
        ("{,}", "JSN-SYNTAX"),
        ("[1] [2]", "JSN-SYNTAX"),
        ('"a\nb"', "JSN-SYNTAX"),
        ("", "JSN-SYNTAX"),
    ],
)
def test_strict_json_refuses_the_rest(text: str, code: str) -> None:
    with pytest.raises(strict_json.BadJson) as refused:
        strict_json.parse(text.encode(), LIMITS)
    assert refused.value.code == code


@settings(max_examples=30)
@given(
    kinds=some.lists(some.sampled_from(["<f4", "|u1", "<f2", "<i8"]), min_size=1, max_size=3),
    shape=some.lists(some.integers(1, 4), max_size=4),
)
def test_arrays_are_read_as_safetensors_writes_them(kinds: list[str], shape: list[int]) -> None:
    given_arrays = {
        f"array {index}": np.arange(int(np.prod(shape)), dtype=kind).reshape(shape)
        for index, kind in enumerate(kinds)
    }
    stored = stored_arrays.parse(save(given_arrays, metadata={"node": "x"}), LIMITS)
    assert stored.metadata == {"node": "x"} and set(stored.arrays) == set(given_arrays)
    for name, array in given_arrays.items():
        assert stored.arrays[name].dtype == array.dtype
        assert np.array_equal(stored.arrays[name], array)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
def test_a_browser_shows_the_page(tmp_path: Path) -> None:
    report, exhibits = examine_and_show(forged_run.honest())
    (tmp_path / "page.html").write_text(as_page(report, exhibits))
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --virtual-time-budget=2000"
    line = ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*line, str(tmp_path / "page.html")], capture_output=True, text=True, timeout=90)
    assert html.escape(report.facts["prompt"]) in done.stdout
    assert "INTEGRITY" in done.stdout and "<svg" in done.stdout
