"""Figures drawn in given poses, and the clips of all actions that are drawn so."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.nano.planned_poses import drawn_twin, nearest_action
from pokora_anime.choreography.actions import NAMES
from pokora_anime.nano.sizes import FPS, FRAMES, PICTURE
from pokora_anime.nano.train.posed_clips import Motion, draw_clip, track_of
from pokora_anime.nano.world.caption import caption_with_labels
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.posed_figure import LAG, draw_posed
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

TIME = 1.3


def _scene(seed: int, **fixed: str) -> Scene:
    return sample_scene(np.random.default_rng(seed), camera="static", style="plain", **fixed)


@pytest.mark.parametrize("shot", ["full body", "upper body"])
@pytest.mark.parametrize("action", ATTRIBUTES["action"])
def test_a_figure_in_its_own_joints_is_the_same_drawing(action: str, shot: str) -> None:
    scene = _scene(NAMES.index(action), action=action, shot=shot)
    wanted, before = (draw_frame(scene, time, PICTURE) for time in (TIME, TIME - LAG))
    found = draw_posed(scene, TIME, wanted.joints, before.joints, PICTURE)
    assert np.abs(found.joints - wanted.joints).max() < 0.01
    assert np.abs(found.rgb.astype(int) - wanted.rgb).mean() < 0.1


def test_a_posed_clip_shows_the_joints_that_were_planned() -> None:
    scene = _scene(5, action="standing")
    rgb, joints = draw_clip(scene, 0.0, np.random.default_rng(3))
    track, _ = track_of(scene, 0.0, np.random.default_rng(3))
    assert rgb.shape == (FRAMES, PICTURE, PICTURE, 3)
    assert np.abs(joints[..., :2] - track[..., :2]).max() < 1.0
    assert np.abs(np.diff(joints[..., :2], axis=0)).max() > 2.0


def test_motions_are_of_every_action_and_begin_at_ease_or_in_the_midst() -> None:
    drawn = [Motion.drawn(np.random.default_rng(seed)) for seed in range(400)]
    assert {name for motion in drawn for name in motion.names} == set(NAMES)
    begun = {float(motion.at(np.zeros(1)).begun[0]) for motion in drawn}
    assert begun == {0.0, 1.0}


def test_a_drawn_twin_does_what_its_own_track_says() -> None:
    scene = _scene(7, action="standing")
    tracks = {str(seed): track_of(scene, 0.0, np.random.default_rng(seed))[0] for seed in range(4)}
    for name, track in tracks.items():
        twin = drawn_twin(scene, track, FPS, PICTURE)
        assert nearest_action(np.stack([frame.joints for frame in twin]), tracks) == name


def test_captions_leave_out_what_they_are_told_to() -> None:
    scene = _scene(1, action="waving")
    labels = [caption_with_labels(scene, np.random.default_rng(seed), ("action",))[1] for seed in range(30)]
    assert all(found["action"] == -1 for found in labels)
    assert any(found["hair_color"] >= 0 for found in labels)
