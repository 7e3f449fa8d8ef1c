"""Live: its loops as pure parts, words that change a clip under way, and takes that become runs."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live import live as bench
from pokora_anime.choreography import pose_plan, skeleton
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.cli import main
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError
from pokora_anime.live import live_settings, take
from pokora_anime.live.display.clip_clock import ClipClock
from pokora_anime.live.display.frame_buffer import MOST, Frame, FrameBuffer
from pokora_anime.live.display.shown_frames import ShownFrames
from pokora_anime.live.generation.pacing import Pacing
from pokora_anime.live.live_settings import FPS, LiveConfig
from pokora_anime.live.take import Take
from pokora_anime.live.typed.live_words import merged
from pokora_anime.live.typed.word_queue import LastOne
from pokora_anime.prompt import open_words
from pokora_anime.prompt.prompt_syntax import MAX_STOPS, stops
from pokora_anime.render.worker.messages import from_plain
from pokora_anime.rules.text_rules import MAX_PROMPT
from pokora_anime.schema import field_laws, run_identity
from pokora_anime.studio.api.check_api import known_parts
from pokora_anime.studio.api.live_api import PROMPTS
from pokora_anime.studio.live_seat import judged
from pokora_anime.system.files.installed_package import NANO_WEIGHTS
from pokora_anime.timeline.choreography_plan import asked_look

WAVING = "1girl, blue hair, twintails, white dress, waving, cherry blossoms"


def _image(level: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def test_the_clock_keeps_the_clips_pace_while_frames_are_there() -> None:
    clock = ClipClock(FPS)
    for _ in range(48):
        clock.advance(1 / 24, 100, 12.0)
    assert clock.position == pytest.approx(2 * FPS)


def test_the_clock_stretches_where_generation_is_late_and_never_jumps_nor_passes_the_end() -> None:
    clock, end, positions = ClipClock(FPS), 0, []
    for tick in range(24 * 40):  # four frames a second arrive, twelve at a time
        end = 15 + 12 * (tick // 72)
        positions.append(clock.advance(1 / 24, end, 4.0))
        assert clock.position <= end
    steps = np.diff(positions)
    assert (steps > 0).all()
    assert steps.max() <= FPS / 24
    assert positions[-1] == pytest.approx(40 * 4, abs=16)


def test_the_clock_goes_on_where_it_was_after_a_wait() -> None:
    clock = ClipClock(FPS)
    for _ in range(500):
        clock.advance(1 / 24, 8, 8.0)
    assert clock.position == pytest.approx(8, abs=0.01)
    clock.advance(1 / 24, 24, 8.0)
    assert 8 < clock.position < 8.5


def test_newer_frames_take_the_place_of_older_ones_and_what_was_shown_is_let_go_of() -> None:
    buffer = FrameBuffer()
    buffer.put(0, [_image(level) for level in range(16)], 0)
    buffer.put(10, [_image(100 + level) for level in range(12)], 1)
    assert buffer.end == 21
    before, after, share = buffer.at(9.25) or pytest.fail("nothing is there")
    assert (before.number, after.number, share) == (9, 10, 0.25)
    assert (before.words, after.words) == (0, 1)
    assert after.image[0, 0, 0] == 100
    assert len(buffer) == 13  # frames 9 to 21


def test_the_buffer_is_bounded_and_has_no_gap() -> None:
    buffer = FrameBuffer()
    assert buffer.at(0.0) is None
    assert buffer.end == -1
    buffer.put(0, [_image(0)] * MOST, 0)
    with pytest.raises(ValueError, match=f"at most {MOST}"):
        buffer.put(MOST, [_image(0)], 0)
    buffer.at(40.0)
    with pytest.raises(ValueError, match="does not follow"):
        buffer.put(MOST + 3, [_image(0)], 0)
    last, same, share = buffer.at(1e9) or pytest.fail("nothing is there")
    assert last.number == same.number == MOST - 1
    assert share == 0.0


def test_words_hold_from_the_first_frame_that_can_be_made_in_time() -> None:
    pacing = Pacing(FPS, fresh=12, seconds=0.5)
    assert pacing.reach == 6  # 0.7 s
    assert pacing.begins(next_frame=100, shown=80, since=0) == 86  # made anew, though frames are there
    assert pacing.begins(next_frame=83, shown=80, since=0) == 83  # late: the very next
    assert pacing.begins(next_frame=100, shown=80, since=90) == 91  # the words before keep a frame
    assert pacing.supersedes(100, 80)
    assert not pacing.supersedes(84, 80)


def test_generation_runs_no_further_ahead_than_a_segment_takes() -> None:
    pacing = Pacing(FPS, fresh=12)
    for _ in range(30):
        pacing.took(0.6)
    assert pacing.seconds == pytest.approx(0.6, abs=0.01)
    assert pacing.due(next_frame=16, shown=16 - pacing.reach)
    assert not pacing.due(next_frame=32, shown=10)


def test_a_slow_machine_fills_no_more_than_the_buffer_holds() -> None:
    pacing, buffer, shown = Pacing(FPS, fresh=12), FrameBuffer(), 0
    buffer.put(0, [_image(0, 4)] * 16, 0)
    for _ in range(20):  # a segment takes twenty seconds, in which its twelve frames are shown
        pacing.took(20.0)
        while pacing.due(buffer.end + 1, shown):
            buffer.put(buffer.end + 1, [_image(0, 4)] * 12, 0)
        shown += 12
        buffer.at(shown)
    assert len(buffer) < MOST
    assert pacing.reach == 16


def test_of_three_hundred_prompts_the_last_one_is_followed() -> None:
    queue: LastOne[int] = LastOne()
    threads = [threading.Thread(target=lambda: [queue.put(n) for n in range(100)]) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    queue.put(7)
    assert queue.waits
    assert queue.take() == 7
    assert queue.take() is None
    assert queue.passed_over == 300


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        ("dancing", "1girl, blue hair, twintails, white dress, cherry blossoms, dancing"),
        ("ballet", "1girl, blue hair, twintails, white dress, cherry blossoms, ballet"),
        ("red hair, night sky", "1girl, twintails, white dress, waving, red hair, night sky"),
        ("black kimono", "1girl, blue hair, twintails, waving, cherry blossoms, black kimono"),
        ("1girl, red hair, bowing", "1girl, red hair, bowing"),
        (" , ", WAVING),
        ("sparkles", f"{WAVING}, sparkles"),
    ],
)
def test_typed_words_change_what_they_name_and_nothing_else(typed: str, prompt: str) -> None:
    assert merged(WAVING, typed) == prompt


def test_of_two_takes_and_words_none_takes_the_place_of_another_kind() -> None:
    queue: LastOne[int] = LastOne()
    queue.put(3)
    queue.drop(lambda number: number < 5)
    assert not queue.waits
    queue.put(6)
    queue.drop(lambda number: number < 5)
    assert queue.take() == 6


@pytest.mark.parametrize("prompt", [*PROMPTS, "1girl, dancing", "1girl, {red|blue} hair, closed eyes"])
def test_what_a_live_prompt_leaves_open_is_named_before_other_words_come(prompt: str) -> None:
    config = judged(prompt, LiveConfig(seed=4))
    later = merged(config.shot.prompt, "red hair, black kimono, ballet")
    travel = replace(config, shot=replace(config.shot, prompt=f"0: {config.shot.prompt}, 20: {later}"))
    assert open_words.chosen(travel) == open_words.chosen(config) == ""
    if prompt in PROMPTS:
        assert config.shot.prompt == prompt
        assert not [part for part in known_parts(config) if not part["known"]]


def test_what_a_sentence_said_beside_what_changes_is_kept() -> None:
    found = merged("a girl with red hair in a blue kimono waving at the beach", "dancing")
    assert asked_look(found) == asked_look("1girl, red hair, blue kimono, beach, waving")
    assert "dancing" in found
    assert "waving" not in found


def test_another_action_is_no_other_look() -> None:
    assert asked_look(WAVING) == asked_look(WAVING.replace("waving", "dancing"))
    assert asked_look(WAVING) != asked_look(WAVING.replace("blue hair", "red hair"))


def test_smoothing_calms_what_flickers_and_leaves_what_is_equal() -> None:
    frames = [Frame(number=number, image=_image(100 + 20 * (number % 2)), words=0) for number in range(6)]
    calm, plain = ShownFrames(0.5), ShownFrames(0.0)
    shown = [float(calm.at(*frames[n : n + 2], 0.999).mean()) for n in range(5)]
    raw = [float(plain.at(*frames[n : n + 2], 0.999).mean()) for n in range(5)]
    assert np.abs(np.diff(shown)).max() < 0.8 * np.abs(np.diff(raw)).max()
    still = ShownFrames(0.9)
    same = [Frame(number=number, image=frames[0].image.copy(), words=0) for number in range(3)]
    assert (still.at(same[0], same[1], 0.5) == frames[0].image).all()


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("live.steps=9", "CFG-RANGE"),
        ("live.size=300", "CFG-RANGE"),
        ("live.size=1e9", "CFG-TYPE"),
        ("live.smoothing=nan", "CFG-TYPE"),
        ("live.runtime=cuda", "CFG-RANGE"),
        ("live.step=2", "CFG-KEY"),
        ("live.camera=0", "CFG-KEY"),
        ("smooth", "CFG-SYNTAX"),
    ],
)
def test_a_wrong_setting_is_one_line_with_a_way_out(word: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        live_settings.read([word])
    assert caught.value.code == code
    assert caught.value.fix
    assert "\n" not in caught.value.line()


def test_settings_survive_the_way_to_the_process() -> None:
    live = live_settings.read(["live.steps=3", "live.smoothing=0.25", "live.runtime=torch", "live.size=320"])
    assert live == LiveConfig(steps=3, smoothing=0.25, runtime=live_settings.LiveRuntime.torch, size=320)
    assert from_plain(LiveConfig, run_identity.part(live)) == live


def test_a_take_is_a_prompt_that_travels() -> None:
    one = Take(number=1, words=WAVING)
    assert one.seconds(50) == 0
    one.origin = 40
    one.turn(20, "1girl, dancing")
    one.turn(24, "1girl, dancing")  # nothing new
    one.turn(90, "1girl, bowing")  # after its end
    assert one.seconds(40 + 5 * FPS) == 5
    text = one.prompt(5.0)
    assert stops(text) == ((0, WAVING), (20, "1girl, dancing"))
    words = take.run_words(one, 5.0, LiveConfig(seed=7, size=320))
    assert words[1:] == ["seed=7", "shot.seconds=5", f"shot.fps={FPS}", "base.width=320", "base.height=320"]


@pytest.mark.parametrize("words", ["1girl, waving {}", "1girl, waving {}, " + "red hair, " * 30])
def test_a_take_ends_before_no_run_could_hold_its_words(words: str) -> None:
    one = Take(number=1, words=WAVING, origin=0)
    frame = 0
    while not one.full(frame):
        frame += 4
        one.turn(frame, words.format(frame))
    assert one.end == frame
    text = one.prompt(one.seconds(frame))
    assert len(stops(text)) <= MAX_STOPS
    assert 1000 < len(text) <= MAX_PROMPT or len(stops(text)) == MAX_STOPS
    config = compose("video", take.run_words(one, one.seconds(frame), LiveConfig()))
    assert len(stops(config.shot.prompt)) == len(stops(text))


def test_a_dance_whose_words_come_late_is_the_plan_that_knew_them() -> None:
    model = Choreographer.load(NANO_WEIGHTS / "choreographer")
    figure = replace(skeleton.default_figure((256, 256)), seen=True)
    turns = ((0, "1girl, waving"), (20, "1girl, dancing"), (24, "1girl, walking"), (70, "1girl, bowing"))
    order = pose_plan.Order(stops=turns, frames=96, fps=FPS, seed=3, front=True)
    planned = pose_plan.plan(model, order, figure, (256, 256))
    dance = pose_plan.Dance(model, replace(order, stops=turns[:1]), figure)
    coming, found = list(turns[1:]), []
    for first in range(0, 96, 12):
        while coming and coming[0][0] - dance.ahead < first + 12:
            dance.turn(*coming.pop(0))
        found.append(dance.joints(first, 12, (256, 256)))
    assert np.abs(planned - np.concatenate(found)).max() < 1e-3  # pixels


def test_words_that_come_late_change_no_pose_before_them() -> None:
    model = Choreographer.load(NANO_WEIGHTS / "choreographer")
    order = pose_plan.Order(stops=((0, "1girl, waving"),), frames=1, fps=FPS, seed=3, front=True)
    dance = pose_plan.Dance(model, order, skeleton.default_figure((256, 256)))
    before = dance.joints(0, 60, (256, 256))
    begins = 30
    dance.turn(begins + dance.ahead - 1, "1girl, dancing")
    after = dance.joints(0, 60, (256, 256))
    assert np.abs(before[:begins] - after[:begins]).max() < 1e-3
    assert np.abs(before[begins:] - after[begins:]).max() > 5


def test_nothing_of_the_parts_around_generation_needs_torch() -> None:
    import subprocess
    import sys

    names = ("live_session", "typed.live_words", "take", "live_settings", "generator")
    code = (
        f"import sys; [__import__('pokora_anime.live.' + n) for n in {names}]; print('torch' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert told.stdout.strip() == "False"


@pytest.mark.parametrize(
    "typed", ["--frames=7", "--frames=8,15", "--steps=0", "--sizes=big", "--runtimes=torhc"]
)
def test_the_bench_measures_nothing_that_no_session_can_be(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"live\."):
        bench.main([typed])
    assert not list(tmp_path.iterdir())  # refused before the first session


def test_the_command_explains_itself_and_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"live.{one.key}=" in told for one in field_laws.settings(LiveConfig))


@pytest.mark.parametrize(
    ("word", "code"),
    [("live.steps=9", "CFG-RANGE"), ("studio.prot=1", "CFG-KEY"), ("--fullscreen", "CFG-SYNTAX")],
)
def test_a_wrong_word_of_the_command_is_one_line(
    word: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", word]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert code in told
    assert word.partition("=")[0] in told
