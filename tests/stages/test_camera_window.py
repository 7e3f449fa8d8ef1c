"""The camera's window over finished frames: where it goes, how fast, and never beyond the frame."""

from __future__ import annotations

import json
from cmath import rect
from collections.abc import Sequence
from itertools import product
from math import degrees, log
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import replay_runs

from pokora_anime.cli.judge import replay
from pokora_anime.config.compose import compose_video
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.run_identity import recorded
from pokora_anime.schema.settings import Camera, FinishConfig
from pokora_anime.stages.delivery.camera_window import WAYS, Move, cut
from pokora_anime.stages.delivery.resample import sized
from pokora_anime.stages.picture.decode import fitted
from pokora_anime.submission.documents import prose
from pokora_anime.submission.documents.command_line import command_line
from pokora_anime.verify.examine_run import examine

SIDE = 192


def ground(width: int = SIDE, height: int = SIDE) -> Image:
    """Soft spots all over, which can be followed."""
    noise = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.asarray(cv2.normalize(smooth, smooth, 0, 255, cv2.NORM_MINMAX), np.uint8)


def move_of(finish: FinishConfig, seconds: float, *, loop: bool = False) -> Move:
    move = Move.of(finish, seconds, loop=loop)
    assert move is not None
    return move


def shown(
    finish: FinishConfig, seconds: float, shares: Sequence[float], *, loop: bool = False
) -> list[Image]:
    move, frame = move_of(finish, seconds, loop=loop), ground()
    return [cut(frame, share, move, finish) for share in shares]


def change(before: Image, after: Image) -> tuple[float, float, float, float]:
    """How what is seen moves: right and down in frame sides, log of growth, degrees clockwise."""
    here, there = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (before, after))
    points = cv2.goodFeaturesToTrack(here, 300, 0.01, 5)
    moved, seen, _ = cv2.calcOpticalFlowPyrLK(
        here, there, points, np.empty_like(points), winSize=(31, 31), maxLevel=4
    )
    kept = seen[:, 0] > 0
    matrix, _ = cv2.estimateAffinePartial2D(points[kept], moved[kept], ransacReprojThreshold=0.5)
    scaled = complex(matrix[0, 0], matrix[1, 0])
    middle = np.array([after.shape[1] - 1, after.shape[0] - 1]) / 2
    right, down = (matrix[:, :2] @ middle + matrix[:, 2] - middle) / after.shape[0]
    return float(right), float(down), log(abs(scaled)), degrees(np.angle(scaled))


@pytest.mark.parametrize(
    ("camera", "way"),
    [
        (Camera.pan_left, (0.08, 0, 0, 0)),
        (Camera.pan_right, (-0.08, 0, 0, 0)),
        (Camera.tilt_up, (0, 0.08, 0, 0)),
        (Camera.tilt_down, (0, -0.08, 0, 0)),
        (Camera.zoom_in, (0, 0, 0.035, 0)),
        (Camera.zoom_out, (0, 0, -0.035, 0)),
        (Camera.rolling_clockwise, (0, 0, 0, -2.0)),
        (Camera.rolling_anticlockwise, (0, 0, 0, 2.0)),
    ],
)
def test_a_second_of_each_move(camera: Camera, way: tuple[float, ...]) -> None:
    finish = FinishConfig(width=SIDE, height=SIDE, camera=camera)
    first, second = shown(finish, 2.0, (0.2, 0.7))
    found = change(first, second)
    assert np.abs(np.array(found) - way).max(initial=0, where=[True, True, True, False]) < 0.002
    assert abs(found[3] - way[3]) < 0.1


def test_a_pan_is_even_within_a_twentieth_of_a_pixel() -> None:
    finish = FinishConfig(width=SIDE, height=SIDE, camera=Camera.pan_right, camera_speed=0.1)
    frames = shown(finish, 2.0, [index / 48 for index in range(48)])
    far = [change(frames[0], frame)[0] * SIDE for frame in frames[1:]]
    assert np.abs(np.array(far) + SIDE * 0.016 / 48 * np.arange(1, 48)).max() < 0.05


@pytest.mark.parametrize(("speed", "travel"), [(0.5, 0.175), (1.0, 0.35), (2.0, 0.7)])
def test_a_long_clip_goes_as_far_as_one_of_five_seconds(speed: float, travel: float) -> None:
    finish = FinishConfig(camera=Camera.pan_right, camera_speed=speed)
    assert [move_of(finish, seconds).right for seconds in (5.0, 8.0, 60.0)] == pytest.approx([travel] * 3)


@given(
    camera=st.sampled_from([*WAYS]),
    speed=st.floats(0.1, 4.0),
    seconds=st.floats(0.5, 20.0),
    zoom=st.floats(1.0, 4.0),
    share=st.floats(0.0, 1.0),
    size=st.tuples(*[st.integers(8, 40)] * 4),
    loop=st.booleans(),
)
def test_the_window_never_leaves_the_frame(
    camera: Camera,
    speed: float,
    seconds: float,
    zoom: float,
    share: float,
    size: tuple[int, ...],
    loop: bool,
) -> None:
    frame = np.zeros((16 * size[0], 16 * size[1], 3), np.uint8)
    finish = FinishConfig(
        width=16 * size[2], height=16 * size[3], camera=camera, camera_speed=speed, zoom=zoom
    )
    move = move_of(finish, seconds, loop=loop)
    window, scale = move.at(share), move.scale(frame, finish)
    turn = np.exp(1j * window.turn) * scale / window.growth
    center = scale * complex(finish.width * window.right, finish.height * window.down)
    for corner in (complex(1, 1), complex(1, -1), complex(-1, 1), complex(-1, -1)):
        at = center + turn * complex(finish.width * corner.real, finish.height * corner.imag) / 2
        assert abs(at.real) <= frame.shape[1] / 2 + 1e-6 and abs(at.imag) <= frame.shape[0] / 2 + 1e-6


def test_a_pan_goes_from_edge_to_edge_and_no_farther() -> None:
    columns = np.arange(SIDE, dtype=np.uint8)[None, :, None].repeat(SIDE, 0).repeat(3, 2)
    finish = FinishConfig(width=SIDE, height=SIDE, camera=Camera.pan_right)
    move = move_of(finish, 2.0)
    first, last = (cut(columns, share, move, finish)[SIDE // 2, :, 0] for share in (0.0, 1.0))
    shown_columns = SIDE / 1.16  # 0.16 of its widths are left to travel in
    assert first[0] <= 1 and abs(int(first[-1]) - (shown_columns - 1)) <= 1
    assert last[-1] >= SIDE - 2 and abs(int(last[0]) - (SIDE - shown_columns)) <= 1
    assert np.diff(first[:20].astype(int)).sum() >= 14  # a border that goes on would stand still


def test_a_short_clip_loses_less_and_what_the_shape_leaves_is_used_first() -> None:
    frame, finish = ground(), FinishConfig(width=SIDE, height=SIDE, camera=Camera.tilt_up)
    crops = [1 / move_of(finish, seconds).scale(frame, finish) for seconds in (1.0, 2.0, 8.0)]
    assert crops == pytest.approx([1.08, 1.16, 1.35])
    wide = FinishConfig(width=SIDE, height=SIDE // 2, camera=Camera.tilt_up)
    assert move_of(wide, 8.0).scale(frame, wide) == 1.0
    zoomed = FinishConfig(width=SIDE, height=SIDE, camera=Camera.pan_left, zoom=2.0)
    assert move_of(zoomed, 8.0).scale(frame, zoomed) == 0.5


@pytest.mark.parametrize("share", [0.0, 0.6, 0.8525, 1.0])
def test_a_wide_rolls_corners_stay_in_the_frame(share: float) -> None:
    """A wide window reaches farthest before it has turned all the way."""
    finish = FinishConfig(width=5 * SIDE, height=SIDE, camera=Camera.rolling_clockwise, camera_speed=4.0)
    move = move_of(finish, 8.0)
    window, scale = move.at(share), move.scale(ground(), finish)
    for x, y in product((-0.5, 0.5), repeat=2):
        corner = scale * complex(finish.width * x, finish.height * y) * rect(1.0, window.turn)
        assert max(abs(corner.real), abs(corner.imag)) <= SIDE / 2 + 1e-6


@pytest.mark.parametrize("camera", [Camera.pan_left, Camera.zoom_in, Camera.rolling_clockwise])
def test_a_loops_move_comes_back(camera: Camera) -> None:
    finish = FinishConfig(width=SIDE, height=SIDE, camera=camera)
    first, quarter, half, late, again = shown(finish, 2.0, (0.0, 0.25, 0.5, 0.75, 1.0), loop=True)
    assert np.array_equal(first, again) and np.array_equal(quarter, late)
    there, back = np.array(change(first, half)), np.array(change(half, again))
    assert np.abs(there + back).max() < 0.05 and np.abs(there).max() > 0.03


def test_a_zooms_whole_frame_lies_where_a_still_one_does() -> None:
    finish = FinishConfig(width=2 * SIDE, height=2 * SIDE, camera=Camera.zoom_in)
    first = cut(ground(), 0.0, move_of(finish, 2.0), finish)
    assert (
        cv2.absdiff(first, fitted(ground(), finish)).mean() < 0.5
    )  # 3.7 half a pixel of the frame beside it


def test_finer_lines_than_the_result_can_show_leave_no_waves() -> None:
    lines = np.zeros((768, 768, 3), np.uint8)
    lines[:, ::3] = 255
    finish = FinishConfig(width=192, height=192, camera=Camera.pan_right)
    smaller = cut(lines, 0.3, move_of(finish, 2.0), finish)[4:-4, 4:-4]
    assert np.ptp(smaller) < 40  # 255 without the filter before


@pytest.mark.parametrize("camera", [Camera.free, Camera.static])
def test_without_a_move_frames_are_what_they_were(camera: Camera) -> None:
    config = compose_video([f"finish.camera={camera.value}", "finish.width=320", "finish.height=256"])
    frames = [ground(96, 80), ground(96, 80)[::-1].copy()]
    context = None  # no upscaler is asked for
    made = list(sized(iter(frames), config, context))  # pyright: ignore[reportArgumentType]
    assert all(
        np.array_equal(one, fitted(frame, config.finish)) for one, frame in zip(made, frames, strict=True)
    )


def test_a_moved_clip_verifies_and_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("shot.prompt=1girl, waving, slow pan right", "control=none", "finish.camera_speed=2")
    words += ("keyframe=none", "motion.anchor=none")
    run = replay_runs.rendered(tmp_path, *words)
    assert not [one for one in examine(run).findings if one.code.split("-")[0] in ("INT", "POL", "SRC")]
    assert replay.main([str(run), "--nonce", "1", "--nodes", "99", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(part["bit_equal"] for part in told["parts"])
    reading = read_run(run)
    finish = next(node for node in reading.nodes if node.op == "finish")
    part = finish.params["finish"]
    assert isinstance(part, dict) and (part["camera"], part["camera_speed"]) == ("pan_right", 2.0)
    config = compose_video([*replay_runs.SMALL, *words])
    assert recorded(config) == reading.config
    assert "(pan right) is a digital one" in " ".join(prose.technical(config, reading, ()))
    line = command_line("video", config)
    assert line is not None and "slow pan right" in line
