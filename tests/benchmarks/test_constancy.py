"""Colour constancy of a clip, on drawn clips, which keep their colours, and on clips with a known fault."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.nano import nano_prompts
from benchmarks.nano.constancy import REGIONS, constancy
from pokora_anime.nano.world.draw import Frame, draw_frame

Clip = NDArray[np.uint8]


@cache
def drawn(index: int) -> tuple[Frame, ...]:
    scene = replace(nano_prompts.asked(index, 33, camera="static").scene, expression="smile")
    return tuple(draw_frame(scene, k / 4, 192) for k in range(12))


def clip_of(index: int) -> tuple[Clip, NDArray[np.float32]]:
    frames = drawn(index)
    return np.stack([frame.rgb for frame in frames]), np.stack([frame.joints for frame in frames])


def tinted(clip: Clip, joints: NDArray[np.float32], region: str, frames: range) -> Clip:
    """The clip with a region of some frames in another hue."""
    faulty = clip.copy()
    for k in frames:
        mask = cv2.dilate(REGIONS[region](joints[k], clip.shape[1:3]).astype(np.uint8), np.ones((5, 5))) > 0
        turned = faulty[k][mask][:, ::-1] + np.array([60, -60, 60])
        faulty[k][mask] = np.clip(turned, 0, 255).astype(np.uint8)
    return faulty


@pytest.mark.parametrize("index", range(3))
def test_drawn_clips_keep_their_colours(index: int) -> None:
    clip, joints = clip_of(index)
    assert min(value for value in constancy(clip, joints).values() if value is not None) >= 0.9


@pytest.mark.parametrize("region", list(REGIONS))
def test_a_region_that_turns_another_colour_is_told(region: str) -> None:
    clip, joints = clip_of(0)
    honest = constancy(clip, joints)
    found = constancy(tinted(clip, joints, region, range(8, 12)), joints)
    assert found[region] == pytest.approx(8 / 12, abs=0.1)
    others = [name for name in REGIONS if name != region]
    assert [found[name] for name in others] == [honest[name] for name in others]


def test_where_nobody_is_seen_nothing_is_said() -> None:
    clip, joints = clip_of(0)
    assert set(constancy(clip, np.zeros_like(joints)).values()) == {None}
