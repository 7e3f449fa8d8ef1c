"""The attribute probe: what it is told, what it keeps and what it learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pokora_anime.nano import family
from pokora_anime.nano.probe import (
    CLOSED_EYES,
    STILL,
    UNKNOWN,
    AttributeProbe,
    Seen,
    accuracy,
    labels_of,
)
from pokora_anime.nano.recipe import Training, make_recipe
from pokora_anime.nano.train import drawn_data
from pokora_anime.nano.train.members import probe_pictures
from pokora_anime.nano.train.members.train_probe import still_loss, train_probe
from pokora_anime.nano.train.training_loop import Place
from pokora_anime.nano.world.character.face import blink
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

SHIPPED = Path(family.__file__).parent / "weights" / "probe"


def scene(**fixed: str) -> Scene:
    return sample_scene(np.random.default_rng(3), **fixed)


def open_eyed(one: Scene) -> float:
    return next(t for t in np.arange(0.0, 4.0, 0.1) if blink(one, t) == 0.0)


def pictures(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.stack([draw_frame(sample_scene(rng), 0.0, 128).rgb for _ in range(count)])


def test_labels_name_what_is_drawn() -> None:
    one = scene(expression="smile", hair_color="pink", style="pastel")
    labels = labels_of([one], [open_eyed(one)])
    assert set(labels) == set(ATTRIBUTES) - {"action", "camera"}
    assert ATTRIBUTES["hair_color"][labels["hair_color"][0]] == "pink"
    assert ATTRIBUTES["style"][labels["style"][0]] == "pastel"
    assert ATTRIBUTES["eye_color"][labels["eye_color"][0]] == one.eye_color


def test_lids_hide_the_eyes_and_a_blink_the_expression() -> None:
    closed, smiling = scene(expression="closed eyes"), scene(expression="smile")
    moment = next(t for t in np.arange(0.0, 4.0, 0.01) if blink(smiling, t) > 0.9)
    labels = labels_of([closed, smiling], [open_eyed(closed), moment])
    assert labels["eye_color"].tolist() == [UNKNOWN, UNKNOWN]
    assert labels["expression"].tolist() == [CLOSED_EYES, UNKNOWN]


def test_accuracy_leaves_out_what_is_not_known() -> None:
    found = {"eye_color": np.array([1, 2, 3]), "outfit": np.array([0, 0, 0])}
    wanted = {"eye_color": np.array([1, UNKNOWN, 2]), "outfit": np.array([UNKNOWN] * 3)}
    result = accuracy(found, wanted)
    assert result["eye_color"] == 0.5
    assert np.isnan(result["outfit"])


def test_a_judgement_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    probe, rgb = AttributeProbe().eval(), pictures(3)
    together, alone = probe.judge(rgb), probe.judge(rgb[1:2])
    for name in STILL:
        np.testing.assert_allclose(together.shares[name][1], alone.shares[name][0], atol=1e-5)
        assert together.shares[name].shape == (3, len(ATTRIBUTES[name]))
    np.testing.assert_allclose(together.tracks[1], alone.tracks[0], atol=1e-5)


def test_larger_pictures_are_judged_as_their_small_selves() -> None:
    torch.manual_seed(0)
    probe, rgb = AttributeProbe().eval(), pictures(1)
    large = rgb.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(probe.judge(large).tracks, probe.judge(rgb).tracks, atol=1e-5)


def test_a_saved_probe_is_small_and_judges_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    probe, rgb = AttributeProbe().eval(), pictures(2)
    probe.save_pretrained(tmp_path)
    again = AttributeProbe.from_pretrained(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_500_000
    for name in STILL:
        np.testing.assert_allclose(again.judge(rgb).shares[name], probe.judge(rgb).shares[name], atol=0.01)
    tracks = np.random.default_rng(0).random((2, 16, 18, 3), np.float32)
    np.testing.assert_allclose(again.judge_actions(tracks), probe.judge_actions(tracks), atol=0.01)


def test_an_action_does_not_depend_on_where_the_character_stands() -> None:
    torch.manual_seed(0)
    tracks = np.random.default_rng(0).random((1, 16, 18, 3), np.float32)
    moved = tracks + np.array([0.2, -0.1, 0.0], np.float32)
    probe = AttributeProbe().eval()
    np.testing.assert_allclose(probe.judge_actions(moved), probe.judge_actions(tracks), atol=1e-5)


def test_joints_move_with_the_picture() -> None:
    count = 12
    rng = np.random.default_rng(0)
    joints = np.zeros((count, 18, 3), np.float32)
    joints[:, 4] = [0.4, 0.55, 1.0]  # the right wrist
    joints[:, 7] = [0.7, 0.55, 0.0]
    rgb = torch.zeros(count, 3, 128, 128)
    rgb[:, :, 69:72, 50:53] = 1.0
    moved, turned = probe_pictures.moved(rgb, joints, rng)
    mirrored = 0
    for picture, points in zip(moved, turned, strict=True):
        wrist = 4 if points[4, 2] else 7  # in a mirror the right one becomes the left one
        mirrored += wrist == 7
        y, x = np.unravel_index(int(picture[0].argmax()), (128, 128))
        np.testing.assert_allclose(points[wrist, :2] * 128, (x + 0.5, y + 0.5), atol=2.0)
    assert 0 < mirrored < count


def seen(attention_at: tuple[int, int]) -> Seen:
    attention = torch.full((1, len(STILL), 2, 16, 16), 1e-6)
    attention[..., attention_at[0], attention_at[1]] = 1.0
    logits = {name: torch.zeros(1, len(ATTRIBUTES[name])) for name in STILL}
    return Seen(logits, torch.full((1, 18, 2), 0.5), torch.zeros(1, 18), attention)


def test_the_loss_draws_attention_to_the_eyes() -> None:
    labels = torch.zeros(1, len(STILL), dtype=torch.long)
    joints = torch.full((1, 18, 3), 0.5)
    joints[..., 2] = 1.0
    joints[:, 14:16, :2] = torch.tensor([[0.47, 0.28], [0.59, 0.28]])
    on, off = still_loss(seen((4, 7)), labels, joints), still_loss(seen((12, 2)), labels, joints)
    assert on < off - 0.5
    labels[:, STILL.index("eye_color")] = UNKNOWN
    assert still_loss(seen((4, 7)), labels, joints) == still_loss(seen((12, 2)), labels, joints)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A probe after two steps on a handful of drawings and an untrained autoencoder."""
    place = Place(tmp_path_factory.mktemp("probe"), previews=False)
    drawn_data.render(place.work, make_recipe("small").data, 0, 1)
    family.make_vae().save_pretrained(place.family / "vae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_pictures, "DECODED", 8)
        patch.setattr(probe_pictures, "DECODED_CLIPS", 1)
        train_probe(Training(steps=2, batch=4, rate=1e-3, warmup=1), place)
    return place


def test_training_writes_the_probe_and_its_scores(trained: Place) -> None:
    record = json.loads((trained.family / "probe" / "training.json").read_text())
    assert record["training"]["steps"] == 2
    assert {"hair_color", "hair_color_decoded", "action"} <= set(record["scores"])
    AttributeProbe.from_pretrained(trained.family / "probe").judge(pictures(1))


def test_training_does_nothing_new_once_it_is_done(trained: Place) -> None:
    before = AttributeProbe.from_pretrained(trained.family / "probe").state_dict()
    train_probe(Training(steps=2, batch=4, rate=1e-3, warmup=1), trained)
    after = AttributeProbe.from_pretrained(trained.family / "probe").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_shipped_probe_knows_new_drawings_and_is_no_guesser() -> None:
    probe = AttributeProbe.from_pretrained(SHIPPED)
    rng = np.random.default_rng(77)
    scenes = [sample_scene(rng) for _ in range(60)]
    rgb = np.stack([draw_frame(one, open_eyed(one), 256).rgb for one in scenes])
    labels = labels_of(scenes, [open_eyed(one) for one in scenes])
    found = probe.judge(rgb).values()
    assert min(accuracy(found, labels).values()) >= 0.95
    shuffled = labels_of(scenes[1:] + scenes[:1], [open_eyed(one) for one in scenes[1:] + scenes[:1]])
    assert accuracy(found, shuffled)["hair_color"] < 0.3


@pytest.mark.parametrize("action", ATTRIBUTES["action"])
def test_the_shipped_probe_knows_actions(action: str) -> None:
    probe = AttributeProbe.from_pretrained(SHIPPED)
    one = replace(scene(action=action, shot="full body", camera="static"), phase=0.0)
    clip = np.stack([draw_frame(one, k / 8, 256).rgb for k in range(16)])
    tracks = probe.judge(clip).tracks
    assert ATTRIBUTES["action"][int(probe.judge_actions(tracks[None]).argmax())] == action
