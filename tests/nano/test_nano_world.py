"""The drawn world: facts that training and tests rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from pokora_anime.nano.world.caption import caption, caption_with_labels, full_caption
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.joint_picture import openpose_map
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES, words

VALUES = [(name, value) for name, values in ATTRIBUTES.items() for value in values]
BONES = ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13))


def _scene(seed: int, **fixed: str) -> Scene:
    return sample_scene(np.random.default_rng(seed), **fixed)


def _scenes(count: int) -> Iterator[Scene]:
    return (_scene(seed) for seed in range(count))


def test_same_seed_draws_identical_pixels() -> None:
    a, b = draw_frame(_scene(3), 0.7), draw_frame(_scene(3), 0.7)
    assert np.array_equal(a.rgb, b.rgb)
    assert np.array_equal(a.joints, b.joints)
    assert np.array_equal(a.depth, b.depth)


def test_pinned_attributes_hold_and_unknown_ones_are_refused() -> None:
    assert _scene(1, action="waving").action == "waving"
    with pytest.raises(ValueError, match="flying"):
        _scene(1, action="flying")


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_every_value_can_be_drawn(name: str, value: str) -> None:
    frame = draw_frame(_scene(11, **{name: value}), 0.4, size=96)
    assert frame.rgb.shape == (96, 96, 3)
    assert frame.rgb.std() > 10
    assert 0.05 < frame.character.mean() < 0.95


@pytest.mark.parametrize("action", ATTRIBUTES["action"])
def test_joints_stay_inside_a_full_body_frame(action: str) -> None:
    scene = _scene(5, action=action, shot="full body", camera="static")
    for time in np.arange(0, 3, 0.25):
        joints = draw_frame(scene, float(time), size=64).joints
        assert joints[:, 2].all()


@pytest.mark.parametrize("action", ATTRIBUTES["action"])
def test_bones_keep_their_length(action: str) -> None:
    scene = _scene(8, action=action, shot="full body", camera="static")
    frames = [draw_frame(scene, t, size=64).joints for t in np.arange(0, 2, 0.125).tolist()]
    lengths = np.array([[np.hypot(*(j[a, :2] - j[b, :2])) for a, b in BONES] for j in frames])
    # Knees bend towards the viewer, which shortens the legs a little.
    assert (lengths.min(0) > 0.85 * lengths.max(0)).all()
    assert np.allclose(lengths[:, :4], lengths[0, :4], rtol=0.02)


@pytest.mark.parametrize("action", ATTRIBUTES["action"])
def test_every_action_moves_its_joints(action: str) -> None:
    scene = _scene(9, action=action, shot="full body", camera="static")
    joints = np.stack([draw_frame(scene, i / 8, size=64).joints[:, :2] for i in range(12)])
    moved = (joints.max(0) - joints.min(0)).max() / 64
    assert moved > (0.008 if action == "standing" else 0.06)


def test_right_is_on_the_image_left() -> None:
    joints = draw_frame(_scene(2, action="standing"), 0.0).joints
    assert joints[2, 0] < joints[5, 0]
    assert joints[14, 0] < joints[15, 0]


def test_depth_is_in_range_and_the_character_is_nearest() -> None:
    for scene in _scenes(8):
        frame = draw_frame(scene, 1.0)
        assert frame.depth.min() >= 0
        assert frame.depth.max() <= 1
        assert frame.depth[frame.character].min() > frame.depth[~frame.character].max()


def test_no_jump_in_time() -> None:
    for seed in range(12):
        scene = _scene(seed)
        for time in (0.3, 1.9, 7.1):
            a, b = draw_frame(scene, time), draw_frame(scene, time + 1 / 240)
            change = np.abs(a.rgb.astype(np.float32) - b.rgb).mean()
            assert change < 3.0
            assert np.abs(a.joints[:, :2] - b.joints[:, :2]).max() < 3.0


def test_full_caption_names_every_visible_attribute() -> None:
    scene = _scene(4, expression="smile", style="pastel", camera="zoom in")
    text = full_caption(scene)
    for name in ATTRIBUTES:
        assert str(getattr(scene, name)) in text


def test_labels_are_true_and_mentioned() -> None:
    rng = np.random.default_rng(0)
    for scene in _scenes(200):
        text, labels = caption_with_labels(scene, rng)
        assert text == text.lower()
        for name, index in labels.items():
            if index >= 0:
                assert ATTRIBUTES[name][index] == getattr(scene, name)
        if labels["hair_color"] >= 0 or labels["hair_style"] >= 0:
            assert re.search(r"hair|tail|brunette", text)
        if scene.expression == "closed eyes":
            assert labels["eye_color"] == -1


def test_captions_use_known_words_save_for_random_strings() -> None:
    rng = np.random.default_rng(1)
    known = set(words())
    texts = [caption(_scene(seed), rng) for seed in range(300)]
    tokens = [word for text in texts for word in re.findall(r"[a-z0-9-]+", text)]
    unknown = [word for word in tokens if word not in known]
    assert len(unknown) < 0.03 * len(tokens)


def test_openpose_map_skips_invisible_joints() -> None:
    joints = draw_frame(_scene(6, shot="full body"), 0.0).joints
    picture = openpose_map(joints, 192)
    assert picture.shape == (192, 192, 3)
    assert picture.any()
    joints[:, 2] = 0
    assert not openpose_map(joints, 192).any()
