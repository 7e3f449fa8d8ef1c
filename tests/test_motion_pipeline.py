"""The diffusers pipeline over the loop: the documented example, saving, agreement with diffusers' own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffSDXLPipeline,
    AutoencoderKL,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    MotionAdapter,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from support import tiny_networks
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pokora_anime.errors import ConfigError
from pokora_anime.motion_pipeline import PokoraMotionPipeline

EXAMPLE = Path(__file__).parent.parent / "docs" / "pipeline.md"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny SDXL and SD2 bases as diffusers itself saves them, their adapters and ControlNets beside them."""
    folder = tmp_path_factory.mktemp("published")
    for kind in ("sdxl", "sd2"):
        parts = tiny_networks.family(folder / kind, kind)
        variant = "fp16" if kind == "sd2" else None
        common: dict[str, Any] = {
            "unet": UNet2DConditionModel.from_pretrained(parts / "unet", variant=variant),
            "vae": AutoencoderKL.from_pretrained(parts / "vae", variant=variant),
            "text_encoder": CLIPTextModel.from_pretrained(parts / "text_encoder", variant=variant),
            "tokenizer": CLIPTokenizer.from_pretrained(parts / "tokenizer"),
            "scheduler": DPMSolverMultistepScheduler.from_pretrained(parts / "scheduler"),
        }
        if kind == "sdxl":
            second = CLIPTextModelWithProjection.from_pretrained(parts / "text_encoder_2")
            pair = {
                "text_encoder_2": second,
                "tokenizer_2": CLIPTokenizer.from_pretrained(parts / "tokenizer_2"),
            }
            whole = StableDiffusionXLPipeline(**common, **pair)
        else:
            whole = StableDiffusionPipeline(**common, safety_checker=None, feature_extractor=None)
        whole.save_pretrained(folder / f"{kind}-base")
    return folder


def loaded(published: Path, kind: str = "sdxl", controls: int = 0) -> PokoraMotionPipeline:
    variant = "fp16" if kind == "sd2" else None
    networks = [
        ControlNetModel.from_pretrained(published / kind / name)
        for name in ("controlnet_pose", "controlnet_depth")[:controls]
    ]
    for number, network in enumerate(networks):
        torch.manual_seed(number)
        for layer in (*network.controlnet_down_blocks, network.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(layer.weight, std=0.3)  # a fresh ControlNet answers zero
    pipe = PokoraMotionPipeline.from_pretrained(
        published / f"{kind}-base",
        motion_adapter=MotionAdapter.from_pretrained(published / kind / "motion_adapter", variant=variant),
        controlnet=networks or None,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def called(pipe: PokoraMotionPipeline, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "negative_prompt": "bad anatomy",
        "width": tiny_networks.SIZE,
        "height": tiny_networks.SIZE,
        "num_frames": 4,
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "generator": torch.Generator().manual_seed(1),
        "output_type": "latent",
        **changes,
    }
    return pipe("girl, blue hair", **options)


def test_the_documented_example_runs(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)
    places = {
        '"stabilityai/stable-diffusion-xl-base-1.0"': repr(str(published / "sdxl-base")),
        '"guoyww/animatediff-motion-adapter-sdxl-beta"': repr(str(published / "sdxl" / "motion_adapter")),
        '"diffusers/controlnet-depth-sdxl-1.0"': repr(str(published / "sdxl" / "controlnet_depth")),
        '"madebyollin/sdxl-vae-fp16-fix"': repr(str(published / "sdxl" / "vae")),
        "torch.bfloat16": "torch.float32",
        '"cuda"': '"cpu"',
        "=768": f"={tiny_networks.SIZE}",
        "steps=25": "steps=2",
    }
    for name, here in places.items():
        assert name in code
        code = code.replace(name, here)
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {"depth_map": np.zeros((tiny_networks.SIZE, tiny_networks.SIZE, 3), np.uint8)}
    exec(compile(code, str(EXAMPLE), "exec"), made)
    assert len(made["frames"]) == 16 + 12
    assert torch.equal(made["second"].latents[:, :4], made["first"].latents[:, -4:])
    assert made["frames"][0].size == (tiny_networks.SIZE, tiny_networks.SIZE)
    assert (tmp_path / "my-motion-pipeline" / "model_index.json").is_file()


def test_what_is_saved_answers_the_same(published: Path, tmp_path: Path) -> None:
    pipe = loaded(published, controls=2)
    maps = [np.full((tiny_networks.SIZE, tiny_networks.SIZE, 3), level, np.uint8) for level in (40, 200)]
    expected = called(pipe, control_images=maps).latents
    pipe.save_pretrained(tmp_path)
    again = PokoraMotionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(called(again, control_images=maps).latents, expected)
    assert len(again.controlnet.nets) == 2 and again.motion_adapter is None


def test_without_control_it_equals_diffusers_own_with_its_conversion_repaired(published: Path) -> None:
    pipe = loaded(published)
    noise = torch.randn(4, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    parts = {name: part for name, part in pipe.components.items() if name != "controlnet"}
    parts["motion_adapter"] = MotionAdapter.from_pretrained(published / "sdxl" / "motion_adapter")
    stock = AnimateDiffSDXLPipeline(**parts)
    stock.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        (expected,) = stock(
            "girl, blue hair",
            negative_prompt="bad anatomy",
            width=tiny_networks.SIZE,
            height=tiny_networks.SIZE,
            num_frames=4,
            num_inference_steps=3,
            guidance_scale=3.0,
            latents=noise[None],
            output_type="latent",
            return_dict=False,
        )
    found = called(pipe, latents=noise, num_inference_steps=3).latents
    torch.testing.assert_close(found, expected[0], atol=1e-4, rtol=1e-4)


def test_sd2_has_one_encoder_and_no_pooled_text(published: Path) -> None:
    found = called(loaded(published, "sd2"), output_type="np")
    assert (
        found.frames.shape == (4, tiny_networks.SIZE, tiny_networks.SIZE, 3)
        and found.frames.dtype == np.uint8
    )
    assert found.frames.std() > 0


def test_a_control_map_steers_and_its_network_stays_whole(published: Path) -> None:
    pipe = loaded(published, controls=1)
    names = set(pipe.controlnet.nets[0].state_dict())
    dark, light = (
        called(
            pipe, control_images=[np.full((tiny_networks.SIZE, tiny_networks.SIZE, 3), level, np.uint8)]
        ).latents
        for level in (0, 255)
    )
    assert (dark - light).abs().max() > 1e-4
    assert set(pipe.controlnet.nets[0].state_dict()) == names


def test_long_prompts_are_read_to_their_end(published: Path) -> None:
    pipe = loaded(published)
    long = "girl, " + "blue hair, " * 60
    one, other = (
        pipe(
            text,
            width=tiny_networks.SIZE,
            height=tiny_networks.SIZE,
            num_frames=2,
            num_inference_steps=1,
            generator=torch.Generator().manual_seed(1),
            output_type="latent",
        ).latents
        for text in (long + "smile", long + "waving")
    )
    assert (one - other).abs().max() > 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 33}, "multiples of 8"),
        ({"num_frames": 33}, "1 to 32"),
        ({"control_images": [1]}, "one for each of 0 ControlNets"),
        ({"output_type": "gif"}, "pil or np or latent"),
        ({"known_latents": torch.zeros(4, 4, 4, 4)}, "fewer than 4"),
    ],
)
def test_what_cannot_be_is_one_line(published: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match="CFG-PIPELINE") as caught:
        called(loaded(published), **change)
    assert expected in caught.value.expected


def test_a_2d_unet_needs_a_motion_adapter(published: Path) -> None:
    with pytest.raises(ConfigError, match="motion_adapter"):
        PokoraMotionPipeline.from_pretrained(published / "sdxl-base")
