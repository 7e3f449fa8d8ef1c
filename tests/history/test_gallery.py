"""The gallery in a real browser, its tables and favourites: runs that are whole, begun, damaged, hostile."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import replay_runs
from support.chromium_page import CHROMIUM, Page, browser

from pokora_anime.cli import main
from pokora_anime.errors import PokoraError
from pokora_anime.history import favourites
from pokora_anime.history.gallery import gallery_files, gallery_runs, gallery_tables
from pokora_anime.history.gallery.gallery_runs import Entry
from pokora_anime.submission import chosen_runs
from pokora_anime.submission.project import Project

HOSTILE = '"><img src=x onerror=alert(1)>'
PROMPT = "=HYPERLINK(\"x\"), <script>alert(2)</script> 'q' {{7*7}}"
CLIPS = "[...document.querySelectorAll('.screen video')]"
CARD = {"warp_error": 1.0, "flicker": 0.5, "subject_consistency": 0.9}


def scored(folder: Path, flicker: float, verdict: str) -> None:
    """Puts a scorecard beside a run that was rendered without one."""
    stage = {
        "values": {**CARD, "flicker": flicker},
        "verdicts": {**dict.fromkeys(CARD, "good"), "flicker": verdict},
    }
    reports = folder / "reports"
    reports.mkdir(exist_ok=True)
    (reports / "scorecard.json").write_text(json.dumps({"generated": stage, "final": stage}))


def copied(source: Path, place: Path) -> Path:
    return Path(shutil.copytree(source, place, ignore=shutil.ignore_patterns("stages", ".lock")))


def job(sweep: Path, number: int, **told: object) -> None:
    seed = f"seed={number}"
    plain = {
        "number": number,
        "command": "video",
        "overrides": [seed, "speed=lcm"],
        "words": [seed, "speed=lcm"],
    }
    (sweep / f"job-{number:03}.json").write_text(json.dumps({**plain, "prompt": PROMPT, **told}))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a sweep of five jobs, a set of stills and a link that leads away."""
    root = tmp_path_factory.mktemp("runs") / "outputs"
    copied(replay_runs.stills(), root / "stills" / "three")
    sweep = root / "sweep" / "video-grid"
    for number, (name, flicker, verdict) in enumerate(
        [("a", 0.2, "good"), ("b", 1.7, "bad"), ("c", 0.85, "fair")]
    ):
        folder = copied(replay_runs.honest(), sweep / "video" / name)
        scored(folder, flicker, verdict)
        job(sweep, number, path=str(folder))
    job(sweep, 3, error="SYS-RENDER: the rendering process was ended by signal 9")
    begun = copied(replay_runs.honest(), sweep / "video" / "begun")
    (begun / "record.json").unlink()
    (begun / "video.mp4").unlink()
    damaged = copied(replay_runs.honest(), sweep / "video" / HOSTILE)
    (damaged / "record.json").write_text("{" * 99)
    (damaged / "video.mp4").unlink()
    os.symlink("/etc/passwd", damaged / "video.mp4")
    gallery_files.begin_sweep(sweep, ["sweep", "seed=0,1,2,3", HOSTILE], 9)
    return root


@pytest.fixture(scope="module")
def sweep(root: Path) -> Path:
    return gallery_files.write_sweep(root / "sweep" / "video-grid")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def shown(page: Page, what: str = ".label") -> list[str]:
    """The words of each card that is shown, in order."""
    return page.tell(
        "[...document.querySelectorAll('.card:not([hidden])')]"
        f".map((card) => card.querySelector('{what}').textContent)"
    )


def chosen(page: Page, selector: str, value: str) -> None:
    page.tell(
        f"(() => {{const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(value)};"
        "e.dispatchEvent(new Event('change'))})()"
    )


def test_a_gallery_ranks_and_filters(page: Page, sweep: Path) -> None:
    assert page.open(sweep.as_uri()) < 5
    assert shown(page)[:3] == ["seed 0", "seed 2", "seed 1"] and shown(page)[5] == "seed 3"
    assert page.tell("document.querySelector('.facts').textContent") == (
        "3 finished, 1 unfinished, 1 failed, 1 damaged, 9 jobs in all: reload for what has come since"
    )
    page.point("#turn", click=True)
    assert shown(page)[:3] == ["seed 1", "seed 2", "seed 0"]
    page.point("#turn", click=True)
    chosen(page, "#rank", "final.flicker")
    assert shown(page)[:3] == ["seed 0", "seed 2", "seed 1"] and shown(page, ".value")[:3] == [
        "0.20",
        "0.85",
        "1.70",
    ]
    chosen(page, "[data-key=seed]", "1")
    assert shown(page) == ["seed 1"]
    page.point("#reset", click=True)
    assert len(shown(page)) == 6
    page.tell(
        "(() => {const t = document.getElementById('text'); t.value = 'signal 9';"
        "t.dispatchEvent(new Event('input'))})()"
    )
    assert shown(page) == ["seed 3"]
    assert page.errors == []


def test_a_clip_plays_under_the_focus_and_two_in_step(page: Page, sweep: Path) -> None:
    page.open(sweep.as_uri())
    for _ in range(40):
        page.key("Tab")
        if page.tell("document.activeElement.className") == "play":
            break
    page.until(
        "document.querySelector('.play video') && document.querySelector('.play video').currentTime > 0"
    )
    page.tell("[...document.querySelectorAll('.pick input')].slice(0, 2).forEach((box) => box.click())")
    page.point("#compare", click=True)
    page.until(f"{CLIPS}.filter((clip) => clip.currentTime > 0.1).length === 2")
    first, second = page.tell(f"{CLIPS}.map((clip) => clip.currentTime)")
    assert abs(first - second) < 0.2
    page.point("#run", click=True)
    page.point("#on", click=True)
    page.until(
        "[...document.querySelectorAll('.screen video')].every((clip) => clip.paused && !clip.seeking)"
    )
    first, second = page.tell(
        "[...document.querySelectorAll('.screen video')].map((clip) => clip.currentTime)"
    )
    assert first == second
    rows = page.tell("[...document.querySelectorAll('#differences tbody tr')].map((row) => row.textContent)")
    assert rows[0] == "seed02" and any(row.startswith("Flicker (delivered frames)0.200.85") for row in rows)
    page.key("Escape")
    assert page.tell("document.getElementById('beside').open") is False
    assert page.errors == []


def test_parallel_coordinates_cut_and_rank_by_keys(page: Page, sweep: Path) -> None:
    page.open(sweep.as_uri())
    page.point("#parallel > summary", click=True)
    page.until("document.querySelectorAll('#lines .axis').length >= 4")
    page.tell("document.querySelector('#lines [data-axis-id=\"final.flicker\"]').focus()")
    page.key("ArrowUp")
    assert shown(page)[:2] == ["seed 0", "seed 2"] and len(shown(page)) == 2
    page.key("Enter")
    assert page.tell("document.getElementById('rank').value") == "final.flicker"
    page.key("Escape")
    assert len(shown(page)) == 6
    x, y = page.middle('#lines [data-axis-id="final.flicker"] .hit')
    page.mouse("mouseMoved", x, y - 109)
    page.mouse("mousePressed", x, y - 109)
    page.mouse("mouseMoved", x, y)
    page.mouse("mouseReleased", x, y)
    assert shown(page) == ["seed 0", "seed 2"]
    assert page.errors == []


def test_a_star_gives_the_command_for_the_file(page: Page, root: Path, sweep: Path) -> None:
    page.open(sweep.as_uri())
    page.tell("localStorage.clear()")
    page.open(sweep.as_uri())
    page.point(".card .star", click=True)
    line = page.tell("favouriteLines()")
    assert line == f"pokora favourite sweep/video-grid/video/a --out {root}"
    page.open(sweep.as_uri())  # it is kept
    assert page.tell("document.querySelector('.card .star').ariaPressed") == "true"
    page.point("#liked", click=True)
    assert shown(page) == ["seed 0"]
    assert main(line.split()[1:]) == 0
    gallery_files.write_sweep(sweep.parent)
    page.open(sweep.as_uri())
    assert page.tell("document.getElementById('tray').hidden") is True
    assert page.tell("document.querySelector('.card .star').ariaPressed") == "true"
    favourites.write(root, [])


def test_a_phone_shows_all_of_it(page: Page, root: Path) -> None:
    for dark in (False, True):
        page.open(gallery_files.write_root(root).as_uri(), 360, 740, dark=dark)
        assert page.tell("document.documentElement.scrollWidth") <= 360
        small = page.tell(
            "[...document.querySelectorAll('button, select, summary, input')].filter((e) => e.offsetParent)"
            ".filter((e) => !e.ariaLabel && !e.textContent.trim() && !e.closest('label'))"
            ".map((e) => e.outerHTML)"
        )
        assert small == []
    assert len(shown(page)) == 8  # two stills, each by itself, and the sweep's


# Without a browser


def test_nothing_of_a_hostile_run_becomes_markup(sweep: Path) -> None:
    text = sweep.read_text()
    assert "<img src=x" not in text and "<script>alert" not in text and HOSTILE not in text
    assert "49" not in re.findall(r"\{\{.*?\}\}", text) and "root:" not in text
    script = text[text.rindex("<script>") + 8 : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert not re.search(r"(?:src|href)=\"(?!\./|#)", text)
    outside = re.findall(r"https?://[\w.]+", text)
    assert set(outside) <= {"http://www.w3.org"}  # a name of SVG, fetched by nobody


def test_a_link_in_a_run_is_not_followed(root: Path) -> None:
    (entry,) = gallery_runs.of_run(root / "sweep" / "video-grid" / "video" / HOSTILE)
    assert entry.status == "damaged" and entry.problem.startswith("REC-JSON")
    assert not (root / "sweep" / "video-grid" / "video" / HOSTILE / "reports" / "poster.webp").is_symlink()


@pytest.mark.parametrize(
    "words", [["--out", "/tmp/x"], ["seed=1", "x\n=2"], ["$(x)=1"], "seed=1", [1], ["a=1"] * 300]
)
def test_words_that_are_no_settings_are_no_command(words: object, tmp_path: Path) -> None:
    job(tmp_path, 0, error="x", words=words)
    (entry,) = gallery_runs.of_sweep(tmp_path)
    assert (entry.status, entry.line) == ("failed", "")


def test_tables_hold_keys_and_scores_and_no_formula(root: Path, sweep: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((sweep.parent / "runs.csv").read_text())))
    assert [row["key.seed"] for row in rows][:3] == ["0", "1", "2"]
    assert [row["final.flicker"] for row in rows][:3] == ["0.2", "1.7", "0.85"]
    assert rows[-1]["status"] == "failed" and rows[-1]["prompt"].startswith("'=HYPERLINK")
    assert rows[0]["again"] == "pokora video seed=0 speed=lcm"


@pytest.mark.launcher
def test_parquet_holds_the_same() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    entries = [
        Entry(status="finished", keys={"a": 1}),
        Entry(status="failed", keys={"a": "x"}, scores={"s": 2.0}),
    ]
    table = parquet.read_table(io.BytesIO(gallery_tables.as_parquet(entries))).to_pydict()
    assert (table["key.a"], table["s"]) == (["1", "x"], [None, 2.0])


def test_favourites_are_kept_and_chosen(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = copied(replay_runs.stills(), root / "stills" / "older")
    os.utime(older / "record.json", (1, 1))
    assert main(["favourite", "three", str(older), "three#2", "--out", str(root)]) == 0
    assert favourites.read(root) == ["stills/three", "stills/older", "stills/three#2"]
    assert main(["favourite", "three#2", "--remove", "--out", str(root)]) == 0
    assert main(["favourite", "--out", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["stills/older", "stills/three"]
    assert main(["favourite", "sweep/video-grid/video/begun", "--out", str(root)]) == 2
    assert "is no finished run" in capsys.readouterr().err
    choice = chosen_runs.choose(root.parent, Project())
    assert [run.folder.name for run in choice.stills] == ["older"]
    assert choice.why["stills"] == "the last of 2 favourites; stills: in the project names another"
    shutil.rmtree(older)
    assert main(["favourite", "older", "--remove", "--out", str(root)]) == 0
    favourites.write(root, [])


def test_the_best_drafts_are_typed_once_more(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pokora_anime.cli.render import sweep as sweeps
    from pokora_anime.jobs import drafts

    asked = drafts.of("video", [drafts.WORD, "speed.steps=9", "shot.seconds=1", "seed=0,1,2"])
    assert asked.words[:2] == [drafts.WORD, "seed=0,1,2"] and {"speed.steps=4", "shot.seconds=1"} <= set(
        asked.words
    )
    kept = sweeps._best(root / "sweep" / "video-grid", sweeps.Wishes(keep=2, drafts=asked))
    typed = ["speed.steps=9", "shot.seconds=1"]
    assert kept == [["seed=0", "speed=lcm", *typed], ["seed=2", "speed=lcm", *typed]]
    assert "(overall score 1.000)" in capsys.readouterr().err


@pytest.mark.parametrize("text", [b"\xff\xfe../../etc\n", b"/etc/passwd\n", b"#x\n\n", b"a\x00b\n"])
def test_lines_that_name_no_run_are_no_favourites(text: bytes, tmp_path: Path) -> None:
    (tmp_path / favourites.FILE).write_bytes(text)
    assert favourites.read(tmp_path) == []


def test_an_empty_place_is_a_page_and_a_missing_one_an_error(tmp_path: Path) -> None:
    assert "Nothing here yet" in gallery_files.write_root(tmp_path).read_text()
    with pytest.raises(PokoraError, match="CFG-FILE"):
        from pokora_anime.cli.history import gallery_command

        gallery_command.main(["nix", "--out", str(tmp_path)])
