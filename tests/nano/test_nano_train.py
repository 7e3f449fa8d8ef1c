"""The nano family's tokenizer, its conversions and its training recipe."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel, UNetMotionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTokenizer

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.lora.lora_merge import Lora, merge_into_unet
from pokora_anime.errors import MachineError
from pokora_anime.nano import family
from pokora_anime.nano.nano_extractors import PoseExtractor
from pokora_anime.nano.recipe import MEMBERS, Training, make_recipe
from pokora_anime.nano.train import (
    Assignment,
    adopted_style,
    check,
    copy_family,
    kept_from,
    shared_out,
    train_nano,
    training_workers,
)
from pokora_anime.nano.train.export import LARGEST_FAMILY, LARGEST_FILE, STYLES, export_family
from pokora_anime.nano.train.lora_layers import (
    LORA_FILE,
    STYLE_RANK,
    add_lora,
    save_kohya,
    save_lora,
    share_lora,
)
from pokora_anime.nano.train.members import train_lcm
from pokora_anime.nano.train.members import train_text as text
from pokora_anime.nano.train.members.train_vae import standardise
from pokora_anime.nano.train.training_loop import Dice, Place, Progress, begin, train
from pokora_anime.nano.world.vocabulary import words
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.installed_package import NANO_WEIGHTS


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return family.make_tokenizer()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a whole family from nothing with the small preset."""
    work = tmp_path_factory.mktemp("nano") / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_lcm, "SOLVER_STEPS", 3)
        patch.setattr(text, "HELD_OUT", 64)
        # One thread: beside other work, several threads wait for one another at every operation.
        train_nano(Assignment(work=work), "small", "cpu", 1, 0)
    return work


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The trained family as it is shipped."""
    export_family(Place(trained), trained.parent / "weights")
    return trained.parent / "weights"


DRAWN_AFTER_OPENCV = """
import sys
from pathlib import Path
import cv2
import numpy as np
from pokora_anime.nano.recipe import Data
from pokora_anime.nano.train import drawn_data

if __name__ == "__main__":
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2048, 2048, 3), np.uint8), (9, 9), 2)
    styles = {"pastel": 1, "flat_color": 1, "plain_pastel": 1, "plain_flat_color": 1}
    drawn_data.render(Path(sys.argv[1]), Data(stills=2, clips=1, held_out=1, posed=1, **styles), 0, 2)
"""


def test_pictures_are_drawn_also_where_opencv_has_had_its_threads(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DRAWN_AFTER_OPENCV, str(tmp_path)], check=True, timeout=90)
    assert np.load(tmp_path / "data" / "stills_rgb.npy").std() > 0


def test_every_word_of_the_world_is_one_token(tokenizer: CLIPTokenizer) -> None:
    for word in {piece for w in words() for piece in re.findall("[a-z]+", w)}:
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word


@pytest.mark.parametrize("text", ["", "桜の少女", "🙂 smile", "Zxqv, 1GIRL!", "cel-shading\tñ"])
def test_any_text_survives_tokenizing_and_saving(tokenizer: CLIPTokenizer, text: str, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(text).input_ids
    assert again(text).input_ids == ids
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    bare = re.sub(r"\s", "", tokenizer.decode(ids, skip_special_tokens=True))
    assert bare == re.sub(r"\s", "", text.lower())


def test_pooling_reads_the_first_end_token(tokenizer: CLIPTokenizer) -> None:
    config = family.make_text_config(tokenizer)
    assert config.eos_token_id == tokenizer.eos_token_id != 2


def test_silent_motion_leaves_the_unet_as_it_is() -> None:
    from pokora_anime.nano.train.members.train_motion import silence

    torch.manual_seed(0)
    unet, adapter = family.make_unet().eval(), family.make_motion_adapter()
    silence(adapter)
    motion = family.make_motion_unet(unet, adapter).eval()
    noise = torch.randn(1, 4, 4, 32, 32)
    context, pooled = torch.randn(4, 77, 256), torch.randn(1, 128)
    sizes = torch.tensor([[256.0, 256, 0, 0, 256, 256]])
    with torch.no_grad():
        moving = motion(
            noise, 500, context, added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes}
        ).sample
        still = unet(
            noise[0].transpose(0, 1),
            500,
            context,
            added_cond_kwargs={"text_embeds": pooled.expand(4, -1), "time_ids": sizes.expand(4, -1)},
        ).sample
    torch.testing.assert_close(moving[0].transpose(0, 1), still, atol=1e-5, rtol=1e-4)


def test_a_clip_at_strength_0_is_not_steered(trained: Path) -> None:
    from pokora_anime.nano.train import diffusion
    from pokora_anime.nano.train.members import train_motion as motion
    from pokora_anime.nano.train.members import train_steering

    unet, control, _ = train_steering.load_networks(Place(trained))
    for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.1)  # three steps leave it next to silent
    noisy, timesteps = torch.randn(2, 4, 2, 32, 32), torch.tensor([700, 300])
    told = diffusion.Conditions(
        torch.randn(2, 77, 256), torch.randn(2, 128), torch.tensor([[256.0, 256, 0, 0, 256, 256]] * 2)
    )
    with torch.no_grad():
        steered = train_steering.Steering.of(control, torch.rand(4, 3, 256, 256), torch.tensor([0.0, 0.5]))
        alone = motion.predict(unet, noisy, timesteps, told)
        under = train_steering.predict(unet, noisy, timesteps, told, steered)
    torch.testing.assert_close(under[0], alone[0], atol=1e-5, rtol=1e-4)
    assert (under[1] - alone[1]).abs().mean() > 1e-3


def test_standardised_latents_have_unit_variance_and_the_same_pictures() -> None:
    torch.manual_seed(0)
    vae = family.make_vae().eval().requires_grad_(False)
    pictures = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pictures).latent_dist
        decoded = vae.decode(before.mean).sample
        standardise(vae, before.mean.numpy())
        after = vae.encode(pictures).latent_dist
        again = vae.decode(after.mean).sample
    torch.testing.assert_close(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(again, decoded, atol=1e-4, rtol=1e-3)


class _Killed(Exception):
    pass


def _train_line(work: Path, kill_at: int | None, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    monkeypatch.setattr("pokora_anime.nano.train.training_loop.SAVE_SECONDS", 0.0)
    torch.manual_seed(1)
    model = nn.Linear(4, 4)
    steps = 0

    def loss_of(dice: Dice) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise _Killed
        x = dice.normal(8, 4)
        return (model(x) - x * float(dice.numpy.random())).square().mean()

    training = Training(steps=12, batch=8, rate=0.01, ema=0.9)
    train("line", training, list(model.named_parameters()), loss_of, Place(work))
    return model.weight.detach()


def test_a_killed_training_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train_line(tmp_path / "a", None, monkeypatch)
    with pytest.raises(_Killed):
        _train_line(tmp_path / "b", 6, monkeypatch)
    assert torch.equal(_train_line(tmp_path / "b", None, monkeypatch), whole)


def test_the_small_recipe_makes_a_family_that_draws(exported: Path) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        exported, torch_dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(exported / "lora_lcm")
    call = {"num_inference_steps": 1, "height": 64, "width": 64, "output_type": "np"}
    image = pipeline("1girl", generator=torch.Generator().manual_seed(0), **call).images[0]
    assert image.shape == (64, 64, 3)
    assert np.isfinite(image).all()


def test_the_lora_loads_on_the_motion_unet(exported: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(exported / "unet")
    motion: UNetMotionModel = family.make_motion_unet(unet, family.make_motion_adapter())
    weights = load_file(exported / "lora_lcm" / "pytorch_lora_weights.safetensors")
    motion.load_lora_adapter(weights, prefix="unet")
    layers = [name for name, _ in motion.named_parameters() if "lora_A" in name]
    assert len(layers) == sum("lora_A" in name or "lora.down" in name for name in weights)
    assert not any("motion_modules" in name for name in layers)


def test_stills_and_clips_train_one_lora(exported: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(exported / "unet")
    motion: UNetMotionModel = family.make_motion_unet(unet, family.make_motion_adapter())
    add_lora(unet)
    add_lora(motion)
    share_lora(unet, motion)
    ours = {name: p for name, p in unet.named_parameters() if ".lora_" in name}
    moving = {name: p for name, p in motion.named_parameters() if ".lora_" in name}
    assert ours
    assert all(moving[name] is parameter for name, parameter in ours.items())
    assert ours.keys() == moving.keys()


def test_the_pose_extractor_gives_18_joints(exported: Path) -> None:
    extractor = PoseExtractor.from_pretrained(exported / "pose_extractor")
    joints = extractor(np.zeros((120, 200, 3), np.uint8))
    assert joints.shape == (18, 3)
    assert joints.dtype == np.float32
    assert ((joints[:, :2] >= 0) & (joints[:, :2] <= [200, 120])).all()


def test_the_depth_extractor_serves_the_ordinary_pipeline(exported: Path) -> None:
    from PIL import Image
    from transformers import pipeline

    estimate = pipeline("depth-estimation", model=str(exported / "depth_extractor"))
    depth = estimate(Image.new("RGB", (160, 96)))["predicted_depth"]
    assert tuple(depth.shape) == (96, 160)


def test_the_exported_family_is_small(tmp_path: Path) -> None:
    export_family(Place(tmp_path / "none"), tmp_path / "weights")
    sizes = [p.stat().st_size for p in (tmp_path / "weights").rglob("*") if p.is_file()]
    assert sum(sizes) <= LARGEST_FAMILY
    assert max(sizes) <= LARGEST_FILE
    assert not (tmp_path / "weights" / "lora_pastel").exists()  # untrained, it would do nothing


def test_the_probe_is_shipped_as_it_is(tmp_path: Path) -> None:
    probe = tmp_path / "family" / "probe"
    probe.mkdir(parents=True)
    save_file({"weight": torch.ones(3)}, probe / "model.safetensors")
    export_family(Place(tmp_path), tmp_path / "weights")
    shipped = tmp_path / "weights" / "probe" / "model.safetensors"
    assert shipped.read_bytes() == (probe / "model.safetensors").read_bytes()
    assert "probe/model.safetensors" in json.loads((tmp_path / "weights" / "MANIFEST.json").read_text())
    copy_family(tmp_path / "weights", tmp_path / "again")
    assert (tmp_path / "again" / "probe" / "model.safetensors").read_bytes() == shipped.read_bytes()


def test_an_export_replaces_nothing_but_a_family(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="something else than a family"):
        export_family(Place(tmp_path / "none"), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


# Style LoRAs


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return family.make_unet().eval()


@pytest.fixture(scope="module")
def loras(unet: UNet2DConditionModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA that changes much, in both formats."""
    folder = tmp_path_factory.mktemp("lora")
    student = copy.deepcopy(unet)
    add_lora(student, STYLE_RANK)
    for name, parameter in student.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
    save_lora(student, folder)
    save_kohya(load_file(folder / LORA_FILE), folder / "kohya.safetensors")
    return folder


def _predicted(unet: UNet2DConditionModel, *loras: tuple[Path, float]) -> torch.Tensor:
    """What the UNet predicts with LoRA files merged in by the project's own loading."""
    merged = copy.deepcopy(unet)
    row = registry.resolve("lcm", Family.nano)
    chosen = [
        Lora(row=replace(row, id=f"lora-{i}", files=(path.name,)), folder=path.parent, weight=weight)
        for i, (path, weight) in enumerate(loras)
    ]
    merge_into_unet(merged, chosen)
    generator = torch.Generator().manual_seed(1)
    noise, context, pooled = (
        torch.randn(shape, generator=generator) for shape in ((1, 4, 16, 16), (1, 77, 256), (1, 128))
    )
    told = {"text_embeds": pooled, "time_ids": torch.full((1, 6), 256.0)}
    with torch.no_grad():
        return merged.eval()(noise, 500, context, added_cond_kwargs=told).sample


def test_both_formats_of_a_lora_give_the_same(unet: UNet2DConditionModel, loras: Path) -> None:
    plain = _predicted(unet)
    diffusers, kohya = (_predicted(unet, (loras / name, 1.0)) for name in (LORA_FILE, "kohya.safetensors"))
    assert (diffusers - plain).abs().max() > 0.05
    torch.testing.assert_close(kohya, diffusers, atol=1e-3, rtol=0)


def test_a_kohya_file_has_the_same_bytes_every_time(loras: Path, tmp_path: Path) -> None:
    layers = load_file(loras / LORA_FILE)
    files = [tmp_path / f"{n}.safetensors" for n in range(6)]
    for file in files:
        save_kohya(layers, file)
    assert len({file.read_bytes() for file in files}) == 1


def test_styles_blend_by_weight(unet: UNet2DConditionModel, loras: Path) -> None:
    file = loras / LORA_FILE
    blended = _predicted(unet, (file, 0.8), (file, 0.2))
    torch.testing.assert_close(blended, _predicted(unet, (file, 1.0)), atol=1e-4, rtol=0)
    torch.testing.assert_close(_predicted(unet, (file, 0.0)), _predicted(unet), atol=1e-5, rtol=0)
    assert (_predicted(unet, (file, 0.25)) - blended).abs().max() > 0.01


def test_a_stronger_controlnet_gives_larger_residuals_and_nothing_else(unet: UNet2DConditionModel) -> None:
    from pokora_anime.nano.train.members.train_controlnets import strengthen

    torch.manual_seed(0)
    control = family.make_controlnet(unet).eval()
    ends = (*control.controlnet_down_blocks, control.controlnet_mid_block)
    for layer in ends:
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.1)

    def residuals() -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        noise, context, pooled, maps = (
            torch.randn(shape, generator=generator)
            for shape in ((1, 4, 16, 16), (1, 77, 256), (1, 128), (1, 3, 128, 128))
        )
        told = {"text_embeds": pooled, "time_ids": torch.full((1, 6), 256.0)}
        with torch.no_grad():
            down, middle = control(
                noise, 500, context, controlnet_cond=maps, added_cond_kwargs=told, return_dict=False
            )
        return [*down, middle]

    before = residuals()
    strengthen(control, 1.8)
    for one, other in zip(before, residuals(), strict=True):
        torch.testing.assert_close(1.8 * one, other)


def test_clips_are_drawn_by_a_still_camera_whatever_their_captions_say() -> None:
    from pokora_anime.nano.train.drawn_data import scene_and_time
    from pokora_anime.nano.train.members.train_motion import clip_caption

    assert {scene_and_time("clips", i, 0)[0].camera for i in range(20)} == {"static"}
    assert len({scene_and_time("stills", i, 0)[0].camera for i in range(20)}) > 2
    rng = np.random.default_rng(0)
    scene, _ = scene_and_time("clips", 0, 0)
    said = " ".join(clip_caption(scene, rng) for _ in range(60))
    assert all(move in said for move in ("pan left", "pan right", "zoom in", "zoom out"))


def test_decoders_see_what_lies_between_a_style_and_plain() -> None:
    from pokora_anime.nano.train.drawn_data import TWINS, Drawn, scene_and_time
    from pokora_anime.nano.train.members import train_decoders

    for plain, style in TWINS.items():
        for index in range(5):
            (scene, time), (twin, moment) = (scene_and_time(kind, index, 0) for kind in (style, plain))
            assert (twin, moment) == (replace(scene, style="plain"), time) and scene.style != "plain"

    def source(level: int, plain: train_decoders.Source | None = None) -> train_decoders.Source:
        drawn = Drawn(
            np.full((2, 256, 256, 3), level, np.uint8), np.full((2, 18, 3), 99, np.float32), None, []
        )
        return train_decoders.Source(drawn, np.full((2, 4, 32, 32), level / 255, np.float16), plain)

    pairs = train_decoders._pairs  # pyright: ignore[reportPrivateUsage]
    cells, pictures = pairs(source(255, source(0)), Dice.of(0, "decoder", 1), 64, Place(Path()))
    levels = cells.mean((1, 2, 3))
    torch.testing.assert_close(levels, (pictures.mean((1, 2, 3)) + 1) / 2)  # the same blend of both
    assert 0.2 < (levels == 1).float().mean() < 0.6 and levels.min() < 0.3
    assert pairs(source(255), Dice.of(0, "decoder", 1), 8, Place(Path()))[0].min() == 1


def test_a_style_of_the_workshop_becomes_a_member(tmp_path: Path) -> None:
    """The shipped pastel, taken for what `pokora train lora` made: the same layers in both formats."""
    shipped = NANO_WEIGHTS / "lora_pastel"
    work, target = tmp_path / "work", tmp_path / "weights"
    work.mkdir()
    target.mkdir()
    shutil.copyfile(shipped / STYLES["lora_pastel"], work / "mine.safetensors")
    training = {"steps": 9, "batch": 8, "rate": 2e-3, "rank": 4, "views": 1, "dropout": 0.1, "seed": 0}
    told = {
        "file": {"name": "mine.safetensors"}, "data": {"version": "0" * 12}, "made_with": {},
        "training": {**training, "seconds": 60.0}, "scores": {"moved": 30.0, "nearer": 0.5},
    }  # fmt: skip
    (work / "style.json").write_text(json.dumps(told))
    adopted_style.adopt(work, target, "lora_pastel")
    for name in (LORA_FILE, STYLES["lora_pastel"]):
        mine, theirs = (load_file(folder / name) for folder in (target / "lora_pastel", shipped))
        assert set(mine) == set(theirs) and all(torch.equal(mine[one], theirs[one]) for one in mine)
    assert json.loads((target / "MANIFEST.json").read_text())[f"lora_pastel/{LORA_FILE}"]
    assert "| lora_pastel | 9 | 8 | 1 |" in (target / "README.md").read_text()
    with pytest.raises(ValueError, match="is no layer of nano's UNet"):
        adopted_style.layers({"lora_unet_elsewhere.lora_up.weight": torch.zeros(1)})


@pytest.mark.parametrize("member", STYLES)
def test_a_trained_style_ships_in_both_formats(exported: Path, member: str) -> None:
    files = [exported / member / name for name in (LORA_FILE, STYLES[member])]
    diffusers, kohya = (load_file(file) for file in files)
    assert len(kohya) == len(diffusers) // 2 * 3  # an alpha for each pair
    assert {float(value) for name, value in kohya.items() if name.endswith(".alpha")} == {STYLE_RANK}
    assert any(bool(value.any()) for name, value in diffusers.items() if "lora_B" in name)
    assert sum(file.stat().st_size for file in files) < 1_300_000
    assert set(json.loads((exported / member / "training.json").read_text())["scores"]) == {
        "loss_without",
        "loss_with",
    }


# Where a training begins


def test_unknown_members_and_presets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown member 'unett'"):
        train_nano(Assignment(members=["unett"], work=tmp_path), "small", "cpu", 1, 0)
    with pytest.raises(ValueError, match="unknown preset"):
        make_recipe("huge")
    assert MEMBERS[0] == "data"


def test_a_member_without_what_it_is_trained_on_is_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(ValueError, match=r"lora_pastel needs unet, .* add it to --members"):
        check(Assignment(members=["data", "text", "vae", "latents", "lora_pastel"], work=tmp_path))
    assert check(Assignment(members=["lora_pastel", "unet"], work=trained)) == ["unet", "lora_pastel"]


def test_a_start_that_is_no_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a nano family: it has no"):
        check(Assignment(work=tmp_path / "work", start=tmp_path))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="SYS-IO: cannot write in"):
        check(Assignment(work=tmp_path / "file" / "work"))


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--device xpu cannot be used here"):
        train_nano(Assignment(members=["text"], work=tmp_path), "small", "xpu", 1, 0)


def test_one_member_is_trained_once_at_a_time(tmp_path: Path) -> None:
    with (
        training_workers.only_training("vae", tmp_path),
        pytest.raises(ValueError, match="vae is being trained in"),
        training_workers.only_training("vae", tmp_path),
    ):
        pass
    with training_workers.only_training("vae", tmp_path):
        pass


def test_a_copied_family_survives_that_a_sharded_network_is_saved_again(tmp_path: Path) -> None:
    family.make_vae().save_pretrained(tmp_path / "start" / "vae", max_shard_size="1MB")
    assert len(list((tmp_path / "start" / "vae").glob("*.safetensors"))) > 1
    copy_family(tmp_path / "start", tmp_path / "family")
    folder = tmp_path / "family" / "vae"
    vae = family.make_vae().from_pretrained(folder)
    vae.save_pretrained(folder)
    again = family.make_vae().from_pretrained(folder)
    assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), again.parameters(), strict=True))


def test_a_start_is_gone_on_from_and_kept_in_the_record(
    exported: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(trained / "data")
    train_nano(Assignment(members=["vae"], work=tmp_path, start=exported), "small", "cpu", 1, 0)
    assert "vae: goes on from weights trained before" in capsys.readouterr().out
    first, second = (
        json.loads((root / "vae" / "training.json").read_text()) for root in (exported, tmp_path / "family")
    )
    assert [before["scores"] for before in second["before"]] == [first["scores"]]


def _shown(work: Path, before: int) -> list[float]:
    """What the dice give in three steps, after so many trainings."""
    network, seen = nn.Linear(2, 2), []

    def loss_of(dice: Dice) -> torch.Tensor:
        x = dice.normal(4, 2)
        seen.append(float(x.sum()) + float(dice.numpy.random()))
        return network(x).square().mean()

    training = Training(steps=3, batch=4, rate=1e-2, warmup=1)
    parameters = list(network.named_parameters())
    place = Place(work, previews=False)
    train("odd", training, parameters, loss_of, place, before=[{"odd": 1}] * before)
    return seen


def test_going_on_from_a_start_shows_what_it_did_not_show(tmp_path: Path) -> None:
    first, again, second, third = (_shown(tmp_path / str(k), before) for k, before in enumerate((0, 0, 1, 2)))
    assert first == again
    assert not {*first} & {*second} and not {*first, *second} & {*third}


def test_a_controlnet_that_goes_on_is_made_stronger_once(trained: Path, tmp_path: Path) -> None:
    from pokora_anime.nano.train.members.train_controlnets import GAIN, train_controlnet

    for folder in ("data", "latents"):
        (tmp_path / folder).symlink_to(trained / folder)
    shutil.copytree(trained / "family", tmp_path / "family")
    member = "controlnet_pose"
    assert GAIN[member] > 1
    weights = f"{member}/diffusion_pytorch_model.safetensors"
    stands_still = Training(steps=1, batch=2, rate=0.0)
    train_controlnet(member, stands_still, Place(tmp_path, previews=False))
    first, second = (load_file(root / "family" / weights) for root in (trained, tmp_path))
    key = "controlnet_mid_block.weight"
    assert first[key].abs().max() > 0
    torch.testing.assert_close(second[key], first[key])


def test_a_whole_training_keeps_what_cannot_go_on(exported: Path) -> None:
    kept = ("text", "pose_extractor", "depth_extractor", "probe", "choreographer")
    assert kept_from(exported) == kept
    assert kept_from(None) == ()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    place = Place(tmp_path, previews=False)
    (place.family / "odd").mkdir(parents=True)
    save_file(nn.Linear(3, 2).state_dict(), place.family / "odd" / "model.safetensors")
    with pytest.raises(ValueError, match="the weights of odd have another architecture"):
        begin(nn.Linear(2, 2), place, "odd")


def _minimise(network: nn.Linear, place: Place, steps: int, worse: float = 0.0) -> Progress:
    def loss_of(dice: Dice) -> torch.Tensor:
        loss = network(dice.normal(4, 2)).square().mean()
        return loss * float("nan") if worse and len(list(place.work.glob("state/*.pt"))) else loss

    training = Training(steps=steps, batch=4, rate=1e-2, warmup=1)
    return train("odd", training, list(network.named_parameters()), loss_of, place)


def test_a_state_of_another_architecture_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path, previews=False)
    _minimise(nn.Linear(2, 2), place, 2)
    with pytest.raises(ValueError, match="the weights of odd have another architecture"):
        _minimise(nn.Linear(2, 3), place, 3)


def test_a_loss_that_is_no_number_ends_the_training_and_its_state_stays(tmp_path: Path) -> None:
    place = Place(tmp_path, previews=False)
    _minimise(nn.Linear(2, 2), place, 2)
    with pytest.raises(MachineError, match="SYS-LOSS: odd: the loss of step 3 is nan"):
        _minimise(nn.Linear(2, 2), place, 4, worse=1.0)
    assert _minimise(nn.Linear(2, 2), place, 3).step == 3


def test_a_state_that_cannot_be_saved_is_one_line(tmp_path: Path) -> None:
    place = Place(tmp_path, previews=False)
    (tmp_path / "state" / "odd.part").mkdir(parents=True)
    with pytest.raises(MachineError, match="SYS-"):
        _minimise(nn.Linear(2, 2), place, 2)


# Several processes


def test_processes_share_every_batch() -> None:
    shared = shared_out(make_recipe("full"), 4)
    assert shared.lora_pastel.batch == make_recipe("full").lora_pastel.batch // 4
    assert shared.motion.batch == 1


def _hears_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that the tests start there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(work: Path, *words: str) -> subprocess.Popen[str]:
    """`pokora train nano` with two processes; returns once both are there."""
    command = [sys.executable, "-m", "pokora_anime.cli", "train", "nano", "--preset", "small"]
    process = subprocess.Popen(
        [*command, "--work", str(work), "--processes", "2", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hears_ctrl_c,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and len(psutil.Process(process.pid).children()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def _said(process: subprocess.Popen[str]) -> str:
    """The one line about what ended the command."""
    lines = process.communicate(timeout=20)[1].splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_ctrl_c_ends_all_processes_in_two_seconds_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = _start(tmp_path, "--members", "text")
    trainers = psutil.Process(process.pid).children()
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    line = _said(process)
    assert time.monotonic() - pressed < 2
    assert process.returncode == 130
    assert line.endswith(f"--preset small --work {tmp_path} --processes 2 --members text")
    assert "to go on: " in line
    assert not any(trainer.is_running() for trainer in trainers)


def test_when_one_process_is_killed_all_end_with_one_line(tmp_path: Path) -> None:
    process = _start(tmp_path, "--members", "text")
    first, second = psutil.Process(process.pid).children()
    second.kill()
    line = _said(process)
    assert "SYS-TRAIN: training process 2 of 2 was ended by SIGKILL" in line
    assert "to go on: " in line
    assert process.returncode == 4
    assert not first.is_running()


@pytest.mark.slow
def test_an_error_in_the_processes_is_told_once(tmp_path: Path) -> None:
    process = _start(tmp_path, "--members", "text", "--device", "xpu")
    assert "CFG-TRAIN: --device xpu cannot be used here" in _said(process)
    assert process.returncode == 2


@pytest.mark.apart
@pytest.mark.slow
def test_two_processes_train_one_family_and_go_on_after_a_kill(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(trained / "data")
    (tmp_path / "family").mkdir()
    words = ("--members", "vae", "latents", "vae_tiny")
    process = _start(tmp_path, *words)
    trainers = psutil.Process(process.pid).children()
    assert process.stdout is not None
    while not process.stdout.readline().startswith("vae: done"):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    assert psutil.wait_procs(trainers, timeout=5)[1] == []
    process = _start(tmp_path, *words)
    told, complaint = process.communicate(timeout=300)
    assert (process.returncode, complaint) == (0, "")
    assert told.count("vae: already trained") == 1
    assert told.count("vae_tiny: done") == 1
    record = json.loads((tmp_path / "family" / "vae_tiny" / "training.json").read_text())
    assert record["machine"].endswith("2 x 1 threads")
    assert record["training"]["batch"] == 2
