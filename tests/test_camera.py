"""The camera's move: words for nano, a motion LoRA for SD 2, one clear line where there is neither."""

from __future__ import annotations

import pytest

from pokora_anime.compliance import gate
from pokora_anime.compliance.rules.case import uses
from pokora_anime.config.camera import NANO, moves, words
from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose_video
from pokora_anime.config.identity import to_plain
from pokora_anime.config.schema import Camera, Family
from pokora_anime.errors import ConfigError
from pokora_anime.models.fetch import needs
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.stages.prompt_syntax import parse_travel

SD2 = ("base=sd2", "base.motion_adapter=animatediff-v1-5-2")


def test_nano_knows_the_moves_of_its_drawn_world() -> None:
    assert tuple(words(camera) for camera in NANO) == ATTRIBUTES["camera"]


def test_a_move_stands_in_every_prompt_of_nano() -> None:
    config = compose_video(
        ["motion.camera=zoom_in", "style=pastel", "shot.prompt=0: 1girl, 24: 1girl, waving"]
    )
    check(config)
    stops, _ = parse_travel(config.shot)
    assert [", zoom in, 1girl" in stop.text for _, stop in stops] == [True, True]
    assert config.motion.lora is None
    assert compose_video(["motion.camera=static", "shot.prefix="]).shot.prefix == "static"


def test_a_move_is_a_motion_lora_for_sd2() -> None:
    config = compose_video([*SD2, "motion.camera=tilt_up", "motion.lora_weight=0.7"])
    used = [
        (use.weights.id, use.strength) for use in uses(config) if use.weights and use.where == "motion.lora"
    ]
    assert used == [("motion-lora-tilt-up", 0.7)]
    assert "tilt" not in config.shot.prefix
    with pytest.raises(ConfigError, match=r"base\.motion_adapter=animatediff-v1-5-2"):
        needs(compose_video(["base=sd2", "motion.camera=tilt_up"]))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["base=sdxl", "motion.camera=zoom_in"], "nobody has published a motion LoRA"),
        (["motion.camera=tilt_up"], "static|pan_left"),
        ([*SD2, "motion.camera=static"], "zoom_in|zoom_out|tilt_up"),
        ([*SD2, "motion.camera=pan_left", "motion.lora=pan_right"], "motion.lora=null"),
    ],
)
def test_what_a_base_does_not_know_is_one_line(asked: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match="CFG-RANGE") as refused:
        compose_video(asked)
    assert told in str(refused.value) and "motion.camera" in str(refused.value)


def test_a_recorded_move_that_was_not_made_is_found() -> None:
    plain = to_plain(compose_video(["motion.camera=zoom_in"]))
    assert not [one for one in gate.examine_recorded("video", plain) if one.code.startswith("CFG")]
    shot = plain["shot"]
    assert isinstance(shot, dict)
    shot["prefix"] = ""
    assert "CFG-RANGE" in {one.code for one in gate.examine_recorded("video", plain)}


def test_every_move_is_known_to_some_base() -> None:
    known = {move for family in Family for move in moves(family)}
    assert known == set(Camera) - {Camera.free} and not moves(Family.sdxl)
