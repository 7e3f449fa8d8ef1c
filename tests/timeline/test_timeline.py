"""Key points over a clip's frames: read strictly, clamped by a contest, rendered, verified and replayed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support import once_per_session as once
from support import replay_runs
from support.forged_run import Forgery, codes

from pokora_anime.cli.render.render import parse
from pokora_anime.config import gate
from pokora_anime.config.compose import compose_video, unresolved
from pokora_anime.config.over_time.timeline_checks import clamped
from pokora_anime.errors import PokoraError
from pokora_anime.provenance.stage_records import Image
from pokora_anime.replay.examine_replay import replay
from pokora_anime.schema.curves import value_at
from pokora_anime.schema.settings import Curve, KeyPoint, VideoConfig
from pokora_anime.stages.delivery.camera_window import Route, cut
from pokora_anime.stages.motion.segments import frame_weights, lora_strengths
from pokora_anime.timeline import segment_plan
from pokora_anime.timeline.frame_timing import frames_generated
from pokora_anime.verify.verdict import Verdict

FILE = """
prompt:
  0: 1girl, blue hair, standing
  4: {text: "1girl, blue hair, waving", curve: ease}
camera:
  zoom: {0: {value: 1, curve: hold}, 6: 1.5}
control: {0: 1, 5: {value: 0, curve: hold}}
lora:
  pastel: {0: 0.1, 7: 1.2}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "shot.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def words(folder: Path, text: str = FILE) -> list[str]:
    return parse("video", [f"timeline={written(folder, text)}"]).overrides


@cache
def led() -> Path:
    """A clip that a timeline file leads."""

    def render(root: Path) -> Path:
        return replay_runs.rendered(root, *words(root), "finish.upscale=lanczos")

    return once.made("timeline", render)


@pytest.mark.parametrize(
    ("curve", "at_half", "at_quarter"), [(Curve.linear, 5, 2.5), (Curve.ease, 5, 1.5625), (Curve.hold, 0, 0)]
)
def test_a_curve_leads_from_one_key_point_to_the_next(
    curve: Curve, at_half: float, at_quarter: float
) -> None:
    points = [KeyPoint(frame=4, value=0.0, curve=curve), KeyPoint(frame=12, value=10.0)]
    assert [value_at(points, frame, 1.0) for frame in (8, 6)] == [at_half, at_quarter]
    assert [value_at(points, frame, 1.0) for frame in (0, 12, 99)] == [0.0, 10.0, 10.0]
    assert value_at([], 3, 1.0) == 1.0


def test_control_is_weighed_by_frame_and_loras_by_segment(tmp_path: Path) -> None:
    config = compose_video(["base=nano", "shot.seconds=4", *words(tmp_path)])
    first, second, *_ = segment_plan.of(config, frames_generated(config))
    weights = frame_weights(first, first.frames, config).tolist()
    assert weights[0] == 1.0 and weights[5:] == [0.0] * 11 and 0 < weights[2] < 1
    assert lora_strengths(first, config) == {"nano-pastel": 0.85} == lora_strengths(second, config)


def test_a_contest_clamps_the_weights_and_says_so(tmp_path: Path) -> None:
    typed = unresolved("video", ["base=nano", *words(tmp_path)])
    assert isinstance(typed, VideoConfig)
    first, second = clamped(typed)
    assert "pastel at frame 0 is 0.7 instead of 0.1, as cs492c allows 0.7 to 0.85" in first
    assert "0.85 instead of 1.2" in second
    config = compose_video(["base=nano", *words(tmp_path)])
    assert [point.value for point in config.timeline.lora] == [0.7, 0.85]
    assert {one.id: one.weight for one in config.style.loras}["pastel"] == 0.7


def test_a_window_follows_the_camera_and_shows_nothing_but_the_frame() -> None:
    points = "[{frame:0,value:-0.2},{frame:16,value:0.2}]"
    config = compose_video(["shot.seconds=2", f"timeline.right={points}", "finish.zoom=1.5"])
    route = Route.of(config)
    assert route is not None
    ramp: Image = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (256, 1))[..., None], 3, 2)
    means = [cut(ramp, share, route, config.finish)[..., 0].mean() for share in (0.0, 0.5, 1.0)]
    assert means[0] < means[1] < means[2] and abs(means[1] - 127.5) < 1
    scale = route.scale(ramp, config.finish)
    assert 0.2 * scale * config.finish.width + scale * config.finish.width / 2 <= 128 + 1e-6


def test_verification_finds_nothing_wrong_with_a_led_clip() -> None:
    assert {code for code in codes(led()) if code.startswith(("INT-", "POL-", "GATE-"))} == set()


def test_every_part_of_it_is_replayed_bit_for_bit() -> None:
    report, _ = replay(led(), replay_runs.ALL)
    assert [part.exact for part in report.parts] == [True] * len(report.parts)
    assert report.verdict is Verdict.passed


def test_other_key_points_than_were_rendered_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", led)
    forgery = Forgery(tmp_path)
    forgery.config["timeline"]["control"][1]["value"] = 0.5
    assert "POL-PARAMS" in codes(forgery.seal())


MANY = "control: {" + ", ".join(f"{frame}: 1" for frame in range(10_000)) + "}"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("camra: {zoom: {0: 1}}", "CFG-TIMELINE", "did you mean camera"),
        ("camera: {zom: {0: 1}}", "CFG-TIMELINE", "did you mean zoom"),
        ("control: {0: 1, 8: 2, 4: 1}", "CFG-TIMELINE", "frame 4 after 8"),
        ("control: {0: 1, 0: 2}", "GATE-DUPLICATE", "twice"),
        ("control: {0: .nan}", "CFG-TIMELINE", "finite number"),
        ("control: {0: much}", "CFG-TIMELINE", "finite number"),
        ("control: {-1: 1}", "CFG-TIMELINE", "whole number from 0"),
        ("control: {a: 1}", "CFG-TIMELINE", "whole number from 0"),
        ("control: {0: {value: 1, curve: bouncy}}", "CFG-TIMELINE", "linear|ease|hold"),
        ("control: {0: {valu: 1}}", "CFG-TIMELINE", "did you mean value"),
        ("control: []", "CFG-TIMELINE", "no key points"),
        ("", "CFG-TIMELINE", "nothing that is set"),
        ("[1, 2]", "CFG-TIMELINE", "nothing that is set"),
        ("prompt: {4: 1girl}", "CFG-TIMELINE", "a prompt at frame 0"),
        ("prompt: {0: ''}", "CFG-TIMELINE", "in words"),
        ("prompt: {0: 7}", "CFG-TIMELINE", "in words"),
        ("control: &a {0: 1}\nlora: *a", "GATE-YAML", "alias"),
        ("control: {0: !!python/object:os.system 1}", "GATE-YAML", "tag"),
        (MANY[:90_000].rpartition(",")[0] + "}", "CFG-TIMELINE", "at most 32"),
        (MANY * 2, "CFG-FILE", "at most 100000"),
        ("control: {0: 1, 900: 0}", "CFG-RANGE", "generated frames"),
        ("control: {0: 3}", "CFG-RANGE", "0 to 2"),
        ("camera: {zoom: {0: 0.5}}", "CFG-RANGE", "1 to 4"),
        ("lora: {../x: {0: 1}}", "", "../x"),
        ("lora: {nobody: {0: 0.8}}", "", "nobody"),
    ],
)  # fmt: skip
def test_what_is_no_timeline_is_one_line(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(PokoraError) as caught:
        gate.refuse(compose_video(["shot.seconds=2", "control=depth", *words(tmp_path, text)]))
    line = caught.value.line()
    assert "\n" not in line and len(line) < 400
    assert caught.value.code == code or not code
    assert said in line


def test_what_excludes_a_timeline_is_named() -> None:
    zoom = "timeline.zoom=[{frame:0,value:1},{frame:8,value:2}]"
    for typed, said in (
        ([zoom, "finish.camera=pan_left"], "one move"),
        (["timeline.control=[{frame:0,value:1}]", "control=none"], "no control maps"),
        (["timeline.lora=[{id:pastel,frame:0,value:0.8}]", "finish=hires"], "second pass"),
        (["timeline.prompt=[{frame:3}]"], "a stop of the prompt"),
    ):
        with pytest.raises(PokoraError, match=said):
            compose_video(typed)
