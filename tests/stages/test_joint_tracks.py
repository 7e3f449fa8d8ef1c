"""Joints over time: smooth where a limb swings, and there where most frames see them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError
from pokora_anime.stages.control.control_maps import CONFIDENT
from pokora_anime.stages.control.joint_tracks import smoothed

FRAMES = 16
SURE = 0.9


def swinging(period: float) -> NDArray[np.float32]:
    """Joints that swing 20 pixels to each side, `period` frames a cycle, each from another phase."""
    frames, phases = np.arange(FRAMES)[:, None], np.linspace(0, 2 * np.pi, 18)[None]
    joints = np.full((FRAMES, 18, 3), SURE, np.float32)
    joints[..., 0] = 100 + 20 * np.sin(2 * np.pi * frames / period + phases)
    joints[..., 1] = 100 + 20 * np.cos(2 * np.pi * frames / period + phases)
    return joints


def off(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.sqrt(((one - other)[..., :2] ** 2).mean()))


def jerk(joints: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(joints[..., :2], n=3, axis=0)).mean())


def test_trembling_goes_and_the_swing_stays() -> None:
    truth = swinging(12)
    read = truth.copy()
    read[..., :2] += np.random.default_rng(0).normal(0, 3, (FRAMES, 18, 2))
    found = smoothed(read, 7)
    assert off(found, truth) < 0.75 * off(read, truth)
    assert jerk(found) < 0.5 * jerk(read)
    assert np.ptp(smoothed(truth, 7)[..., 0]) > 0.9 * np.ptp(truth[..., 0])


def test_what_moves_evenly_stays_as_it_is() -> None:
    joints = np.full((FRAMES, 18, 3), SURE, np.float32)
    joints[..., 0] = 3 * np.arange(FRAMES)[:, None]
    joints[..., 1] = 5 + 0.1 * np.arange(FRAMES)[:, None] ** 2
    assert np.allclose(smoothed(joints, 7), joints, atol=1e-4)


def test_a_joint_that_is_missed_for_a_moment_is_there_between_its_neighbours() -> None:
    joints = swinging(32)
    read = joints.copy()
    read[7, 4] = (0, 0, 0.1)
    found = smoothed(read, 7)
    assert found[7, 4, 2] == pytest.approx(CONFIDENT) and found[6, 4, 2] == pytest.approx(SURE)
    assert np.abs(found[7, 4, :2] - joints[7, 4, :2]).max() < 2


def test_a_joint_that_flashes_up_once_is_gone_and_one_that_nobody_sees_stays_away() -> None:
    read = swinging(32)
    read[:, 4:6, 2] = 0.1
    read[7, 4, 2] = SURE
    found = smoothed(read, 7)
    assert not found[:, 4:6, 2].any() and (found[:, 6:, 2] >= CONFIDENT).all()
    assert np.isfinite(found).all()


def test_a_joint_that_comes_in_the_middle_comes_then() -> None:
    read = swinging(32)
    read[:8, 4, 2] = 0.1
    seen = smoothed(read, 7)[:, 4, 2] >= CONFIDENT
    assert seen.tolist() == [False] * 8 + [True] * 8


@pytest.mark.parametrize(("frames", "window"), [(16, 0), (4, 7), (1, 7)])
def test_too_few_frames_stay_as_they_were_read(frames: int, window: int) -> None:
    read = swinging(5)[:frames]
    assert np.array_equal(smoothed(read, window), read)


def test_a_segment_shorter_than_the_window_takes_what_fits() -> None:
    read = swinging(5)[:6]
    assert np.array_equal(smoothed(read, 31), smoothed(read, 5)) and off(smoothed(read, 5), read) > 1


@pytest.mark.parametrize("window", [-1, 1, 3, 6, 33])
def test_a_window_is_an_odd_number_of_frames(window: int) -> None:
    with pytest.raises(ConfigError, match=r"control\.draft_smooth"):
        compose("video", ["control=pose", "control.source=draft", f"control.draft_smooth={window}"])
