"""A list of shots: one video, one record, one character; nothing is blended across a cut."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support import once_per_session as once
from support import replay_runs
from support.forged_run import Forgery, codes

from pokora_anime.config.compose import compose_video
from pokora_anime.config.over_time import shots_file
from pokora_anime.errors import PokoraError
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.quality.finished_score import score_run, video_frames
from pokora_anime.quality.metrics.score_summary import Score
from pokora_anime.quality.scorecard import Scorecard
from pokora_anime.quality.shot_scores import merged
from pokora_anime.replay.examine_replay import replay
from pokora_anime.schema.settings import Camera
from pokora_anime.timeline import shot_plan
from pokora_anime.verify.verdict import Verdict

FILE = """
- {prompt: "1girl, blue hair, twintails, kimono, beach", seconds: 1, camera: zoom_in}
- {prompt: "1girl, waving, night sky", seconds: 0.5, seed: 9}
- {prompt: "1girl, smile, night sky", seconds: 0.5, joined: true}
"""
FPS = 24


def word(folder: Path, text: str = FILE) -> str:
    path = folder / "list.yaml"
    path.write_text(text, encoding="utf-8")
    return shots_file.override(path)


@cache
def listed() -> Path:
    """A video of two scenes, the second one of two joined shots; scored."""

    def render(root: Path) -> Path:
        words = (word(root), "finish.upscale=lanczos", "quality.score=true", "motion.anchor=attention")
        return replay_runs.rendered(root, *words)

    return once.made("shots", render)


def test_joined_shots_are_stops_of_one_scene_with_one_character(tmp_path: Path) -> None:
    config = compose_video(["base=nano", word(tmp_path)])
    first, second = shot_plan.each(config)
    assert (config.shot.seconds, config.shot.prompt) == (2.0, "1girl, blue hair, twintails, kimono, beach")
    assert (first.seed, second.seed, second.shot.seconds) == (0, 9, 1.0)
    assert (first.finish.camera, second.finish.camera) == (Camera.zoom_in, Camera.free)
    assert second.shot.prompt.startswith("0: 1girl, waving, night sky, blue hair, twintails")
    assert "kimono, 6: 1girl, smile, night sky, blue hair, twintails" in second.shot.prompt
    assert shot_plan.starts(config) == [0, 24] and shot_plan.frames_of(config) == [24, 24]


def test_one_video_and_one_record_hold_all_shots() -> None:
    reading = read_run(listed())
    ops = [node.op for node in reading.nodes]
    assert (ops.count("finish"), ops.count("encode"), ops.count("likeness")) == (2, 1, 1)
    (later,) = [node for node in reading.nodes if node.op == "keyframe" and len(node.parents) == 3]
    assert later.params["seed"] == 9
    assert len(list(video_frames(listed() / "video.mp4"))) == 2 * FPS == reading.frames().count


def test_nothing_is_blended_across_a_cut() -> None:
    frames = [frame.astype(float) for frame in video_frames(listed() / "video.mp4")]
    steps = [np.abs(one - other).mean() for one, other in zip(frames, frames[1:], strict=False)]
    cut = steps.pop(FPS - 1)
    assert cut > 4 * max(steps[FPS - 4 : FPS + 2])


def test_a_cut_is_no_seam_no_flicker_and_no_cut_within() -> None:
    live = json.loads((listed() / "reports" / "scorecard.json").read_text())
    again = score_run(listed())
    for values in (live["final"]["values"], again.final.values):
        assert values["scene_cuts"] == 0
        assert values["warp_error"] < 20
    assert (live["final"]["frames"], again.final.frames) == (2 * FPS, 2 * FPS)
    assert live["generated"]["values"]["flicker"] == pytest.approx(
        again.generated.values["flicker"], rel=0.02
    )
    assert all(join["frame"] != 8 for join in live["generated"]["joins"])


def test_shots_are_weighed_by_their_frames() -> None:
    def card(frames: int, flicker: float, cuts: float) -> Scorecard:
        values: dict[str, float | None] = {"flicker": flicker, "scene_cuts": cuts, "mawe": None}
        score = Score(
            frames=frames, fps=8, side=64, flow="", features="", values=values, reasons={"mawe": "still"},
            joins=(), placements={}, cuts=(), curves={},
        )  # fmt: skip
        return Scorecard(title="", origin="", generated=score, final=score)

    both = merged([card(8, 1.0, 0.0), card(24, 2.0, 1.0)]).final
    assert both.values == {"flicker": 1.75, "scene_cuts": 1.0, "mawe": None}
    assert (both.frames, both.reasons) == (32, {"mawe": "still"})


def test_verification_finds_nothing_wrong_with_it() -> None:
    assert {code for code in codes(listed()) if code.startswith(("INT-", "POL-", "GATE-", "VID-"))} == set()


def test_every_part_of_every_shot_is_replayed_bit_for_bit() -> None:
    report, _ = replay(listed(), replay_runs.ALL)
    assert [part.name for part in report.parts if not part.exact] == []
    assert report.verdict is Verdict.passed


@pytest.fixture
def forged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forgery:
    monkeypatch.setattr("support.forged_run.honest", listed)
    return Forgery(tmp_path)


def test_another_seed_or_prompt_of_a_shot_is_refused(forged: Forgery) -> None:
    forged.config["shots"][1]["seed"] = 10
    assert {"POL-PARAMS"} <= codes(forged.seal())


def test_a_shot_that_the_config_does_not_list_is_refused(forged: Forgery) -> None:
    del forged.config["shots"][1:]
    assert {"POL-CHAIN"} <= codes(forged.seal())


def test_an_identity_of_another_picture_is_refused(forged: Forgery) -> None:
    identity = forged.of("likeness")
    forged.store(identity, {"latent": forged.arrays(identity)["latent"] + 1})
    assert "POL-KNOWN" in codes(forged.seal())


ONE = "- {prompt: 1girl, seconds: 2}\n"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "CFG-SHOTS", "no list of shots"),
        ("prompt: 1girl", "CFG-SHOTS", "no list of shots"),
        ("- 1girl", "CFG-SHOTS", "shot 1 is no shot"),
        ("- {seconds: 2}", "CFG-SHOTS", "without a prompt"),
        ("- {prompt: 1girl}", "CFG-SHOTS", "how long it lasts"),
        ("- {prompt: 1girl, seconds: .nan}", "CFG-SHOTS", "how long it lasts"),
        ("- {prompt: 1girl, second: 2}", "CFG-SHOTS", "did you mean seconds"),
        ("- {prompt: 1girl, seconds: 2, camera: zoomin}", "CFG-SHOTS", "did you mean zoom_in"),
        ("- {prompt: 1girl, seconds: 2, seed: -1}", "CFG-SHOTS", "whole number"),
        ("- {prompt: 1girl, seconds: 2, joined: maybe}", "CFG-SHOTS", "true or false"),
        ("- {prompt: 1girl, seconds: 2}\n" * 25, "CFG-SHOTS", "at most 24"),
        ("- {prompt: 1girl, seconds: 2, prompt: 2girls}", "GATE-DUPLICATE", "twice"),
        ("- {prompt: 1girl, seconds: 0.51}", "CFG-RANGE", "whole number of frames"),
        ("- {prompt: 1girl, seconds: 2, joined: true}", "CFG-RANGE", "nothing stands before it"),
        (ONE + "- {prompt: 1girl, seconds: 2, joined: true}\n" * 4, "CFG-RANGE", "at most 4 between"),
        (ONE + "- {prompt: a, seconds: 2, joined: true, seed: 3}", "CFG-RANGE", "neither"),
        ("- {prompt: '1girl, {red|blue} hair', seconds: 2}", "CFG-RANGE", "choose one"),
        ("- {prompt: '1girl <lora:pastel:0.8>', seconds: 2}", "CFG-RANGE", "whole run"),
        ("- {prompt: ',', seconds: 2}", "PRM-EMPTY", "in words"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_shots_is_one_line(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(PokoraError) as caught:
        compose_video(["base=nano", word(tmp_path, text)])
    line = caught.value.line()
    assert (caught.value.code, "\n" in line) == (code, False)
    assert said in line and len(line) < 400


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ("motion.loop=true", "beside shots"),
        ("finish.camera=pan_left", "one move for all shots"),
        ("timeline.control=[{frame:0,value:1}]", "beside shots"),
        ("control.source=keyframe", "choreography or draft"),
    ],
)
def test_what_holds_for_one_clip_alone_is_refused(tmp_path: Path, beside: str, said: str) -> None:
    with pytest.raises(PokoraError, match=said):
        compose_video(["base=nano", word(tmp_path), beside])
