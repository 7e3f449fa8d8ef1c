"""The nano family's tokenizer, its conversions and its training recipe."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel, UNetMotionModel
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTokenizer

from pokora_anime.nano import family
from pokora_anime.nano.extractors import PoseExtractor
from pokora_anime.nano.recipe import MEMBERS, Training, make_recipe
from pokora_anime.nano.train import train_nano
from pokora_anime.nano.train.export import LARGEST_FAMILY, LARGEST_FILE, export_family
from pokora_anime.nano.train.loop import Dice, Place, train
from pokora_anime.nano.train.vae import standardise
from pokora_anime.nano.world import words


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return family.make_tokenizer()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole family from nothing with the small preset."""
    root = tmp_path_factory.mktemp("nano")
    # One thread: beside other work, several threads wait for one another at every operation.
    train_nano(None, "small", root / "work", None, "cpu", 1, 0)
    export_family(Place(root / "work"), root / "weights")
    return root / "weights"


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
    from pokora_anime.nano.train.motion import silence

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
    monkeypatch.setattr("pokora_anime.nano.train.loop.SAVE_SECONDS", 0.0)
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


def test_unknown_members_and_presets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown member 'unett'"):
        train_nano(["unett"], "small", tmp_path, None, "cpu", 1, 0)
    with pytest.raises(ValueError, match="unknown preset"):
        make_recipe("huge")
    assert MEMBERS[0] == "data"
