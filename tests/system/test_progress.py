"""The display: what is shown and logged, the time left, and what Ctrl-C does."""

from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from rich.console import Console

from pokora_anime.errors import Interrupted
from pokora_anime.system.terminal.progress import Display


def plain() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=False, width=80), text


def test_plain_lines_show_first_and_last_step_and_few_between() -> None:
    console, text = plain()
    with Display(console=console) as display:
        display.stage("motion", total=50, detail="segment 1/2")
        for number in range(50):
            display.step(f"segment {1 + number // 25}/2")
    lines = text.getvalue().splitlines()
    assert len(lines) <= 4
    assert lines[0] == "[0:00] motion 0/50 (segment 1/2)"
    assert "motion 50/50 (segment 2/2)" in lines[-1]


def test_notes_are_shown_and_logged_with_brackets_as_they_are(tmp_path: Path) -> None:
    console, text = plain()
    with Display(tmp_path / "logs" / "run.log", console=console) as display:
        display.note("nobody found [bold] in 青い keyframe 1")
    assert "nobody found [bold] in 青い keyframe 1" in text.getvalue()
    assert "nobody found [bold] in 青い keyframe 1" in (tmp_path / "logs" / "run.log").read_text("utf-8")


def test_quiet_shows_nothing_and_logs_all_the_same(tmp_path: Path) -> None:
    console, text = plain()
    with Display(tmp_path / "run.log", quiet=True, console=console) as display:
        display.stage("keyframe", total=1)
        display.step()
        display.note("a note")
    assert text.getvalue() == ""
    log = (tmp_path / "run.log").read_text()
    for words in ("keyframe 0/1", "keyframe over: 1 steps", "a note", "ended"):
        assert words in log


def test_an_error_stands_in_the_log(tmp_path: Path) -> None:
    console, _ = plain()
    with pytest.raises(ValueError, match="no luck"), Display(tmp_path / "run.log", console=console):
        raise ValueError("no luck")
    assert "stopped by ValueError: no luck" in (tmp_path / "run.log").read_text()


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    console, _ = plain()
    (tmp_path / "file").write_text("")
    with Display(tmp_path / "file" / "run.log", console=console) as display:
        display.note("a note")


def test_the_live_display_shows_stage_step_and_elapsed_time() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with Display(console=console) as display:
        display.stage("motion", total=4, detail="segment 1/2")
        display.step()
        time.sleep(0.4)
    shown = text.getvalue()
    for words in ("motion", "1/4", "segment 1/2", "elapsed"):
        assert words in shown


def test_time_left_follows_from_the_measured_steps() -> None:
    display = Display(quiet=True)
    display.stage("motion", total=21)
    assert display.left_seconds is None
    for _ in range(6):
        time.sleep(0.02)
        display.step()
    left = display.left_seconds
    assert left is not None
    assert 15 * 0.02 <= left < 15 * 0.2


def _measured(seconds: float, kept: int = 0, after: float = 0.0) -> tuple[Display, str]:
    """Four of sixteen steps of 0.05 s, where so many seconds were forecast in all; what was shown of them."""
    console, text = plain()
    display = Display(console=console)
    display.expect(seconds, after=after)
    display.plan({"motion": 16})
    display.stage("motion")
    for _ in range(kept):
        display.step("segment 1/2, kept")
    for _ in range(4 - kept):
        time.sleep(0.05)
        display.step("segment 1/2")
    return display, text.getvalue()


def test_a_forecast_that_is_wrong_is_corrected_once_by_the_first_measured_steps() -> None:
    display, shown = _measured(600.0)
    assert shown.count("about 0:01 in all by the first measured steps, not 10:00") == 1
    timings = display.timings()
    assert timings["forecast"] == 600.0
    assert timings["corrected"] is not None and 0.7 <= timings["corrected"] <= 3.0
    assert timings["taken"] is not None and timings["taken"] >= 0.2


def test_a_forecast_that_holds_is_left_alone() -> None:
    display, shown = _measured(_measured(600.0)[0].timings()["corrected"] or 0.0)
    assert "in all" not in shown
    assert display.timings()["corrected"] is not None


def test_what_frames_take_after_denoising_is_part_of_the_time_left() -> None:
    plainly, more = (_measured(600.0, after=after)[0].left_seconds or 0.0 for after in (0.0, 1.0))
    assert more > 1.4 * plainly


def test_a_resumed_run_is_not_held_against_the_forecast_of_a_whole_one() -> None:
    display, shown = _measured(600.0, kept=2)
    assert "in all" not in shown
    assert display.timings()["corrected"] is not None


def test_forecast_and_time_taken_stand_side_by_side_in_the_log(tmp_path: Path) -> None:
    with Display(tmp_path / "run.log", quiet=True) as display:
        display.expect(61.0)
    assert "ended, forecast 1:01, taken 0:00" in (tmp_path / "run.log").read_text()


def test_kept_steps_say_nothing_about_time() -> None:
    display = Display(quiet=True)
    display.stage("motion", total=100)
    for _ in range(50):
        display.step("segment 1/2, kept")
    assert display.left_seconds is None


def test_on_resume_the_first_computed_step_says_nothing_about_time() -> None:
    display = Display(quiet=True)
    display.stage("motion", total=100)
    for _ in range(50):
        display.step("segment 1/2, kept")
    time.sleep(0.3)  # loads and compiles
    display.step("segment 2/2")
    assert display.left_seconds is None
    for _ in range(4):
        time.sleep(0.01)
        display.step("segment 2/2")
    left = display.left_seconds
    assert left is not None and left < 45 * 0.05


def test_what_libraries_remark_goes_into_the_log_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    theirs = logging.getLogger("somebody.elses")
    theirs.addHandler(logging.StreamHandler())
    theirs.propagate = False
    theirs.setLevel(logging.WARNING)  # whatever tests before this one made of the root
    theirs.disabled = False
    console, text = plain()
    before = warnings.showwarning
    with warnings.catch_warnings(), Display(tmp_path / "run.log", console=console):
        warnings.simplefilter("always")
        warnings.warn("this will change in 2.0", FutureWarning, stacklevel=1)
        theirs.warning("%d weights", 3)
        logging.getLogger("without.handlers").error("odd")
        logging.getLogger().handlers[-1].emit(logging.LogRecord("x", 30, "", 0, "%d", ("no",), None))
    assert capfd.readouterr().err == "" and text.getvalue() == ""
    log = (tmp_path / "run.log").read_text()
    for said in (
        "FutureWarning: this will change in 2.0",
        "somebody.elses: 3 weights",
        "without.handlers: odd",
    ):
        assert said in log
    assert warnings.showwarning is before
    theirs.warning("afterwards")
    assert "afterwards" in capfd.readouterr().err


def test_long_loading_is_told_and_short_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pokora_anime.system.terminal.progress.LOADING_SECONDS", 0.1)
    console, text = plain()
    with Display(tmp_path / "run.log", console=console) as display:
        with display.loading("vae"):
            pass
        with display.loading("unet"):
            time.sleep(0.3)
    assert "loading unet" in text.getvalue()
    assert "loading vae" not in text.getvalue()
    assert "vae loaded: 0.0 s" in (tmp_path / "run.log").read_text()


def test_no_time_left_is_told_before_the_long_stage_was_measured() -> None:
    display = Display(quiet=True)
    display.plan({"keyframe": 4, "motion": 40})
    display.stage("keyframe")
    for _ in range(3):
        time.sleep(0.01)
        display.step()
    assert display.left_seconds is None


def test_each_thread_has_its_own_stage(tmp_path: Path) -> None:
    display = Display(tmp_path / "run.log", quiet=True)
    display.stage("motion", total=2)

    def encode() -> None:
        display.stage("encode", total=3)
        for _ in range(3):
            display.step()

    worker = threading.Thread(target=encode)
    worker.start()
    worker.join()
    display.step()
    display.step()
    log = (tmp_path / "run.log").read_text()
    assert "encode over: 3 steps" in log
    assert "motion over: 2 steps" in log


def test_ctrl_c_makes_the_next_step_raise_and_is_given_back_afterwards() -> None:
    console, _ = plain()
    before = signal.getsignal(signal.SIGINT)
    with Display(console=console) as display:
        display.stage("motion", total=2)
        display.step()
        signal.raise_signal(signal.SIGINT)
        display.note("still here")
        with pytest.raises(Interrupted) as caught:
            display.step()
    assert caught.value.code == "INT-STOP"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_worker_thread_is_interrupted_too() -> None:
    console, _ = plain()
    raised: list[type[BaseException]] = []
    with Display(console=console) as display:
        signal.raise_signal(signal.SIGINT)

        def work() -> None:
            try:
                display.step()
            except Interrupted as error:
                raised.append(type(error))

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
    assert raised == [Interrupted]


def test_a_display_outside_the_main_thread_leaves_ctrl_c_alone() -> None:
    console, _ = plain()
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with Display(console=console):
            seen.append(signal.getsignal(signal.SIGINT))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert seen == [before]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("presses", "most", "status"), [(1, 2.0, 3), (2, 0.9, -signal.SIGINT)])
def test_a_long_step_is_broken_off_soon_and_at_once_if_asked_twice(
    presses: int, most: float, status: int
) -> None:
    code = """
import sys, time
from pokora_anime.system.terminal.progress import Display
from pokora_anime.system.bounded_worker import Background
def consume(items):
    for _ in items:
        time.sleep(60)
try:
    with Display() as display, Background(consume) as background:
        background.put(1)
        display.stage("motion", total=2)
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(3)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    begun = time.monotonic()
    for _ in range(presses):
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) == status
    assert time.monotonic() - begun < most + 0.1 * presses
    child.communicate()
