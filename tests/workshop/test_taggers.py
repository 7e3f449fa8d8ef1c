"""Captions by a tagger that the user names: nano's probe, and a published one from a hub on the loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from support.hub_server import Hub, reach, serving

from pokora_anime.cli.workshop import data_command
from pokora_anime.errors import ConfigError, DataError, PokoraError
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.workshop.data import data_card, data_store
from pokora_anime.workshop.data.tagging import tagger_choice, wd_tagger

SIDE = 32
TABLE = """tag_id,name,category,count
9999999,general,9,1
1,red_sky,0,1
2,green_sky,0,1
3,blue_sky,0,1
4,o_o,0,1
5,somebody,4,1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drawings, the second with a caption of its own."""
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    made, rng = tmp_path / "drawings", np.random.default_rng(3)
    made.mkdir()
    for index in range(2):
        scene = sample_scene(rng, hair_color="green", outfit="kimono", expression="smile", background="beach")
        Pictures.fromarray(draw_frame(scene, 0.0, 160).rgb).save(made / f"{index}.png")
    (made / "1.txt").write_text("as it was written")
    return made


def add(folder: Path, *words: str) -> data_store.Stored:
    told = ["--licence", "CC0-1.0", "--source", "drawn by me", "--few"]
    assert data_command.main(["add", str(folder), "--id", "mika", *told, *words]) == 0
    return data_store.find("mika")


def refused(folder: Path, *words: str) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        add(folder, *words)
    assert "\n" not in caught.value.line()
    return caught.value


def test_the_probe_writes_what_it_sees_and_nothing_into_the_users_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    stored = add(folder, "--tagger", "probe", "--leave-out", "Green_hair, kimono")
    first, second = (entry.caption for entry in stored.data.entries)
    assert second == "as it was written" and "beach" in first.split(", ")
    assert "green hair" not in first and "kimono" not in first
    assert (stored.folder / "pictures" / "0.txt").read_text().strip() == first
    assert sorted(folder.iterdir()) == before
    assert "nano's probe, tags from 0.5" in stored.card.read_text()
    card = (stored.folder / data_store.CARD_DATA).read_bytes()
    assert data_card.misfit(card, stored.card.read_bytes(), stored.data.statement) == ""
    assert "1 captions by nano's probe" in capsys.readouterr().out


def test_a_tagger_that_is_not_needed_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "0.txt").write_text("a caption")
    assert add(folder, "--tagger", "probe").data.tagger == ""
    assert "was not needed" in capsys.readouterr().out


def test_words_about_no_tagger_and_names_of_none_are_refused(folder: Path) -> None:
    assert refused(folder, "--threshold", "0.3").fix == "--tagger probe"
    assert isinstance(refused(folder, "--leave-out", "hat"), ConfigError)
    assert isinstance(refused(folder, "--tagger", "a/b/c"), DataError)
    assert refused(folder, "--tagger", "../x y").code == "DAT-TAGGER"


def test_what_is_in_nearly_every_caption_is_told() -> None:
    captions = tagger_choice.chosen("probe", None, "")
    captions.written = {"a": ["1girl", "blue hair", "beach"], "b": ["1girl", "blue hair", "city"]}
    assert captions.advice().endswith("--leave-out 'blue hair'")


def test_without_the_runtime_the_way_out_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pokora_anime[tagger]" in refused(folder, "--tagger", "wd-vit-tagger-v3").fix


def test_pictures_are_squared_on_white_as_bgr() -> None:
    rgb = np.zeros((40, 20, 3), np.uint8)
    rgb[..., 0] = 200
    given = wd_tagger.squared(rgb, 40)
    assert given.shape == (1, 40, 40, 3) and given.dtype == np.float32
    assert given[0, 20, 20].tolist() == [0, 0, 200] and given[0, 20, 0].tolist() == [255, 255, 255]
    assert wd_tagger.squared(rgb, SIDE).shape == (1, SIDE, SIDE, 3)


def published(folder: Path, tags: int = 6) -> Path:
    """A tagger in the layout of the published ones, which says how red, green and blue a picture is."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder.mkdir(parents=True)
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    # Tags 1, 2 and 3 read the channels of BGR from behind.
    chosen = np.zeros((3, tags), np.float32)
    chosen[2, 1] = chosen[1, 2] = chosen[0, 3] = 1 / 255
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "chosen"], ["output"]),
        ],
        "tagger",
        [helper.make_tensor_value_info("input", real, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("output", real, ["batch", tags])],
        [
            helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("chosen", real, chosen.shape, chosen.ravel()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (folder / wd_tagger.MODEL).write_bytes(model.SerializeToString())
    (folder / wd_tagger.TABLE).write_text(TABLE)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "memory"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(tmp_path / "hub"))
    with serving(Hub()) as served:
        reach(monkeypatch, served.url)
        yield served


def test_a_published_tagger_is_fetched_once_and_named_with_its_commit(
    folder: Path, tmp_path: Path, hub: Hub
) -> None:
    repository = hub.add("SmilingWolf/wd-vit-tagger-v3", published(tmp_path / "tagger"))
    Pictures.new("RGB", (160, 160), (20, 230, 90)).save(folder / "0.png")
    stored = add(folder, "--tagger", "wd-vit-tagger-v3")
    assert stored.data.entries[0].caption == "green sky, blue sky"
    assert stored.data.tagger == f"SmilingWolf/wd-vit-tagger-v3@{repository.commit[:12]}, tags from 0.35"
    fetched = hub.downloads(wd_tagger.MODEL)
    surer = add(folder, "--tagger", "wd-vit-tagger-v3", "--threshold", "0.5")
    assert surer.data.entries[0].caption == "green sky"
    assert hub.downloads(wd_tagger.MODEL) == fetched


def test_a_tagger_of_no_stated_licence_is_fetched_by_the_user_alone(
    folder: Path, tmp_path: Path, hub: Hub
) -> None:
    hub.add("somebody/tagger", published(tmp_path / "tagger"))
    assert "no licence" in refused(folder, "--tagger", "somebody/tagger").got
    assert hub.downloads(wd_tagger.MODEL) == []
    Pictures.new("RGB", (160, 160), (230, 20, 20)).save(folder / "0.png")
    assert add(folder, "--tagger", str(tmp_path / "tagger")).data.entries[0].caption == "red sky"


def test_a_folder_that_holds_no_tagger_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = published(tmp_path / "tagger")
    (whole / wd_tagger.TABLE).write_text("name,category\nsky,0\n" * 9)
    assert "probabilities for" in refused(folder, "--tagger", str(whole)).got
    (whole / wd_tagger.TABLE).write_text("colour,share\nred,1\n")
    assert "no table with the columns" in refused(folder, "--tagger", str(whole)).got
    (whole / wd_tagger.TABLE).write_text(TABLE)
    (whole / wd_tagger.MODEL).write_bytes(b"no model")
    assert "cannot be loaded" in refused(folder, "--tagger", str(whole)).got
    (whole / wd_tagger.MODEL).unlink()
    assert refused(folder, "--tagger", str(whole)).code == "DAT-TAGGER"
