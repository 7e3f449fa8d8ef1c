"""`pokora models add`: a user's own LoRA, with its base, licence and free-data statement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from safetensors.numpy import load_file, save_file

from pokora_anime.catalogue import (
    citations,
    needed_weights,
    own_weights,
    registry,
    weight_hashes,
    weight_paths,
    weights_advice,
)
from pokora_anime.catalogue.hub import leftovers
from pokora_anime.catalogue.lora.lora_merge import Lora, merge_into_unet
from pokora_anime.cli.weights import models as command
from pokora_anime.config import gate
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, PokoraError, WeightsError
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.rules import checkpoint_facts
from pokora_anime.schema.settings import Family

NANO = Path(own_weights.__file__).parent.parent / "nano/weights"
DATA = "40 drawings of my own, released as CC0"


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "data"


def lora(folder: Path, width: int = 2048, name: str = "hero.safetensors", style: str = "kohya") -> Path:
    """A LoRA of one cross-attention layer that reads text of `width` channels."""
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    keys = {
        "kohya": (f"lora_unet_{layer.replace('.', '_')}.lora_down.weight", ".lora_down.", ".lora_up."),
        "diffusers": (f"unet.{layer}.lora.down.weight", ".lora.down.", ".lora.up."),
        "peft": (f"unet.{layer}.lora_A.weight", ".lora_A.", ".lora_B."),
    }
    key, down, up = keys[style]
    file = folder / name
    save_file({key: np.ones((4, width), "f4"), key.replace(down, up): np.ones((640, 4), "f4")}, file)
    return file


def add(file: Path, **change: str) -> int:
    words = {
        "id": "my-hero",
        "base": "sdxl",
        "slot": "character",
        "licence": "CC-BY-4.0",
        "data": DATA,
    } | change
    options = [part for name, value in words.items() if value for part in (f"--{name}", value)]
    return command.main(["add", str(file), *options])


def refused(file: Path, **change: str) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        add(file, **change)
    assert "\n" not in caught.value.line()
    return caught.value


def test_an_own_lora_fills_its_slot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(lora(tmp_path))
    assert "<lora:my-hero:0.7>" in capsys.readouterr().out
    row = registry.find_style("character", Family.sdxl)
    assert row is not None
    assert (row.id, row.own, row.unpinned) == ("my-hero", True, False)
    folder = weight_paths.locate(row)
    assert folder is not None
    assert weight_hashes.verify(row, folder) == row.sha256


def test_a_prompt_names_it_and_a_composition_needs_it(tmp_path: Path) -> None:
    add(lora(tmp_path), slot="")
    config = compose("video", ["base=sdxl", "style=none", "shot.prompt=1girl, <lora:my-hero:0.7>"])
    assert "my-hero" in [row.id for row in needed_weights.needs(config)]
    rows, notes = needed_weights.style_rows([needed_weights.LoraConfig(id="my-hero")], Family.sd2)
    assert (rows, len(notes)) == ([], 1)  # registered for another base


def test_the_rules_read_base_licence_and_statement(tmp_path: Path) -> None:
    add(lora(tmp_path))
    found = checkpoint_facts.facts("my-hero")
    assert (found.own, found.status, found.licence) == (True, "review", "CC-BY-4.0")
    assert (found.families, found.role, found.data_statement) == (("sdxl",), "character", DATA)
    assert found.pinned
    assert found.locked


def test_it_is_cited_with_its_author_and_data(tmp_path: Path) -> None:
    add(lora(tmp_path), author="Aiko & Ben", title="My {hero}")
    text = citations.bibtex([registry.any_row("my-hero")])
    assert "author = {{Aiko \\& Ben}}" in text
    assert "title = {My hero}" in text
    assert DATA in text


@pytest.mark.parametrize("style", ["kohya", "diffusers", "peft"])
def test_a_lora_of_another_base_is_refused_by_name(tmp_path: Path, style: str) -> None:
    error = refused(lora(tmp_path, 1024, style=style))
    assert (error.code, error.got, error.fix) == ("WGT-FIT", "my-hero was trained for sd2", "--base sd2")
    assert "SD 1.5" in refused(lora(tmp_path, 768, style=style)).got
    assert not own_weights.rows()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"licence": "CC-BY-NC-4.0"}, "WGT-BLOCKED"),
        ({"licence": "mine"}, "CFG-OWN"),
        ({"licence": "LicenseRef-unknown"}, "CFG-OWN"),
        ({"data": "free"}, "CFG-OWN"),
        ({"id": "pastel"}, "CFG-OWN"),
        ({"id": "../up"}, "CFG-OWN"),
        ({"base": "sd15"}, "CFG-SYNTAX"),
        ({"slot": "weapon"}, "CFG-SYNTAX"),
    ],
)
def test_words_that_will_not_do_are_refused(tmp_path: Path, change: dict[str, str], code: str) -> None:
    assert refused(lora(tmp_path), **change).code == code
    assert not own_weights.rows()


def test_an_own_motion_lora_is_used_as_a_camera_move(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
    for block, width in enumerate((64, 128, 128)):
        layer = (
            f"down_blocks.{block}.motion_modules.0.temporal_transformer.transformer_blocks.0"
            ".attention_blocks.0.processor.to_q_lora"
        )
        tensors[f"{layer}.down.weight"] = np.ones((4, width), "f4")
        tensors[f"{layer}.up.weight"] = np.ones((width, 4), "f4")
    save_file(tensors, tmp_path / "pan.safetensors")
    add(tmp_path / "pan.safetensors", id="my-pan", base="nano", slot="")
    assert "motion.lora=own:my-pan" in capsys.readouterr().out
    config = compose("video", ["base=nano", "motion.lora=own:my-pan"])
    assert not [one.line() for one in gate.examine(config) if one.code.startswith("GATE-")]
    row = needed_weights.motion_lora_row(config.motion, config.base)
    assert row is not None
    assert (row.id, row.kind, row.own) == ("my-pan", registry.Kind.motion_lora, True)
    folder = weight_paths.locate(row)
    assert folder is not None
    unet = build_motion_unet(
        UNet2DConditionModel.from_pretrained(NANO / "unet"),
        MotionAdapter.from_pretrained(NANO / "motion_adapter"),
    )
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    merge_into_unet(unet, [Lora(row=row, folder=folder, weight=0.01)])
    changed = {n: v - before[n] for n, v in unet.state_dict().items() if not torch.equal(v, before[n])}
    layers = [f"down_blocks.{n}.motion_modules.0.transformer_blocks.0.attn1.to_q.weight" for n in range(3)]
    assert sorted(changed) == layers
    for change in changed.values():
        torch.testing.assert_close(change, torch.full_like(change, 0.04), atol=1e-6, rtol=0)
    assert refused(tmp_path / "pan.safetensors", id="other", base="nano").code == "CFG-OWN"  # no slot
    found = gate.examine(compose("video", ["base=nano", "shot.prompt=1girl <lora:my-pan:0.7>"]))
    named = {one.code: one.fix for one in found}
    assert named["GATE-KIND"] == "take out my-pan, and type motion.lora=own:my-pan"
    found = gate.examine(compose("video", ["base=nano", "motion.lora=pastel"]))
    assert "<lora:nano-pastel:0.8> in shot.prompt" in {one.code: one.fix for one in found}["GATE-KIND"]


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    file = lora(tmp_path)
    tensors = load_file(file)
    tensors[next(iter(tensors))][0, 0] = np.nan
    save_file(tensors, file)
    error = refused(file)
    assert (error.code, "NaN" in error.got, bool(error.fix)) == ("WGT-FIT", True, True)
    assert not own_weights.rows()


def test_what_is_no_lora_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.safetensors").code == "WGT-MISSING"
    (tmp_path / "text.safetensors").write_text("hello")
    assert refused(tmp_path / "text.safetensors").code == "WGT-DAMAGED"
    save_file({"some.weight": np.ones(2, "f4")}, tmp_path / "network.safetensors")
    assert refused(tmp_path / "network.safetensors").code == "WGT-FIT"


def test_a_slot_holds_one_until_it_is_replaced(tmp_path: Path, own_data: Path) -> None:
    add(lora(tmp_path))
    error = refused(lora(tmp_path), id="other")
    assert (error.code, "my-hero" in error.got) == ("CFG-OWN", True)
    add(lora(tmp_path, 1024), id="elsewhere", base="sd2")  # the slot of another base
    words = ["--id", "other", "--base", "sdxl", "--slot", "character", "--licence", "MIT", "--data", DATA]
    command.main(["add", str(lora(tmp_path)), *words, "--replace"])
    assert [row.id for row in own_weights.rows()] == ["elsewhere", "other"]
    assert not (own_data / "loras" / "my-hero").exists()


def test_an_altered_copy_is_found(tmp_path: Path, own_data: Path) -> None:
    add(lora(tmp_path))
    row = registry.any_row("my-hero")
    (own_data / "loras" / "my-hero" / "my-hero.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match="damaged") as caught:
        weight_hashes.verify(row, own_data / "loras" / "my-hero")
    assert caught.value.code == "WGT-DAMAGED"
    assert "--replace" in weights_advice.reinstall_or_fetch(row)


def test_the_original_may_go(tmp_path: Path) -> None:
    file = lora(tmp_path)
    add(file)
    file.unlink()
    assert weight_paths.locate(registry.any_row("my-hero")) is not None


@pytest.mark.parametrize(
    "text", ["- id: x", "{", "- {id: my-hero, kind: base}", "just words", "- {repo: 'package:nano/weights'}"]
)
def test_a_registry_of_ones_own_that_is_none_is_one_line(own_data: Path, text: str) -> None:
    own_data.mkdir()
    own_weights.path().write_text(text)
    with pytest.raises(ConfigError, match=r"models\.yaml") as caught:
        registry.rows()
    assert caught.value.code == "CFG-OWN"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("role: character", "role: pastel"),
        ("my-hero", "pastel"),
        ("status: review", "status: allowed"),
        ("kind: style_lora", "kind: base"),
        ("repo: own:my-hero", "repo: stabilityai/stable-diffusion-xl-base-1.0"),
    ],
)
def test_no_row_of_ones_own_passes_for_a_shipped_one(tmp_path: Path, old: str, new: str) -> None:
    add(lora(tmp_path))
    own_weights.path().write_text(own_weights.path().read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        registry.rows()
    assert caught.value.code == "CFG-OWN"


def test_what_no_row_names_can_be_deleted(
    tmp_path: Path, own_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(lora(tmp_path))
    left = own_data / "loras" / "gone"
    left.mkdir()
    (left / "gone.safetensors").write_bytes(b"12345")
    assert leftovers.find() == [left]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    command.main(["gc"])
    assert left.exists()
    assert "pokora models gc --yes" in capsys.readouterr().out
    command.main(["gc", "--yes"])
    assert not left.exists()
    assert weight_paths.locate(registry.any_row("my-hero")) is not None
