"""The camera's move in the config: a motion LoRA where there is one, a window elsewhere."""

from __future__ import annotations

import copy
from itertools import product

import pytest

from pokora_anime.config import gate
from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose, compose_stills, compose_video
from pokora_anime.errors import ConfigError
from pokora_anime.nano.world.vocabulary import ATTRIBUTES, CAMERA_PHRASES, SYNONYMS
from pokora_anime.prompt.prompt_syntax import parse_travel
from pokora_anime.rules import contest, contest_limits
from pokora_anime.rules.case import Case, uses
from pokora_anime.schema.run_identity import run_key, to_plain
from pokora_anime.schema.settings import Camera, ShotConfig
from pokora_anime.timeline.camera_choice import NANO, loras, note, said, settle, words

SD2 = ("base=sd2", "base.motion_adapter=animatediff-v1-5-2")
MOVES = tuple(camera for camera in Camera if camera not in (Camera.free, Camera.static))


def test_nano_knows_the_moves_of_its_drawn_world() -> None:
    assert tuple(words(camera) for camera in NANO) == ATTRIBUTES["camera"]


def test_a_move_stands_in_every_prompt_of_nano_and_is_the_windows() -> None:
    config = compose_video(
        ["motion.camera=zoom_in", "style=pastel", "shot.prompt=0: 1girl, 24: 1girl, waving"]
    )
    check(config)
    stops, _ = parse_travel(config.shot)
    assert [", zoom in, 1girl" in stop.text for _, stop in stops] == [True, True]
    assert (config.motion.lora, config.finish.camera) == (None, Camera.zoom_in)
    assert compose_video(["motion.camera=static", "shot.prefix="]).shot.prefix == "static"


def test_a_move_is_a_motion_lora_where_the_adapter_has_one() -> None:
    config = compose_video([*SD2, "motion.camera=tilt_up", "motion.lora_weight=0.7"])
    used = [
        (use.weights.id, use.strength) for use in uses(config) if use.weights and use.where == "motion.lora"
    ]
    assert used == [("motion-lora-tilt-up", 0.7)]
    assert config.finish.camera is Camera.free and "tilt" not in config.shot.prefix
    other = compose_video(["base=sd2", "motion.camera=tilt_up"])
    assert (other.motion.lora, other.finish.camera) == (None, Camera.tilt_up)
    assert set(loras(config.base)) == set(MOVES) and not loras(other.base)


@pytest.mark.parametrize(("base", "move"), product(("sdxl", "nano"), MOVES))
def test_every_move_is_known_to_every_base(base: str, move: Camera) -> None:
    config = compose_video([f"base={base}", f"motion.camera={move.value}"])
    assert (config.motion.lora, config.finish.camera) == (None, move)


@pytest.mark.parametrize("base", ["sdxl", "nano", "sd2"])
def test_words_of_the_prompt_move_the_window(base: str) -> None:
    config = compose_video([f"base={base}", "shot.prompt=1girl, waving, the camera slowly pans left"])
    assert (config.motion.camera, config.finish.camera) == (Camera.free, Camera.pan_left)
    assert config.motion.lora is None
    assert compose_video([f"base={base}", "shot.prompt=1girl, waving"]).finish.camera is Camera.free


@pytest.mark.parametrize(
    ("typed", "move"),
    [
        (["shot.prompt=1girl", "shot.negative=pan left"], Camera.free),
        (["shot.prompt=1girl, pan left", "motion.camera=static"], Camera.static),
        (["shot.prompt=1girl, pan left", "finish.camera=static"], Camera.static),
        (["shot.prompt=1girl, pan left", "finish.camera=tilt_up"], Camera.tilt_up),
        (["shot.prompt=1girl, pan left", "motion.camera=zoom_in"], Camera.zoom_in),
        (["shot.prompt=1girl", "shot.prefix=slow zoom out"], Camera.zoom_out),
    ],
)
def test_what_is_typed_wins_over_words(typed: list[str], move: Camera) -> None:
    for base in ("sdxl", "nano"):
        assert compose_video([f"base={base}", *typed]).finish.camera is move


def test_a_named_motion_lora_moves_alone() -> None:
    assert compose_video([*SD2, "motion.lora=pan_left", "shot.prompt=pan left"]).finish.camera is Camera.free


@pytest.mark.parametrize("value", ATTRIBUTES["camera"])
def test_every_way_that_the_drawn_world_says_a_move_is_understood(value: str) -> None:
    move = Camera.free if value == "static" else Camera(value.replace(" ", "_"))
    for form in (value, *SYNONYMS["camera"][value], *CAMERA_PHRASES[value]):
        assert said(ShotConfig(prompt=f"1girl, {form}, waving")) is move, form


@pytest.mark.parametrize(
    ("prompt", "move"),
    [
        ("1girl, (zoom-in:1.3), waving", Camera.zoom_in),
        ("1girl, PAN_RIGHT", Camera.pan_right),
        ("the camera is panning to the right, 1girl", Camera.pan_right),
        ("the camera tilts up over a city", Camera.tilt_up),
        ("camera rolls counter-clockwise", Camera.rolling_anticlockwise),
        ("0: 1girl, zoom out, 24: 1girl, pan left", Camera.zoom_out),
        ("0: 1girl, pan left, 24: 1girl, zoom out", Camera.pan_left),
        ("1girl, <lora:zoom in:0.5>", Camera.free),
        ("1girl, no zoom in, without pan left", Camera.free),
        ("1girl, no camera pan left, never zoom in, the camera doesn't zoom out", Camera.free),
        ("no zoom in, slow pan left", Camera.pan_left),
        ("1girl, the camera is not panning left, the camera never zooms in", Camera.free),
        ("1girl, cooking, pan left on the stove", Camera.free),
        ("1girl, head tilt up", Camera.free),
        ("she waves as the camera pans left behind her", Camera.pan_left),
        ("1girl, panning left slowly", Camera.pan_left),
        ("1girl, rolling clockwise", Camera.rolling_clockwise),
        ("slow zoom in on her face", Camera.zoom_in),
        ("a panda left alone zooming into space", Camera.free),
        ("she tilts up her head, a frying pan, left hand", Camera.free),
    ],
)
def test_the_first_move_that_a_prompt_names(prompt: str, move: Camera) -> None:
    assert said(ShotConfig(prompt=prompt)) is move


@pytest.mark.parametrize(
    "typed",
    [
        ["motion.camera=zoom_in"],
        ["base=sdxl", "motion.camera=pan_left"],
        ["base=sdxl", "shot.prompt=slow zoom out"],
        [*SD2, "motion.camera=pan_left"],
    ],
)
def test_settling_twice_changes_nothing(typed: list[str]) -> None:
    config = compose_video(typed)
    again = copy.deepcopy(config)
    settle(again)
    assert run_key("video", again) == run_key("video", config)
    plain = to_plain(config)
    assert not [one for one in gate.examine_recorded("video", plain) if one.code.startswith("CFG")]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["base=sdxl", "motion.camera=zoom_in", "finish.camera=pan_left"], "finish.camera=free, or"),
        (["motion.camera=pan_left", "finish.camera=static"], "pan_left beside finish.camera=static"),
        (["motion.camera=static", "finish.camera=tilt_up"], "static beside finish.camera=tilt_up"),
        ([*SD2, "motion.camera=pan_left", "finish.camera=pan_right"], "finish.camera=free, or"),
        ([*SD2, "motion.camera=pan_left", "motion.lora=pan_right"], "motion.lora=null"),
        ([*SD2, "motion.camera=static", "motion.lora=pan_right"], "static beside motion.lora=pan_right"),
        ([*SD2, "motion.lora=pan_left", "finish.camera=pan_right"], "pan_right beside motion.lora=pan_left"),
        (["finish.camera_speed=5"], "finish.camera_speed=4"),
    ],
)
def test_two_moves_at_once_are_one_line(asked: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match="CFG-RANGE") as refused:
        compose_video(asked)
    assert told in str(refused.value) and "problems" not in str(refused.value)


def test_words_that_crop_the_frames_are_told() -> None:
    assert "finish.camera=static" in note(compose_video(["shot.prompt=1girl, zoom in"]))
    assert not note(compose_video(["shot.prompt=1girl"]))
    assert not note(compose_video(["motion.camera=zoom_in"]))


def test_stills_have_no_camera() -> None:
    assert compose_stills(["shot.prompt=1girl, zoom in"]).finish.camera is Camera.free
    with pytest.raises(ConfigError, match="a still has no moves"):
        compose("stills", ["finish.camera=zoom_in"])


@pytest.mark.parametrize(("group", "key", "value"), [("shot", "prefix", ""), ("finish", "camera", "free")])
def test_a_recorded_move_that_was_not_made_is_found(group: str, key: str, value: str) -> None:
    plain = to_plain(compose_video(["motion.camera=zoom_in"]))
    section = plain[group]
    assert isinstance(section, dict)
    section[key] = value
    assert "CFG-RANGE" in {one.code for one in gate.examine_recorded("video", plain)}


@pytest.mark.parametrize("move", [move for move in Camera if move is not Camera.free])
def test_the_organisers_are_asked_about_turned_frames_alone(move: Camera) -> None:
    config = compose("video", ["experiment=contest_sdxl", f"motion.camera={move.value}"])
    case = Case(config=config, limits=contest_limits.load("cs492c"), uses=uses(config))
    found = [one.severity.value for one in contest.judge(case) if one.code == "RULE-CAMERA"]
    assert found == ["review"] * ("rolling" in move.value)
