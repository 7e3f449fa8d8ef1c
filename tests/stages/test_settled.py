"""Decoded frames in the keyframe's colours, and steadied along their flow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pokora_anime.choreography import skeleton
from pokora_anime.choreography.skinning import grid, skin, with_head
from pokora_anime.config.compose import compose, compose_video
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.stage_records import Image, Posed
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control.choreography_stage import of_frames
from pokora_anime.stages.delivery.settled_frames import Shown, around, settled
from pokora_anime.stages.delivery.steady import reach, steadied
from pokora_anime.stages.motion import pose_start
from pokora_anime.submission.documents import prose
from pokora_anime.timeline import choreography_plan

SIZE = (128, 128)
RED, BLACK, GREEN, SKY = (200, 40, 40), (20, 20, 24), (40, 170, 60), (120, 180, 230)
WRIST, ELBOW, SHOULDER = 4, 3, 2
HIPS, NECK = (8, 11), 1


def standing() -> NDArray[np.float32]:
    """Joints [18,3] of the figure in the middle of a frame."""
    figure = skeleton.default_figure(SIZE)
    return skeleton.joints_of(figure.first[None], figure, SIZE)[0].astype(np.float32)


def arm_out(angle: float) -> NDArray[np.float32]:
    """The same, one forearm turned around its elbow."""
    joints = standing()
    way = joints[WRIST, :2] - joints[ELBOW, :2]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    joints[WRIST, :2] = joints[ELBOW, :2] + turn @ way
    return joints


def drawn(joints: NDArray[np.float32]) -> Image:
    """A black dress and red sleeves under the sky."""
    frame = np.full((*SIZE, 3), SKY, np.uint8)
    at = {k: tuple(int(v) for v in np.rint(joints[k, :2])) for k in (ELBOW, WRIST, SHOULDER, NECK)}
    hips = tuple(int(v) for v in np.rint(joints[[*HIPS], :2].mean(0)))
    cv2.line(frame, at[NECK], hips, BLACK, 17)
    cv2.line(frame, at[SHOULDER], at[ELBOW], RED, 7)
    cv2.line(frame, at[ELBOW], at[WRIST], RED, 7)
    return frame


def trunk(joints: NDArray[np.float32]) -> tuple[int, int]:
    """Row and column of the middle of the trunk."""
    x, y = (joints[NECK, :2] + joints[[*HIPS], :2].mean(0)) / 2
    return round(float(y)), round(float(x))


# Skinning


def test_a_pose_lies_in_itself_where_it_is() -> None:
    found = skin(standing(), standing(), (32, 32), 4)
    assert np.allclose(found.places, grid((32, 32), 4), atol=0.01)
    assert found.hers.max() == pytest.approx(1.0, abs=1e-3) and found.hers[0, 0] < 0.01


def test_a_forearm_is_found_where_it_was_before_it_turned() -> None:
    here, there = arm_out(1.2), standing()
    found = skin(here, there, SIZE, 1)
    middle = (here[ELBOW, :2] + 2 * here[WRIST, :2]) / 3
    expected = (there[ELBOW, :2] + 2 * there[WRIST, :2]) / 3
    column, row = np.rint(middle).astype(int)
    assert np.linalg.norm(found.places[row, column] - expected) < 3
    assert np.allclose(found.places[0, 0], [0, 0], atol=0.5)  # the sky does not move


def test_a_trunk_is_told_by_the_shoulders_where_hips_are_outside_of_the_frame() -> None:
    cut, moved = standing(), standing() + np.array([6, 4, 0], np.float32)
    cut[[*HIPS], 2] = moved[[*HIPS], 2] = 0
    row, column = trunk(moved)
    expected = np.array([column - 6, row - 4])
    assert np.linalg.norm(skin(moved, cut, SIZE, 1).places[row, column] - expected) < 1


def test_hair_goes_with_the_head() -> None:
    moved = standing() + np.array([5, -3, 0], np.float32)
    assert np.allclose(with_head(moved, standing(), SIZE, 1) - grid(SIZE, 1), [-5, 3], atol=1e-3)


def test_a_segment_starts_from_the_keyframe_in_each_pose() -> None:
    latent = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(0))
    poses = Posed(
        joints=np.stack([standing(), standing() + np.array([16, 0, 0], np.float32)]), keyframe=standing()
    )
    found = pose_start.posed(latent, poses, 2)
    assert found.shape == (4, 2, 16, 16) and torch.allclose(found[:, 0], latent, atol=1e-4)
    row, column = (place // 8 for place in trunk(standing()))
    assert torch.allclose(found[:, 1, row, column + 2], latent[:, row, column], atol=0.2)


# Colours


def planned(*poses: NDArray[np.float32]) -> Posed:
    return Posed(joints=np.stack(poses), keyframe=poses[0])


def config(*more: str) -> VideoConfig:
    sides = (f"base.width={SIZE[1]}", f"base.height={SIZE[0]}")
    return compose_video(["finish.interpolation=none", "finish.fps=8", "shot.seconds=2", *sides, *more])


def shown(frames: list[Image], posed: Posed | None, settings: VideoConfig, first: int = 0) -> list[Image]:
    some = (Shown.of(frame, posed, index, settings) for index, frame in list(enumerate(frames))[first:])
    opening = Shown.of(frames[0], posed, 0, settings) if first else None
    return list(settled(some, settings, first, opening))


def test_a_patch_of_another_colour_goes_and_a_turned_sleeve_stays_red() -> None:
    poses = standing(), arm_out(-1.0)
    frames = [drawn(pose) for pose in poses]
    row, column = trunk(poses[1])
    frames[1][row - 4 : row + 4, column - 4 : column + 4] = GREEN
    first, second = shown(frames, planned(*poses), config("finish.steady=0"))
    assert np.array_equal(first, frames[0])
    assert np.abs(second[row, column].astype(int) - BLACK).max() < 25
    sleeve = np.rint((poses[1][ELBOW, :2] + poses[1][WRIST, :2]) / 2).astype(int)
    assert np.abs(second[sleeve[1], sleeve[0]].astype(int) - RED).max() < 25
    assert np.abs(second[:6, :6].astype(int) - SKY).max() <= 1


def test_without_planned_poses_or_when_it_is_off_colours_stay() -> None:
    frames = [drawn(standing()), drawn(arm_out(-1.0))]
    frames[1][trunk(standing())] = GREEN
    assert np.array_equal(shown(frames, None, config("finish.steady=0")), frames)
    off = config("finish.steady=0", "finish.match_colors=false")
    assert np.array_equal(shown(frames, planned(standing(), arm_out(-1.0)), off), frames)


def test_a_prompt_that_travels_to_another_look_keeps_its_colours() -> None:
    joints = np.stack([standing()] * 17)
    for text, kept in (
        ("0: 1girl, red dress, waving, 8: 1girl, red dress, walking", True),
        ("0: 1girl, red dress, waving, 8: 1girl, blue dress, waving", False),
        ("0: 1girl, smile, waving, 8: 1girl, closed eyes, waving", False),
    ):
        settings = compose("video", [f"shot.prompt={text}"])
        assert isinstance(settings, VideoConfig) and choreography_plan.same_look(settings) is kept
        assert (of_frames(joints, 0, 16, settings) is not None) is kept


# Steadiness


def moving(places: list[float]) -> list[Image]:
    """A soft disc at these columns, drawn between pixels."""
    rows, columns = np.mgrid[0:96, 0:96]
    far = [np.hypot(rows - 48, columns - 30 - place) for place in places]
    return [
        np.repeat(np.clip(230 - 200 / (1 + np.exp(14 - one)), 0, 255)[..., None], 3, 2).astype(np.uint8)
        for one in far
    ]


def column_of(frame: Image) -> float:
    """The column of what is bright."""
    weight = frame[..., 0].astype(float) - frame.min()
    return float((weight * np.arange(frame.shape[1])).sum() / weight.sum())


def tremor(frames: list[Image]) -> float:
    places = np.array([column_of(frame) for frame in frames])
    return float(np.abs(np.diff(places, 2)).mean())


def test_what_trembles_is_steadied_and_what_moves_keeps_its_way() -> None:
    even = moving([2.0 * k for k in range(16)])
    trembling = moving([2.0 * k + (0.8 if k % 2 else -0.8) for k in range(16)])
    calmed = list(steadied(iter(trembling), 2, 15))
    assert len(calmed) == 16 and tremor(calmed[3:-3]) < 0.5 * tremor(trembling[3:-3])
    kept = list(steadied(iter(even), 2, 15))
    assert max(abs(column_of(a) - column_of(b)) for a, b in zip(even, kept, strict=True)) < 0.3
    assert np.array_equal(calmed[0], trembling[0]) and np.array_equal(calmed[15], trembling[15])


def test_a_colour_that_flickers_is_averaged_along_the_way() -> None:
    frames = moving([2.0 * k for k in range(12)])
    flickering = [
        np.clip(frame * (1.1 if k % 2 else 0.9), 0, 255).astype(np.uint8) for k, frame in enumerate(frames)
    ]

    def light(some: list[Image]) -> float:
        return float(np.std([frame[44:52].max() for frame in some]))

    assert light(list(steadied(iter(flickering), 1, 11))[2:-2]) < 0.5 * light(flickering[2:-2])


def test_a_part_of_a_clip_is_made_as_in_the_whole() -> None:
    poses = [arm_out(0.15 * k) for k in range(16)]
    frames, settings = [drawn(pose) for pose in poses], config()
    whole = shown(frames, planned(*poses), settings)
    first = 3
    part = shown(frames, planned(*poses), settings, first)
    assert around(settings) == reach(2) == 4
    assert np.array_equal(part[4:], whole[first + 4 :]) and not np.array_equal(part[1], whole[first + 1])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clips_of_a_few_frames_keep_their_ends(count: int) -> None:
    frames = moving([0.0, 2.0, 1.0][:count])
    found = list(steadied(iter(frames), 2, count - 1))
    assert len(found) == count
    assert np.array_equal(found[0], frames[0]) and np.array_equal(found[-1], frames[-1])


# Settings


def test_nano_has_it_and_other_bases_do_not() -> None:
    asked = [compose_video([]), compose_video(["base=sdxl"]), compose_video(["experiment=contest_sdxl"])]
    found = [(one.motion.pose_start, one.finish.match_colors, one.finish.steady) for one in asked]
    assert found == [(0.34, True, 2), (0.0, False, 0), (0.0, False, 0)]


def test_the_writeup_says_what_is_done_to_frames() -> None:
    for more, told in (((), True), (("finish.match_colors=false", "finish.steady=0"), False)):
        text = prose._delivery(compose_video([*more]))
        assert ("colours that lay around its place" in text) is told
        assert ("steadied along their optical flow" in text) is told


@pytest.mark.parametrize("setting", ["finish.steady=5", "finish.steady=-1", "motion.pose_start=0.95"])
def test_a_value_out_of_range_is_one_line(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.split("=")[0].replace(".", r"\.")):
        compose("video", [setting])
