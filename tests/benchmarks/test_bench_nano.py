"""The nano bench: its metrics against constructed truth, its rows, its lines and one small run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks.nano import (
    nano,
    nano_flow,
    nano_lines,
    nano_metrics,
    nano_page,
    nano_planned,
    nano_rows,
)
from benchmarks.nano.nano_prompts import asked
from benchmarks.nano.nano_rows import Rows, key
from benchmarks.nano.nano_sections import camera_index, read_strip, unchanged, write_strip
from benchmarks.nano.nano_table import Line, markdown_table, text_table
from pokora_anime.errors import ConfigError, WeightsError
from pokora_anime.nano.model_card import write_card
from pokora_anime.nano.probe import CLOSED_EYES, STILL, UNKNOWN, AttributeProbe
from pokora_anime.nano.train.drawn_data import is_held_out
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

# Metrics


def figure() -> np.ndarray:
    """Joints with a torso of 100 px and every limb end visible."""
    joints = np.zeros((18, 3), np.float32)
    joints[:, 2] = 1.0
    joints[1, :2] = [100, 50]
    joints[[8, 11], :2] = [[90, 150], [110, 150]]
    return joints


def test_pck_counts_limb_ends_within_a_tenth_of_the_torso() -> None:
    asked_joints = figure()
    found = asked_joints.copy()
    found[4, 0] += 9.9  # a wrist in place
    found[7, 0] += 10.1  # a wrist beside it
    found[9, 2] = 0.3  # a knee that was not seen
    found[0, 0] += 80  # the nose does not count
    assert nano_metrics.pck(asked_joints, found) == (6, 8)
    asked_joints[[10, 13], 2] = 0.0  # ankles outside the asked picture
    assert nano_metrics.pck(asked_joints, found) == (4, 6)


def test_correlation_knows_scale_sign_and_flat_maps() -> None:
    rng = np.random.default_rng(0)
    depth = cv2.GaussianBlur(rng.random((64, 64)).astype(np.float32), (0, 0), 6)
    assert nano_metrics.correlation(depth, depth * 3 + 2) == pytest.approx(1.0)
    assert nano_metrics.correlation(depth, -depth) == pytest.approx(-1.0)
    assert nano_metrics.correlation(depth, np.ones_like(depth)) == 0.0
    assert nano_metrics.correlation(depth, cv2.resize(depth, (128, 128))) > 0.99


def test_mean_lab_and_colour_shift() -> None:
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    np.testing.assert_allclose(nano_metrics.mean_lab(white), [100, 0, 0], atol=0.1)
    ours = np.array([nano_metrics.mean_lab(white), nano_metrics.mean_lab(black)])
    apart, shift = nano_metrics.color_shift(ours, ours[::-1])
    assert apart == pytest.approx(100, abs=0.2)
    assert shift == pytest.approx(0.0, abs=1e-6)


def test_psnr_of_a_known_error() -> None:
    picture = np.full((16, 16, 3), 100, np.uint8)
    assert nano_metrics.psnr(picture + 5, picture) == pytest.approx(20 * np.log10(255 / 5))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        low, high = nano_metrics.proportion_interval(float(rng.binomial(80, 0.9)), 80)
        held += low <= 0.9 <= high
    assert 0.9 <= held / 300 <= 0.99
    assert nano_metrics.proportion_interval(0, 0) == (0.0, 1.0)


def test_bootstrap_difference_uses_the_pairs() -> None:
    rng = np.random.default_rng(0)
    hq = rng.random(400) < 0.8
    lcm = hq & (rng.random(400) < 0.95)
    mean, low, high = nano_metrics.bootstrap_difference(hq.astype(float), lcm.astype(float))
    assert low < mean < high
    assert mean == pytest.approx(hq.mean() - lcm.mean())
    assert high - low < 0.05  # unpaired it would be twice as wide


def test_the_middle_of_a_clip_is_its_middle() -> None:
    middle = nano_metrics.middle_frames(16)
    assert middle[0] == 15 - middle[-1]
    assert len(nano_metrics.middle_frames(2)) == 2


# Flow


def moving_texture(step: float, growth: float = 1.0, frames: int = 16) -> np.ndarray:
    """A textured ground that moves `step` px a frame to the left and grows about the camera's pivot."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (256, 640, 3)).astype(np.float32), (0, 0), 3)
    ground = (ground - ground.min()) / (ground.max() - ground.min()) * 255
    clip = []
    for k in range(frames):
        zoom = growth**k
        x = 200 + step * k + 128 * (1 - 1 / zoom)
        y = 0.62 * 256 * (1 - 1 / zoom)
        matrix = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
        clip.append(cv2.warpAffine(ground, matrix, (256, 256), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    return np.clip(clip, 0, 255).astype(np.uint8)


def nobody(frames: int = 16) -> np.ndarray:
    """Tracks of a tiny character in the middle."""
    tracks = np.full((frames, 18, 3), 0.5, np.float32)
    tracks[:, 0, 1] = 0.47
    return tracks


@pytest.mark.parametrize(
    ("step", "growth", "move"),
    [(0, 1, "static"), (3, 1, "pan right"), (-3, 1, "pan left"), (0, 1.01, "zoom in"), (0, 0.99, "zoom out")],
)
def test_camera_moves_of_a_made_up_ground(step: float, growth: float, move: str) -> None:
    found = nano_flow.camera_move(moving_texture(step, growth), nobody(), 8)
    assert found.value(walking=False) == move
    assert found.scroll == pytest.approx(step * 8 / 256, abs=0.006)
    assert found.growth == pytest.approx((growth - 1) * 8, rel=0.15, abs=0.002)


def test_a_walkers_background_scrolls_without_a_pan() -> None:
    walk = nano_flow.CameraMove(scroll=0.065, growth=0.0, still=0.0, points=99)
    assert walk.value(walking=True) == "static"
    assert walk.value(walking=False) == "pan right"
    assert replace(walk, scroll=-0.16).value(walking=True) == "pan left"


@pytest.mark.parametrize("camera", ATTRIBUTES["camera"])
def test_camera_moves_of_drawn_clips(camera: str) -> None:
    scene = sample_scene(
        np.random.default_rng(4), camera=camera, action="waving", background="city", shot="full body"
    )
    frames = [draw_frame(scene, 1 + k / 8, 256) for k in range(16)]
    tracks = np.stack([frame.joints for frame in frames]) / np.array([256, 256, 1], np.float32)
    found = nano_flow.camera_move(np.stack([frame.rgb for frame in frames]), tracks, 8)
    assert found.value(walking=False) == camera


def test_a_soft_background_is_followed_beside_a_sharply_drawn_character() -> None:
    clip = (128 + 0.12 * (moving_texture(3).astype(np.float32) - 128)).astype(np.uint8)
    tracks = nobody()
    near = ~nano_flow.beside_character(clip.shape[1:3], tracks)
    her = cv2.erode(near.astype(np.uint8), np.ones((17, 17))) > 0  # sharp inside, not at her edge
    clip[:, her] = np.random.default_rng(1).choice([0, 255], size=(int(her.sum()), 1))
    found = nano_flow.camera_move(clip, tracks, 8)
    assert found.points > nano_flow.FEWEST
    assert found.value(walking=False) == "pan right"


def test_without_background_points_no_move_can_be_told() -> None:
    flat = np.full((16, 64, 64, 3), 90, np.uint8)
    move = nano_flow.camera_move(flat, nobody(), 8)
    assert move.value(walking=False) is None
    assert camera_index(move, walking=False) == UNKNOWN


def test_a_clip_that_trembles_is_less_smooth_than_one_that_moves_on() -> None:
    smooth = moving_texture(2)
    trembling = smooth[[k + 2 * (-1) ** k for k in range(2, len(smooth) - 2)]]
    even, shaken = nano_flow.smoothness(smooth, 8), nano_flow.smoothness(trembling, 8)
    assert even is not None and shaken is not None
    assert even > 0.9 > 0.5 > shaken
    assert nano_flow.smoothness(moving_texture(0), 8) is None


def test_smoothness_is_told_beside_that_of_drawn_clips() -> None:
    rows = [clip_row(), clip_row(smoothness=0.5), clip_row(smoothness=None)]
    _, line, _ = nano_lines.motion_lines(rows)
    assert (line.value, line.count, line.status) == (pytest.approx(0.45), 2, "SHORT")
    assert line.shown == "0.45 (drawn clips 0.70)"
    assert nano_lines.motion_lines([clip_row(smoothness=None)])[1].shown == "-"


def test_flow_magnitude_is_the_speed_in_frame_widths() -> None:
    assert nano_flow.flow_magnitude(moving_texture(4), 8) == pytest.approx(4 * 8 / 256, rel=0.1)
    assert nano_flow.flow_magnitude(moving_texture(0), 8) < 0.002


def test_flicker_is_the_mean_change_of_still_pixels() -> None:
    clip = np.full((16, 64, 64, 3), 100, np.uint8)
    clip[1::2] += 3
    clip[:, :, 48:] = np.arange(16, dtype=np.uint8)[:, None, None, None] * 12  # something that moves
    still = nano_flow.static_pixels(clip, nobody())
    assert not still[:, 50:].any()  # what changes a lot
    assert not still[30:34, 30:34].any()  # the character
    assert still[:20, :40].all()
    assert nano_flow.flicker(clip, still) == pytest.approx(3.0)
    assert np.isnan(nano_flow.flicker(clip, np.zeros((64, 64), np.bool_)))


def test_unchanged_pixels_are_background_and_equal_in_every_frame() -> None:
    scene = sample_scene(np.random.default_rng(4), camera="static", action="waving", background="city")
    frames = [draw_frame(scene, k / 8, 64) for k in range(4)]
    mask = unchanged(frames)
    assert 0.1 < mask.mean() < 0.9
    assert not (mask & frames[0].character).any()
    assert (frames[3].rgb[mask] == frames[0].rgb[mask]).all()


# Prompts


def test_prompts_are_held_out_fixed_and_complete() -> None:
    for index in range(12):
        one = asked(index)
        assert one == asked(index)
        assert is_held_out(one.scene)
        assert one.english == (index % 2 == 1)
        if not one.english:
            needed = [one.scene.hair_style, one.scene.action, one.scene.background, one.scene.shot]
            assert all(word in one.text.split(", ") for word in needed)
    assert len({asked(i).text for i in range(12)}) == 12
    assert asked(3, 1).text != asked(3).text
    assert asked(5, camera="pan left", style="pastel").scene.camera == "pan left"


# Rows


def test_rows_survive_a_kill_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    rows = Rows(path)
    rows.add("pose", 0, {"on": [1, 2]})
    rows.add("pose", 2, {"on": [2, 2]})
    with path.open("a") as file:
        file.write('{"section": "pose", "index": 1, "on"')
    again = Rows(path)
    assert again.missing("pose", 4) == [1, 3]
    again.add("pose", 1, {"on": [0, 2]})
    assert [row["on"] for row in Rows(path).of("pose", 3)] == [[1, 2], [0, 2], [2, 2]]
    assert [row["index"] for row in Rows(path).of("pose", 1)] == [0]


def test_rows_belong_to_their_weights(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    weights = tmp_path / "unet" / "model.safetensors"
    weights.write_bytes(b"one")
    first = key(tmp_path)
    (tmp_path / "README.md").write_text("words change nothing")
    assert key(tmp_path) == first
    weights.write_bytes(b"two")
    assert key(tmp_path) != first


def test_rows_belong_to_the_code_that_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano_rows, "ROOT", tmp_path)
    source = tmp_path / "benchmarks" / "nano" / "nano_flow.py"
    source.parent.mkdir(parents=True)
    source.write_text("PAN = 1")
    first = nano_rows.key(tmp_path / "weights")
    (tmp_path / "benchmarks" / "nano" / "nano_page.py").write_text("how it looks changes nothing")
    assert nano_rows.key(tmp_path / "weights") == first
    source.write_text("PAN = 2")
    assert nano_rows.key(tmp_path / "weights") != first


def test_a_strip_keeps_every_frame(tmp_path: Path) -> None:
    clip = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8)
    write_strip(tmp_path / "clips" / "000.png", clip)
    np.testing.assert_array_equal(read_strip(tmp_path / "clips" / "000.png"), clip)


# Lines


def planned_row(**changes: Any) -> dict[str, Any]:
    colors = {"outfit": 1.0, "hair": 1.0, "eyes": 0.5}
    return {
        "action": "bowing", "judged": "bowing", "drawn_judged": "bowing", "read": True, "pck": [9, 10],
        "drawn_pck": [10, 10], "constancy": colors, "smoothness": 0.4, "drawn_smoothness": 0.7, "flow": 0.9,
        "drawn_flow": 1.0, **changes
    }  # fmt: skip


def test_new_actions_are_read_and_followed() -> None:
    rows = [planned_row(), planned_row(action="kicking", read=False, pck=[10, 10], flow=0.7)]
    read, seen, placed, constant, smooth, flow = nano_planned.planned_lines(rows)
    assert (read.value, read.status) == (0.5, "SHORT")
    assert (seen.value, seen.status, seen.details["by_action"]["kicking"]) == (0.5, "SHORT", 0.0)
    assert (placed.value, placed.count, placed.status) == (0.95, 20, "met")
    assert constant.value == pytest.approx(5 / 6) and constant.details["by_region"]["eyes"] == 0.5
    assert placed.details["drawn"] == 1.0 and "100.0 %" in placed.shown
    assert (smooth.value, smooth.details["drawn"], smooth.status) == (0.4, 0.7, "SHORT")
    assert flow.details["by_action"] == {"bowing": pytest.approx(0.9), "kicking": pytest.approx(0.7)}
    assert (flow.value, flow.status) == (pytest.approx(0.7), "SHORT")


def test_clips_that_no_poses_steered_have_no_limbs_in_place() -> None:
    drawn = {"outfit": 1.0, "hair": 1.0, "eyes": 1.0}
    (line,) = nano_planned.steady_lines([planned_row(pck=None, drawn_constancy=drawn)])
    assert line.status == "SHORT" and "drawn clips 100.0 %" in line.shown
    assert len(nano_planned.steady_lines([planned_row(drawn_constancy=drawn)])) == 2


def clip_row(**changes: Any) -> dict[str, Any]:
    wanted = dict.fromkeys(ATTRIBUTES, 0)
    return {
        "english": False, "shot": "upper body", "wanted": wanted,
        "frames": {name: [0, 0, 0, 0] for name in STILL},
        "action": 0, "drawn_action": 0, "camera": 0, "drawn_camera": 0, "flow": 0.1, "drawn_flow": 0.1,
        "smoothness": 0.4, "drawn_smoothness": 0.7,
        "flicker": 2.0, "drawn_flicker": 1.0, **changes,
    }  # fmt: skip


def test_a_clip_counts_by_the_share_of_its_middle_frames() -> None:
    row = clip_row()
    row["frames"]["hair_color"] = [0, 3, 0, 0]
    assert nano_lines.clip_right(row, "hair_color") == 0.75


def test_eyes_are_judged_where_they_show() -> None:
    row = clip_row()
    row["frames"]["eye_color"] = [0, 2, 2, 0]
    row["frames"]["expression"] = [0, CLOSED_EYES, CLOSED_EYES, 0]
    assert nano_lines.clip_right(row, "eye_color") == 1.0
    row["frames"]["expression"] = [CLOSED_EYES] * 4  # none open: no way out
    assert nano_lines.clip_right(row, "eye_color") == 0.5
    assert nano_lines.clip_right({**row, "shot": "full body"}, "eye_color") is None
    row["wanted"]["eye_color"] = UNKNOWN
    assert nano_lines.clip_right(row, "eye_color") is None


def test_clip_lines_meet_or_miss_their_bars() -> None:
    good, bad = clip_row(), clip_row(action=3)
    lines = {line.what: line for line in nano_lines.clip_lines([good] * 39 + [bad] * 1)}
    assert lines["action, judged on the clip"].value == 0.975
    assert lines["action, judged on the clip"].status == "met"
    lines = {line.what: line for line in nano_lines.clip_lines([good] * 9 + [bad] * 1)}
    assert lines["action, judged on the clip"].status == "SHORT"
    assert lines["hair colour"].status == "met"


def test_chance_is_what_other_prompts_would_score() -> None:
    rows = []
    for k in range(9):
        row = clip_row()
        row["wanted"] = {**row["wanted"], "hair_color": k}
        row["frames"] = {**row["frames"], "hair_color": [k] * 4}
        rows.append(row)
    line = nano_lines.clip_lines(rows)[0]
    assert (line.value, line.details["chance"]) == (1.0, 0.0)


def of_two_actions(first: float, second: float) -> list[dict[str, Any]]:
    """Clips of two actions with these flows."""
    rows = [clip_row(flow=first), clip_row(flow=second)]
    rows[1]["wanted"] = {**rows[1]["wanted"], "action": 4}
    return rows


def test_motion_counts_by_its_worst_action() -> None:
    flow, _, flicker = nano_lines.motion_lines(of_two_actions(0.12, 0.05))
    assert flow.value == pytest.approx(0.5)
    assert flow.status == "SHORT"
    assert flicker.value == pytest.approx(2.0)
    assert nano_lines.motion_lines([clip_row()])[0].status == "met"


def test_an_action_just_too_lively_counts_beside_one_that_is_calm_enough() -> None:
    flow, *_ = nano_lines.motion_lines(of_two_actions(0.09, 0.133))
    assert flow.value == pytest.approx(1.33)
    assert flow.status == "SHORT"


def test_pose_needs_the_bar_and_the_gain() -> None:
    good = {"on": [19, 20], "off": [6, 20], "own": [20, 20]}
    extra = {"wanted": dict.fromkeys(STILL, 0), "found": dict.fromkeys(STILL, 0), "shot": "full body"}
    assert nano_lines.pose_line([{**good, **extra}]).status == "met"
    assert nano_lines.pose_line([{**good, **extra, "off": [14, 20]}]).status == "SHORT"
    assert nano_lines.pose_line([{**good, **extra, "on": [17, 20]}]).status == "SHORT"


def still_rows(wrong: int) -> list[dict[str, Any]]:
    rows = []
    for k in range(100):
        values = dict.fromkeys(ATTRIBUTES, 1)
        lcm = {**values, "outfit": 2} if k < wrong else values
        lab = {"lab_lcm": [50.0, 4.0, 0.0], "lab_hq": [50.0, 0.0, 0.0]}
        rows.append({"wanted": values, "shot": "upper body", "hq": values, "lcm": lcm, **lab})
    return rows


def test_lcm_is_held_to_its_worst_attribute() -> None:
    accuracy, color = nano_lines.speed_lines(still_rows(5))
    assert accuracy.value == pytest.approx(0.05)
    assert "outfit" in accuracy.shown
    assert (accuracy.status, color.status) == ("SHORT", "SHORT")
    assert color.value == pytest.approx(4.0)
    assert nano_lines.speed_lines(still_rows(2))[0].status == "met"


def test_styles_and_negatives_and_sizes() -> None:
    wanted = dict.fromkeys(STILL, 1)
    names = ATTRIBUTES["style"]
    styled = [{name: {**wanted, "style": k} for k, name in enumerate(names)} for _ in range(8)]
    styled[3]["pastel"] = {**wanted, "style": 0, "outfit": 2}
    apart, lost = nano_lines.style_lines([{"wanted": wanted, "shot": "upper body", **row} for row in styled])
    assert apart.value == pytest.approx(23 / 24) and apart.details["by_style"]["pastel"] == 7 / 8
    assert lost.value == pytest.approx(1 / 8) and "pastel, outfit" in lost.shown and lost.status == "SHORT"
    assert nano_lines.negative_line([{"with": 0, "without": 1}]).status == "met"
    assert nano_lines.negative_line([{"with": 1, "without": 1}]).status == "SHORT"
    assert nano_lines.size_line({"bytes": 49_000_000, "largest_file": 14_000_000}).status == "met"
    assert nano_lines.size_line({"bytes": 49_000_000, "largest_file": 16_000_000}).status == "SHORT"


def test_the_probe_is_judged_by_its_worst_attribute() -> None:
    values = dict.fromkeys(STILL, 1)
    row = {"wanted": values, "found": values, "decoded": {**values, "eye_color": 0}, "psnr": 33.0}
    row |= {"style": "plain", "shot": "full body"}
    psnr, eyes, new, decoded = nano_lines.drawn_lines([row] * 3)
    assert [line.status for line in (psnr, eyes, new, decoded)] == ["met", "SHORT", "met", "SHORT"]
    assert "eye colour" in decoded.shown


def test_tables_show_every_line() -> None:
    lines = [
        Line(what="hair", bar=">= 97 %", shown="98 %", value=0.98, met=True, count=200),
        Line(what="eyes", bar="", shown="-", value=float("nan"), met=None),
    ]
    assert "| hair | >= 97 % | 98 % | 200 | met |" in markdown_table(lines)
    assert len({len(line.split("  ")[0]) for line in text_table(lines).splitlines()[1:]}) == 1
    assert json.dumps(nano._plain(lines[1].record()), allow_nan=False)


# The page, the card and the command


def test_the_page_is_filled_between_its_markers() -> None:
    page = Path("docs/nano.md").read_text()
    filled = nano_page.fill(page, "table", "| new \\1 |")
    assert "| new \\1 |" in filled
    assert nano_page.fill(filled, "table", "| newer |").count("| new") == 1
    assert filled.split("## Scores")[0] == page.split("## Scores")[0]
    with pytest.raises(ConfigError) as caught:
        nano_page.fill(page, "nothing", "")
    assert caught.value.code == "CFG-PAGE"


def test_the_card_names_members_trainings_and_scores(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "model.safetensors").write_bytes(b"0" * 2_000_000)
    record = {
        "member": "vae", "code_sha256": "1", "seconds": 600.0, "training": {"steps": 40, "batch": 8},
        "scores": {"psnr_db": 33.0}, "before": [{"seconds": 60.0, "training": {"steps": 10, "batch": 8}}],
    }  # fmt: skip
    (tmp_path / "vae" / "training.json").write_text(json.dumps(record))
    (tmp_path / "MANIFEST.json").write_text("{}")
    line = Line(what="hair", bar=">= 97 %", shown="98 %", value=0.98, met=True, count=200)
    write_card(tmp_path, {"counts": {"clips": 2}, "machine": "a box", "lines": [line.record()]})
    card = (tmp_path / "README.md").read_text()
    for part in ("| `vae` |", "| 2.00 |", "| vae | 10 + 40 | 8 | 11 | psnr_db 33 |", "98 %", "CC0", "Limits"):
        assert part in card, part
    assert "README.md" in json.loads((tmp_path / "MANIFEST.json").read_text())


def test_a_folder_without_a_family_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        nano.main(["--weights", str(tmp_path)])
    assert caught.value.code == "WGT-MISSING"
    code = (
        "import sys; from pokora_anime.cli.bench import main\n"
        f"try: main(['nano', '--weights', {str(tmp_path)!r}])\n"
        "except Exception: pass\n"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_counts_follow_the_options() -> None:
    parse = nano._parser().parse_args
    assert nano.counted(parse([])) | {"negative": 0} == {
        "drawn": 1000, "clips": 200, "planned": 100, "stills": 1000, "pose": 200, "depth": 200, "styles": 200,
        "negative": 0,
    }  # fmt: skip
    assert nano.counted(parse(["--prompts", "40", "--clips", "10"]))["clips"] == 10
    assert nano.counted(parse(["--quick"]))["clips"] < 10


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped family, with an untrained probe where none is shipped."""
    folder = tmp_path_factory.mktemp("family") / "weights"
    shutil.copytree(nano.SHIPPED, folder)
    if not (folder / "probe").exists():
        torch.manual_seed(0)
        AttributeProbe().save_pretrained(folder / "probe")
    return folder


def test_a_run_writes_its_rows_and_goes_on_where_it_stopped(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--weights", str(weights), "--prompts", "1", "--stills", "1", "--sections", "drawn", "pose"]
    command += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--threads", "1"]
    assert nano.main(command) == 0
    result = json.loads((tmp_path / "out" / "nano.json").read_text())
    assert {"pose control: PCK@0.1 of elbows, wrists, knees, ankles", "size on disk, largest file"} <= {
        line["what"] for line in result["lines"]
    }
    (rows,) = (tmp_path / "work").glob("*/rows.jsonl")
    before = rows.read_text()
    capsys.readouterr()
    assert nano.main(command) == 0
    assert rows.read_text() == before
    assert "s each" not in capsys.readouterr().out


def test_a_clip_is_one_segment_with_its_cameras_move(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.nano.nano_studio import Studio

    studio = Studio(weights, threads=1)
    monkeypatch.setattr(studio.config.speed, "steps", 2)
    monkeypatch.setattr(
        studio.config.control, "kinds", []
    )  # nobody moves much unasked: the picture is the camera's
    clip = studio.clip("1girl, blue hair, standing, city, full body, pan right", 3)
    assert clip.shape == (16, 256, 256, 3)
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in clip]
    window = cv2.createHanningWindow((256, 256), cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(gray[2], gray[14], window)
    assert abs(right + 30.7) < 3 and abs(down) < 3  # 1.5 s of 0.08 frame widths
    assert np.abs(clip[0].astype(int) - clip[8]).mean() > 0.5
