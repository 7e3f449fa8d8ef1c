"""Motion LoRAs: clips as data sets, layers of a motion adapter trained on them, judged by the view's move."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from diffusers import AnimateDiffSDXLPipeline, MotionAdapter, UNet2DConditionModel
from PIL import Image as Pictures
from safetensors.torch import load_file
from support import tiny_networks
from torch import Tensor

from pokora_anime.catalogue import needed_weights, registry
from pokora_anime.catalogue.lora.lora_merge import Lora, merge_into_unet
from pokora_anime.cli.workshop import data_command, train_lora
from pokora_anime.config.compose import compose
from pokora_anime.errors import DataError, PokoraError, TrainingError
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.schema.settings import Family
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import data_card, data_store
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.judging import camera_move, motion_verdict, weighed_networks
from pokora_anime.workshop.judging.camera_move import Move
from pokora_anime.workshop.training import lora_training
from pokora_anime.workshop.training.clips.clip_training import FRAMES, ClipTraining
from pokora_anime.workshop.training.lora_settings import Layers, LoraSettings, Role
from pokora_anime.workshop.training.training_base import TrainingBase

COUNT, SIDE = 3, 64
WORDS = (f"base.width={SIDE}", f"base.height={SIDE}", "device.threads=1", "device.dtype=fp32")
STILL = Move(right=0, down=0, grows=0, turns=0)


def view(
    picture: Image, number: int, step: float, fall: float = 0.0, zoom: float = 1.0, turn: float = 0.0
) -> Image:
    """A window of 128 pixels onto a larger picture, which goes `step` pixels right with each number."""
    middle = len(picture) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), -turn * number, zoom**number)
    matrix[0, 2] += 64 - middle + step * (number - FRAMES / 2)
    matrix[1, 2] += 64 - middle + fall * (number - FRAMES / 2)
    return np.asarray(cv2.warpAffine(picture, matrix, (128, 128), borderMode=cv2.BORDER_REFLECT), np.uint8)


def picture(seed: int) -> Image:
    """Soft spots of many colours, 320 pixels a side."""
    noise = np.random.default_rng(seed).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (320, 320), interpolation=cv2.INTER_CUBIC), np.uint8)


def draw(folder: Path, count: int = COUNT, frames: int = FRAMES) -> Path:
    """Clips in which all goes two pixels to the right with each frame."""
    for clip in range(count):
        place = folder / f"pan-{clip}"
        place.mkdir(parents=True)
        for number in range(frames):
            Pictures.fromarray(view(picture(clip), number, 2.0)).save(place / f"f{number:03d}.png")
        (folder / f"pan-{clip}.txt").write_text("girl, waving")
    return folder


def add(folder: Path, *more: str) -> Stored:
    told = ["--licence", "CC0-1.0", "--source", "drawn by nobody"]
    assert data_command.main(["add", str(folder), "--id", "pan", "--clips", *told, *more]) == 0
    return data_store.find("pan")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def own_data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POKORA_DATA", str(home))
    monkeypatch.setattr(lora_training, "SAMPLE_STEPS", 1)
    monkeypatch.setattr(lora_training, "SAMPLES", 1)


@pytest.fixture(scope="module")
def data(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POKORA_DATA", str(home))
        return add(draw(tmp_path_factory.mktemp("drawn")), "--few")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TrainingBase:
    places = tiny_networks.places(tiny_networks.family(tmp_path_factory.mktemp("nano")))
    return TrainingBase("nano", WORDS, places, moving=True)


def settings(data: Stored, **change: object) -> LoraSettings:
    whole = LoraSettings(
        id="pan", data=data.data.name, base=Family.nano, role=Role.motion, rank=2, steps=2, batch=1,
        rate=2e-2, dropout=0.1, held_out=1, prior=0, every=2, seed=0, layers=Layers.all, dora=False,
        flip=False, views=1, trigger="", early_stop=0,
    )  # fmt: skip
    return replace(whole, **change)


@pytest.fixture
def training(data: Stored, base: TrainingBase, tmp_path: Path) -> Callable[..., ClipTraining]:
    def begin(folder: str, **change: object) -> ClipTraining:
        base.models.free("motion", "text")
        return ClipTraining(settings(data, **change), data, base, tmp_path / folder)

    return begin


def test_a_folder_of_clips_is_a_data_set_of_frames(data: Stored) -> None:
    assert data.data.amount == f"{COUNT} clips of {COUNT * FRAMES} frames"
    assert [len(frames) for frames in data.data.by_clip().values()] == [FRAMES] * COUNT
    assert {entry.caption for entry in data.data.entries} == {"girl, waving"}
    card = (data.folder / data_store.CARD_DATA).read_bytes()
    assert json.loads(card)["clips"] is True
    assert data_card.misfit(card, data.card.read_bytes(), data.data.statement) == ""
    assert data_card.misfit(card.replace(b'"clips": true', b'"clips": 1'), data.card.read_bytes(), "") != ""


def test_clips_that_no_training_can_use_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept out of the module's data folder, whose set others train on."""
    folder = draw(tmp_path / "drawn", count=6)
    (folder / "pan-0" / "f003.png").unlink()
    (folder / "pan-1" / "f015.png").unlink()
    Pictures.fromarray(picture(9)).save(folder / "pan-2" / "f001.png")
    for file in (folder / "pan-3").iterdir():
        Pictures.fromarray(picture(3)).save(file)
    (folder / "pan-4" / "f002.png").write_bytes(b"no picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POKORA_DATA", str(tmp_path / "data"))
        assert add(folder, "--few").data.amount == "1 clips of 16 frames"
        told = capsys.readouterr().out
        for code in ("DAT-FRAMES", "DAT-SHORT", "DAT-STILL", "DAT-FORMAT"):
            assert code in told
        with pytest.raises(DataError, match=r"DAT-EMPTY: .*leave --clips out"):
            add(folder / "pan-5")


@pytest.mark.apart
def test_a_broken_off_training_of_a_motion_ends_in_the_same_bytes(
    training: Callable[..., ClipTraining],
) -> None:
    whole = training("whole").run(lambda _: None)
    begun = training("parts")
    begun.loop.advance(begun.seen, begun.prior)
    begun.loop.save()
    resumed = training("parts")
    assert resumed.loop.standing.step == 1
    assert resumed.run(lambda _: None).read_bytes() == whole.read_bytes()


def test_only_layers_of_the_motion_adapter_are_learnt(training: Callable[..., ClipTraining]) -> None:
    one = training("work", steps=1, held_out=0)
    file = load_file(one.run(lambda _: None))
    assert all(name.startswith("unet.") and ".motion_modules." in name for name in file)
    assert {name.rsplit(".lora.")[-1] for name in file} == {"down.weight", "up.weight"}
    assert any(bool(tensor.any()) for name, tensor in file.items() if name.endswith("up.weight"))


def predicted(unet: torch.nn.Module, base: TrainingBase) -> Tensor:
    told = base.told(["girl"], (SIDE, SIDE)).of_clips(FRAMES).arguments()
    noise = torch.randn(1, 4, FRAMES, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return unet(noise, torch.tensor([500]), **told)[0]


@pytest.mark.apart  # the import of a pipeline takes longer than all else
def test_the_file_of_a_motion_loads_here_and_in_diffusers_as_what_was_trained(
    training: Callable[..., ClipTraining], base: TrainingBase
) -> None:
    one = training("work")
    file = one.run(lambda _: None)
    trained = predicted(one.unet, base)
    base.models.free("motion")
    plain = predicted(base.models.motion_unet(), base)
    row = weighed_networks.own_row(file, Family.nano)
    merge_into_unet(base.models.motion_unet(), [Lora(row=row, folder=file.parent, weight=1.0)])
    most = (trained - plain).abs().max()
    assert most > 1e-3 and (trained - predicted(base.models.motion_unet(), base)).abs().max() < 0.02 * most
    folder = base.folders["nano"]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    theirs = build_motion_unet(unet, MotionAdapter.from_pretrained(base.folders["nano-motion"]))
    encoders = cast(list[Any], base.models.text_stack().encoders)
    named = dict(zip(("text_encoder", "text_encoder_2"), encoders, strict=True))
    pipeline = AnimateDiffSDXLPipeline(
        vae=None, tokenizer=None, tokenizer_2=None, unet=theirs, motion_adapter=None, scheduler=None, **named
    )
    pipeline.load_lora_weights(load_file(file))
    assert (trained - predicted(theirs, base)).abs().max() < 0.02 * most


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"step": 2.0}, Move(right=4, down=0, grows=0, turns=0)),
        ({"step": -1.5}, Move(right=-3, down=0, grows=0, turns=0)),
        ({"step": 0.0, "fall": 1.0}, Move(right=0, down=2, grows=0, turns=0)),
        ({"step": 0.0, "zoom": 1.02}, Move(right=0, down=0, grows=1.28, turns=0)),
        ({"step": 0.0, "turn": 1.0}, Move(right=0, down=0, grows=0, turns=64 * np.pi / 180)),
    ],
)
def test_the_move_of_a_view_is_read_with_its_sign_and_size(change: dict[str, float], wanted: Move) -> None:
    clips = [[view(picture(seed), number, **change) for number in range(6)] for seed in (1, 2)]
    found = camera_move.of_clips(clips)
    assert np.abs(found.vector - wanted.vector).max() < 0.15 * wanted.size
    assert found.along(wanted) == pytest.approx(wanted.size, rel=0.15)


def verdict(made: Move, without: Move = STILL, drawn: Move | None = None) -> motion_verdict.MotionVerdict:
    drawn = drawn or Move(right=4, down=0, grows=0, turns=0)
    return motion_verdict.MotionVerdict(layers=1, clips=1, drawn=drawn, made=made, without=without, moved=9.0)


def test_a_motion_lora_that_does_not_move_the_view_is_not_registered() -> None:
    verdict(replace(STILL, right=2.0)).require()
    assert ("that way, in clips at weight 1", "+2.0 px a frame of 4.0, without +0.0") in verdict(
        replace(STILL, right=2.0)
    ).lines()
    for weak in (STILL, replace(STILL, right=-4.0), replace(STILL, down=4.0)):
        with pytest.raises(TrainingError, match="TRN-WEAK"):
            verdict(weak).require()
    verdict(STILL, drawn=replace(STILL, right=0.1)).require()  # the drawings' view is still


def test_words_and_data_that_do_not_go_together_are_refused(data: Stored, tmp_path: Path) -> None:
    def refused(*words: str) -> PokoraError:
        with pytest.raises(PokoraError) as caught:
            train_lora.main(["--data", "pan", "--base", "nano", "--work", str(tmp_path), *words])
        return caught.value

    assert refused("--role", "character").code == "TRN-DATA"
    assert "--views" in refused("--role", "motion", "--views", "3").fix
    assert refused("--role", "motion", "--held-out", "3").code == "TRN-HELD-OUT"
    with pytest.raises(PokoraError, match=r"CFG-MOTION: .*SD 1\.5"):
        motion = compose("video", []).motion
        needed_weights.motion_lora_row(replace(motion, lora="zoom_in"), compose("video", []).base)


@pytest.mark.apart
def test_a_motion_lora_goes_from_clips_to_a_registered_file(
    data: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(motion_verdict, "WEIGHTS", (0.0, 1.0))
    monkeypatch.setattr(motion_verdict, "CLIPS", {Family.nano: 1})
    monkeypatch.setattr(motion_verdict, "LEAST", -9.0)
    words = ["--data", "pan", "--base", "nano", "--role", "motion", "--work", str(tmp_path)]
    short = "--steps 2 --batch 1 --rate 0.02 --held-out 0 --every 2 --threads 1".split()
    assert train_lora.main([*words, *short]) == 0
    assert "motion.lora=own:pan" in capsys.readouterr().out
    row = registry.any_row("pan")
    assert (row.kind, row.role, row.data_set) == (registry.Kind.motion_lora, "own:pan", data.data.name)
    config = compose("video", ["motion.lora=own:pan"])
    assert config.motion.lora == "own:pan"
