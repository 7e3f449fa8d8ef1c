"""`pokora style`, `pokora negative` and versions of LoRAs: what is kept, shared, searched and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from safetensors.numpy import load_file, save_file
from support import replay_runs

from pokora_anime.catalogue import own_rows, own_weights, registry
from pokora_anime.catalogue.lora import lora_shapes
from pokora_anime.catalogue.own_loras import blend_pins, lora_versions
from pokora_anime.cli.weights import models
from pokora_anime.cli.workshop import negative_command, style_command
from pokora_anime.config import gate
from pokora_anime.config.compose import compose, compose_video
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.history.typed_words_again import leaves, retyped
from pokora_anime.jobs import sweep_jobs
from pokora_anime.rules import contest_limits
from pokora_anime.schema import own_styles
from pokora_anime.schema.config_groups import options
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import Family
from pokora_anime.submission.documents import command_line
from pokora_anime.workshop.blending import negative_words, weight_search
from pokora_anime.workshop.blending.paired_noise import paired

NAMES = ("pastel=0.7", "flat_color=0.3")


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def style(*words: str) -> int:
    return style_command.main(list(words))


@pytest.fixture
def dusk(own_data: Path) -> own_styles.Blend:
    style("blend", *NAMES, "--name", "dusk", "--no-preview")
    return own_styles.find("dusk")


def refused(call: Callable[[], object]) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        call()
    assert "\n" not in caught.value.line()
    return caught.value


def test_a_blend_is_an_option_whose_loras_a_config_holds(dusk: own_styles.Blend) -> None:
    config = compose_video(["style=dusk"])
    assert [(one.id, one.weight) for one in config.style.loras] == [("pastel", 0.7), ("flat_color", 0.3)]
    assert config.shot.prefix == compose_video(["style=none"]).shot.prefix
    words = retyped("video", leaves(to_plain(config))).words
    assert "style=dusk" in words and not [word for word in words if word.startswith("style.loras")]


def test_a_judge_without_the_option_reads_and_types_the_same(dusk: own_styles.Blend) -> None:
    plain = to_plain(compose_video(["style=dusk"]))
    line = command_line.command_line("video", compose_video(["style=dusk"]))
    assert line is not None and "dusk" not in line and "{id:pastel,weight:0.7}" in line
    style("remove", "dusk")
    assert "dusk" not in options("style")
    assert not [one for one in gate.examine_recorded("video", plain) if one.code.startswith("GATE")]
    assert (
        to_plain(compose_video(["style.loras=[{id:pastel,weight:0.7},{id:flat_color,weight:0.3}]"])) == plain
    )


def test_a_sweep_takes_it_beside_shipped_ones(dusk: own_styles.Blend) -> None:
    page = sweep_jobs.page("video", ["style=dusk,pastel"], "job", multirun=True)
    assert "weight: 0.3" in page and "pastelAnimeXL:0.8" in page


def test_a_shared_file_finds_its_loras_by_hash(dusk: own_styles.Blend, tmp_path: Path) -> None:
    style("export", "dusk", "passed.json")
    style("import", "passed.json", "--name", "dawn")
    assert own_styles.find("dawn").parts == dusk.parts
    table = json.loads((tmp_path / "passed.json").read_text())
    table["name"], table["loras"][0]["id"] = "their-own", "theirs"
    (tmp_path / "passed.json").write_text(json.dumps(table))
    style("import", "passed.json")
    assert own_styles.find("their-own").parts[0].id == "pastel"
    table["name"], table["loras"][0]["sha256"] = "other", "0" * 64
    (tmp_path / "passed.json").write_text(json.dumps(table))
    assert refused(lambda: style("import", "passed.json")).code == "CFG-STYLE"
    assert own_styles.names() == ("dawn", "dusk", "their-own")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"name": "../up"},
        {"name": "pastel"},
        {"defaults": ["/evil"]},
        {"_target_": "os.system"},
        {"base": "flux"},
        {"loras": []},
        {"loras": [{"id": "pastel", "weight": 1, "sha256": "0" * 64}] * 4},
        {"loras": [{"id": "${oc.env:HOME}", "weight": 1, "sha256": "0" * 64}]},
        {"loras": [{"id": "pastel", "weight": -1, "sha256": "0" * 64}]},
        {"loras": [{"id": "pastel", "weight": True, "sha256": "0" * 64}]},
        {"loras": [{"id": "pastel", "weight": 1, "sha256": "x"}]},
        {"loras": [{"id": "pastel", "weight": 1, "sha256": "0" * 64, "title": "a\nb"}]},
        {"scores": {"a": "b"}},
        {"contest": "../x"},
    ],
)
def test_a_hostile_file_is_one_line_and_no_option(
    change: dict[str, Any], dusk: own_styles.Blend, tmp_path: Path
) -> None:
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps({**dusk.to_plain(), "name": "hostile", **change}))
    assert refused(lambda: style("import", str(file))).code == "CFG-STYLE"
    assert own_styles.names() == ("dusk",)


@pytest.mark.parametrize("data", [b"", b"{" * 99, b"\xff", b'{"a":1,"a":2}', b"x" * 99_999, b"[1e999]"])
def test_bytes_that_are_no_style(data: bytes, tmp_path: Path, own_data: Path) -> None:
    (tmp_path / "bad.json").write_bytes(data)
    assert refused(lambda: style("import", "bad.json")).code == "CFG-STYLE"
    own_styles.folder().mkdir(parents=True)
    own_styles.path_of("bad").write_bytes(data)  # one that lies there bars nobody else
    assert compose("video", ["style=pastel"])
    assert refused(lambda: compose("video", ["style=bad"])).code == "CFG-STYLE"
    style("list")
    style("remove", "bad")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no style to blend"),
        (["pastel"], "NAME=WEIGHT"),
        (["pastel=0.25"] * 4, "at most 3"),
        (["pastel=-1", "flat_color=2"], "above 0"),
        (["pastel=nan"], "a number"),
        (["pastel=inf"], "a number"),
        (["pastel=0", "flat_color=0"], "above 0"),
        (["pastel=0.7", "flat_color=0.2"], "--normalize"),
        (["pastell=0.7", "flat_color=0.3"], "did you mean pastel?"),
        (["pastel=0.7", "pastelAnimeXL=0.3"], "twice"),
        (["none=1"], "no LoRA"),
        (["pastel=0.5", "flat_color=0.5"], "--contest showcase"),
        (["../x=1"], "no style"),
        (["mika@2=1"], "no version of mika"),
    ],
)
def test_weights_that_will_not_do(words: list[str], said: str) -> None:
    assert said in refused(lambda: style("blend", *words, "--name", "x", "--no-preview")).line()
    assert not own_styles.names()


@pytest.mark.parametrize("name", ["pastel", "../up", "A", "null", "for_nano", "x" * 40, "a b", ""])
def test_names_that_will_not_do(name: str) -> None:
    assert refused(lambda: style("blend", *NAMES, "--name", name, "--no-preview")).code == "CFG-STYLE"


def test_a_name_that_is_taken_is_replaced_on_request(dusk: own_styles.Blend) -> None:
    again = ("blend", "pastel=3", "flat_color=1", "--normalize", "--name", "dusk", "--no-preview")
    assert "--replace" in refused(lambda: style(*again)).fix
    style(*again, "--replace")
    assert own_styles.find("dusk").said == "pastel=0.75 flat_color=0.25"
    assert [one.weight for one in compose_video(["style=dusk"]).style.loras] == [0.75, 0.25]
    style("blend", "dusk=1", "--name", "of_dusk", "--no-preview")
    assert own_styles.find("of_dusk").said == "pastel=0.75 flat_color=0.25"


@pytest.mark.parametrize("action", ["show", "export", "remove"])
def test_an_unknown_style_has_the_nearest_named(action: str, dusk: own_styles.Blend) -> None:
    assert refused(lambda: style(action, "dust")).fix == "did you mean dusk?"


def lora(folder: Path, seed: int) -> Path:
    """A LoRA of one layer of nano's UNet."""
    module = lora_shapes.network(Family.nano, "unet")
    assert module is not None
    layer = next(name for name, _ in module.named_modules() if name.endswith("attn1.to_q"))
    outputs, inputs = module.get_submodule(layer).get_parameter("weight").shape
    rng = np.random.default_rng(seed)
    down, up = rng.standard_normal((4, inputs), "f4"), rng.standard_normal((outputs, 4), "f4")
    file = folder / f"{seed}.safetensors"
    save_file({f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}, file)
    return file


def trained(file: Path, slot: str = "", *, replace: bool = True) -> None:
    """As a training registers it."""
    taken = {name: row.id for row in registry.shipped() for name in row.names}
    told = json.dumps({"scores": {"moved": 4.5, "seen": {"together": [0.9, 0.1]}}}).encode()
    new = own_weights.NewLora(
        id="mika",
        file=file,
        family=Family.nano,
        slot=slot,
        licence="CC0-1.0",
        data_statement="24 drawings by the nano world, CC0",
        data_set="mika@0123456789ab",
        cards={own_rows.STYLE: told},
    )
    own_weights.add(new, taken, replace=replace)


def test_every_training_is_a_version_and_an_alias_names_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2, 2):  # the same file again is no new version
        trained(lora(tmp_path, seed), "character")
    assert list(lora_versions.versions("mika")) == [1, 2]
    models.main(["alias", "mika", "best", "1"])
    models.main(["versions", "mika"])
    told = capsys.readouterr().out
    assert "best" in told and "newest" in told and "moved 4.5" in told
    config = compose_video(["shot.prompt=1girl, <lora:mika@best:0.7>"])
    assert config.shot.prompt == "1girl, <lora:mika-v1:0.7>"  # what the alias stood for is recorded
    assert not config.base.fill_open
    listed = compose_video(["style.loras=[{id:mika@2,weight:0.7}]"]).style.loras
    assert [one.id for one in listed] == ["mika-v2"]
    first, second = (blend_pins.digest_of(row) for row in lora_versions.versions("mika").values())
    assert first != second
    newest = registry.find_style("mika", Family.nano)  # old names keep working
    assert newest is not None and newest.id == "mika" and blend_pins.digest_of(newest) == second
    slot = registry.find_style("character", Family.nano)
    assert slot is not None and slot.id == "mika"


def test_a_blend_names_a_version_by_its_hash(tmp_path: Path) -> None:
    trained(lora(tmp_path, 1))
    style("blend", "mika=0.3", "pastel=0.7", "--name", "hers", "--no-preview")
    style("blend", "mika@1=0.3", "pastel=0.7", "--name", "first", "--no-preview")
    trained(lora(tmp_path, 2))
    assert "hers was blended from mika" in refused(lambda: compose("video", ["style=hers"])).got
    assert compose_video(["style=first"]).style.loras[0].id == "mika-v1"


@pytest.mark.parametrize(
    "words",
    [
        ("alias", "mika", "best", "9"),
        ("alias", "mika", "2", "1"),
        ("alias", "mika", "../x", "1"),
        ("alias", "nobody", "best", "1"),
        ("versions", "nobody"),
        ("compare", "mika@bset", "mika"),
        ("compare", "nano", "mika"),
        ("compare", "gone.safetensors", "mika"),
    ],
)
def test_versions_that_are_none(words: tuple[str, ...], tmp_path: Path) -> None:
    trained(lora(tmp_path, 1))
    models.main(["alias", "mika", "best", "1"])
    assert refused(lambda: models.main(list(words))).code in ("CFG-ALIAS", "CFG-WEIGHTS", "CFG-FILE")


def test_two_loras_are_compared_by_what_they_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(lora(tmp_path, 1))
    tensors = load_file(lora(tmp_path, 1))
    twice = {key: value * (2 if "lora_B" in key else 1) for key, value in tensors.items()}
    save_file(twice, tmp_path / "twice.safetensors")
    models.main(["compare", "mika", str(tmp_path / "twice.safetensors"), "--json"])
    found = json.loads(capsys.readouterr().out)
    down, up = sorted(tensors.values(), key=lambda array: array.shape[0])
    full = np.linalg.norm(up.astype("f8") @ down.astype("f8"))
    assert found["cosine"] == pytest.approx(1) and found["norm"] == pytest.approx([full, 2 * full])
    assert found["ranks"] == [[4], [4]] and found["scores"]["moved"] == [4.5, None]
    models.main(["compare", "mika", str(lora(tmp_path, 2)), "--json"])
    assert abs(json.loads(capsys.readouterr().out)["cosine"]) < 0.2


def test_a_blend_is_searched_within_the_contests_bounds() -> None:
    rows = [registry.resolve(role, Family.nano) for role in ("pastel", "flat_color")]
    found = weight_search.feasible(rows, contest_limits.load("cs492c"), 5)
    assert len(found) == 5 and all(0.7 <= one <= 0.85 and one + two == pytest.approx(1) for one, two in found)
    assert not weight_search.feasible(rows[:1], contest_limits.load("cs492c"), 5)
    three = weight_search.feasible([*rows, rows[0]], contest_limits.load("showcase"), 4)
    assert len(three) == 4 and all(sum(point) == pytest.approx(1) for point in three)


def test_noise_is_no_gain() -> None:
    assert paired([0.5, 0.6, 0.7], [0.6, 0.7, 0.8]).better
    assert not paired([0.5, 0.6, 0.7], [0.9, 0.4, 0.8]).better
    assert not paired([0.5, 0.5], [0.5001, 0.5001]).better


def test_what_to_leave_out_follows_from_the_prompt_and_the_speed(tmp_path: Path) -> None:
    found = negative_words.suggest("1girl, blurry lights, closed eyes", [], tmp_path)
    assert set(found.left_out) == {"blurry", "closed eyes"} and "watermark" in found.words
    assert found.read and any("keyframe alone" in note for note in found.notes)
    assert any("nano does not know" in note and "watermark" in note for note in found.notes)
    sdxl = negative_words.suggest("1girl", ["base=sdxl", "speed=lightning"], tmp_path)
    assert not sdxl.read and "speed=hq" in sdxl.notes[0] and sdxl.words["bad hands"] == negative_words.BASE
    assert negative_words.suggest("1girl", ["base=sdxl", "speed=hq"], tmp_path).notes == ()


def test_what_a_scorecard_misses_goes_into_the_negative_prompt(tmp_path: Path) -> None:
    folder = tmp_path / "outputs/video/run"
    shutil.copytree(replay_runs.honest(), folder)
    card = json.loads((folder / "reports/scorecard.json").read_text())
    card["generated"]["verdicts"]["flicker"] = "bad"
    (folder / "reports/scorecard.json").write_text(json.dumps(card))
    found = negative_words.suggest("1girl", [], tmp_path / "outputs")
    assert found.words["flickering"] == "measured: flicker bad in 1 of 1 runs"


@pytest.mark.parametrize(
    "words",
    [
        ("suggest", ""),
        ("suggest", "1girl", "beach"),
        ("suggest", "1girl", "shot.negative=x"),
        ("suggest", "1girl", "base=nno"),
        ("tune", "1girl", "base=sdxl", "speed=lightning"),
        ("tune", "1girl", "--trials", "0"),
    ],
)
def test_what_is_no_question_about_negatives(words: tuple[str, ...]) -> None:
    assert refused(lambda: negative_command.main(list(words))).exit_code == 2


TINY = ("base.width=64", "base.height=64", "speed.steps=2", "device.threads=1")


@pytest.mark.apart
def test_a_preview_and_a_search_draw_real_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*TINY, "shot.prompt=1girl, red eyes")
    style("blend", *NAMES, "--name", "dusk", *words)
    sheet = Pictures.open(own_styles.path_of("dusk").with_suffix(".webp"))
    pictures = np.asarray(sheet.convert("RGB"), np.float32)
    assert np.abs(pictures[4:68, 4:68] - pictures[4:68, 72:136]).mean() > 2  # with it and without
    status = style("tune", *NAMES, "--name", "night", "--trials", "2", "--seeds", "2", *words)
    assert status == (0 if "night" in own_styles.names() else 1)
    status = negative_command.main(["tune", "1girl, red eyes", *TINY, "--trials", "2", "--seeds", "2"])
    told = capsys.readouterr().out
    assert ("shot.negative=" in told) == (status == 0)
    assert ("nothing is better" in told) or Path(told.split("sheet: ")[1].split("\n")[0]).is_file()


def test_the_same_blend_names_its_config_error(dusk: own_styles.Blend) -> None:
    with pytest.raises(ConfigError, match="did you mean style=dusk"):
        compose("video", ["style=dsk"])
