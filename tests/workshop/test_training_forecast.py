"""What a training of a LoRA takes: counted from real networks, smaller where memory is short, told before."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from PIL import Image
from support import full_size_files
from torch import Tensor, nn

from pokora_anime.cli.workshop import train_lora
from pokora_anime.config.compose import compose
from pokora_anime.devices.forecast import cards
from pokora_anime.devices.forecast.workload import NETWORKS
from pokora_anime.devices.hardware import GIB, Hardware, of_card
from pokora_anime.errors import ConfigError
from pokora_anime.nano import family
from pokora_anime.schema.settings import Family
from pokora_anime.workshop.data import data_adding
from pokora_anime.workshop.training import training_forecast
from pokora_anime.workshop.training.lora_adapter import ALL, ATTENTION
from pokora_anime.workshop.training.lora_settings import Layers, LoraSettings, Role
from pokora_anime.workshop.training.training_forecast import SAVED, TRAINED

SETTINGS = LoraSettings(
    id="mika", data="mika@1", base=Family.sdxl, role=Role.character, rank=8, steps=1200, batch=4, rate=1e-4,
    dropout=0.1, held_out=0, prior=0, every=200, seed=0, layers=Layers.attention, dora=False, flip=False,
    views=1, trigger="", early_stop=0,
)  # fmt: skip
SDXL = compose("stills", ["base=sdxl", "style=none", "speed=hq", "base.width=1024", "base.height=1024"])
TARGETS = {Layers.attention: ATTENTION, Layers.all: ALL}


def card(gigabytes: float) -> Hardware:
    return replace(of_card(cards.find("L4")[0], SDXL.device), memory=round(gigabytes * GIB))


def adapted(unet: nn.Module, layers: Layers, rank: int) -> nn.Module:
    unet.requires_grad_(False)
    with torch.device(next(unet.parameters()).device):
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS[layers])))
    return unet


@pytest.mark.parametrize("layers", list(Layers))
@pytest.mark.parametrize("base", list(Family))
def test_parameters_are_those_that_peft_adds(base: Family, layers: Layers) -> None:
    row = {Family.sdxl: "sdxl-base-1.0", Family.sd2: "sd2-1"}.get(base, "")
    made = next(
        (make for (one, file), make in full_size_files.NETWORKS.items() if one == row and "unet" in file),
        None,
    )
    unet = adapted(full_size_files.on_meta(made or family.make_unet), layers, 2)
    assert sum(one.numel() for one in unet.parameters() if one.requires_grad) == 2 * TRAINED[base, layers]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_kept_numbers_are_those_that_autograd_keeps(checkpointed: bool) -> None:
    unet = adapted(family.make_unet(), Layers.attention, 8).train()
    if checkpointed:
        unet.enable_gradient_checkpointing()
    weights = {one.untyped_storage().data_ptr() for one in unet.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in weights:
            kept[place] = tensor
        return tensor

    side = 16
    sizes = {"text_embeds": torch.zeros(1, family.TEXT_WIDTH), "time_ids": torch.zeros(1, 6)}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        latents, told = torch.zeros(1, 4, side, side), torch.zeros(1, 77, unet.config.cross_attention_dim)
        unet(latents, torch.zeros(1), told, added_cond_kwargs=sizes, return_dict=False)
    numbers = sum(one.untyped_storage().nbytes() for one in kept.values()) / 4 / side**2
    assert numbers == pytest.approx(SAVED[Family.nano, Layers.attention][checkpointed], rel=0.3)


def test_a_smaller_card_takes_more_parts_then_computes_twice() -> None:
    found = training_forecast.ways(SETTINGS, SDXL.base, card(24))
    assert [(one.parts, one.checkpointed) for one in found] == [
        *((1, False), (2, False), (4, False)), *((1, True), (2, True), (4, True)),
    ]  # fmt: skip
    assert all(one.peak >= other.peak for one, other in pairwise(found[:3]))
    taken = [training_forecast.chosen(SETTINGS, SDXL.base, card(size)) for size in (80, 24, 16, 12, 8)]
    assert [(one.parts, one.checkpointed) for one in taken] == [
        (1, False), (2, False), (4, False), (1, True), (4, True),
    ]  # fmt: skip
    assert taken[-2].fits(card(12)) and not training_forecast.chosen(SETTINGS, SDXL.base, card(4)).fits(
        card(4)
    )
    assert taken[-1].step_seconds > taken[0].step_seconds


def test_weights_and_state_are_part_of_it() -> None:
    small = training_forecast.chosen(replace(SETTINGS, batch=1), SDXL.base, card(24))
    large = training_forecast.chosen(replace(SETTINGS, batch=1, rank=128), SDXL.base, card(24))
    assert small.peak > 2 * NETWORKS[Family.sdxl].unet.parameters
    assert large.peak - small.peak == pytest.approx(1.08 * 120 * TRAINED[Family.sdxl, Layers.attention] * 16)


def test_an_estimate_is_told_for_each_card_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder, rng = tmp_path / "drawn", np.random.default_rng(0)
    folder.mkdir()
    for index in range(8):
        Image.fromarray(rng.integers(0, 255, (256, 256, 3), np.uint8)).save(folder / f"{index}.png")
    data_adding.add(folder, "mika", data_adding.Told(licence="CC0-1.0", source="drawn by me"))
    words = ["--data", "mika", "--base", "sdxl", "--role", "character", "--estimate"]
    assert train_lora.main([*words, "--gpu", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(cards.table()) and all(" GB of " in line for line in lines[1:])
    assert train_lora.main(words) == 0
    assert "CPU" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="CFG-GPU"):
        train_lora.main([*words, "--gpu", "nonesuch 9000x"])
    assert not (tmp_path / "outputs").exists()
