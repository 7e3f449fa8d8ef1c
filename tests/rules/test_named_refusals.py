"""What people ask for by name: each no has its reason and a way that works."""

from __future__ import annotations

import re
import shlex

import pytest

from pokora_anime.cli import main
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import PokoraError


def refusal(word: str) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        prepare("video", [word], multirun=False)
    return caught.value


NOES = [
    ("base=flux", "CFG-OPTION", "FLUX", "base=sdxl"),
    ("base=flux-dev", "CFG-OPTION", "FLUX", "base=sdxl"),
    ("base=sd35", "CFG-OPTION", "SD3", "base=sdxl"),
    ("base=stable-diffusion-3.5", "CFG-OPTION", "SD3", "base=sdxl"),
    ("base=sd15", "CFG-OPTION", "SD1", "base=sd2"),
    ("base=turbo", "CFG-OPTION", "Turbo", "speed=lcm"),
    ("base=sdxl-turbo", "CFG-OPTION", "Turbo", "speed=lcm"),
    ("base=wan21", "CFG-OPTION", "video model", "base=sdxl"),
    ("base=ponyxl", "CFG-OPTION", "registered", "pokora models add"),
    ("camera=0", "GATE-IMAGE", "a camera", "shot.prompt"),
    ("webcam=true", "GATE-IMAGE", "a camera", "shot.prompt"),
    ("source=/dev/video0", "GATE-IMAGE", "a camera", "shot.prompt"),
    ("+input=webcam", "GATE-IMAGE", "a camera", "shot.prompt"),
    ("init_image=a.png", "GATE-IMAGE", "img2img", "--from outputs/stills"),
    ("+img2img=true", "GATE-IMAGE", "img2img", "shot.prompt"),
    ("init_video=a.mp4", "GATE-IMAGE", "never from a video", "shots=FILE"),
    ("+video2video=a", "GATE-IMAGE", "never from a video", "control.source=choreography"),
    ("control_image=pose", "GATE-IMAGE", "control maps", "control.source=choreography"),
    ("pose=pose.png", "GATE-PATH", "control maps", "control.source=choreography"),
    ("+control.pose=a/b", "GATE-PATH", "control maps", "control.source=keyframe"),
    ("+face_image=me", "GATE-IMAGE", "who she is", "style.loras"),
    ("ip_adapter_image=a", "GATE-IMAGE", "who she is", "seed="),
    ("ip_adapter_image=face.png", "GATE-IMAGE", "who she is", "keyframe.identity=adapter"),
    ("keyframe.identity=face.png", "GATE-PATH", "who she is", "keyframe.identity=adapter"),
    ("keyframe.likeness=face.png", "GATE-PATH", "who she is", "keyframe.identity=adapter"),
    ("+keyframe.reference=a/b", "GATE-IMAGE", "who she is", "keyframe.identity=adapter"),
    ("reference=face", "GATE-IMAGE", "who she is", "keyframe.identity=adapter"),
    ("reference=face.png", "GATE-IMAGE", "who she is", "keyframe.identity=adapter"),
    ("face=me.jpg", "GATE-IMAGE", "who she is", "keyframe.identity=adapter"),
    ("identity=a.webp", "GATE-PATH", "who she is", "keyframe.identity=adapter"),
]


@pytest.mark.parametrize(("word", "code", "why", "way"), NOES)
def test_each_no_has_its_reason_and_our_way(word: str, code: str, why: str, way: str) -> None:
    told = refusal(word)
    assert told.code == code
    assert why in told.got and way in told.fix
    assert "\n" not in told.line()


@pytest.mark.parametrize("way", sorted({way for _, _, _, way in NOES if re.fullmatch(r"[\w.]+=\w+", way)}))
def test_each_way_is_one(way: str) -> None:
    prepare("video", [way], multirun=False)


@pytest.mark.parametrize("word", ["motion.camera=zoom_in", "control.source=choreography", "base=own:hero"])
def test_what_exists_is_refused_by_none_of_them(word: str) -> None:
    prepare("video", [word], multirun=False)


def test_a_camera_move_without_its_section_is_a_slip_and_no_camera(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refusal("camera=zoom_in").code == "CFG-KEY"
    assert main(["check", *shlex.split("speed=turbo")]) == 1
    assert "speed=lcm" in capsys.readouterr().out
