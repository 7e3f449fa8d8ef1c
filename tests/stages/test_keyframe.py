"""The keyframe: text to image with the base's own networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny_checkpoints, tiny_networks

from pokora_anime.provenance.stage_records import Keyframe
from pokora_anime.schema.settings import Sampler, StillsConfig, VideoConfig
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text.prompt_embeddings import encode
from pokora_anime.timeline.still_seeds import of_still


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


def stills() -> StillsConfig:
    """Stills with the tiny clip's settings."""
    clip = tiny_networks.config()
    return StillsConfig(seed=clip.seed, base=clip.base, shot=clip.shot, speed=clip.speed, count=3)


def render(family: Path, run: Path, config: VideoConfig, **arguments: int) -> tuple[Keyframe, RunContext]:
    context = tiny_networks.context(run, tiny_networks.models(family, settings=config))
    prompt = encode(config.shot, config, context)
    made = keyframe.render(prompt, config, context, **arguments)
    context.folder.close()
    return made, context


def test_a_keyframe_is_a_picture_and_its_latent(family: Path, tmp_path: Path) -> None:
    made, context = render(family, tmp_path, tiny_networks.config())
    assert made.image.shape == (tiny_networks.SIZE, tiny_networks.SIZE, 3)
    assert made.image.dtype == np.uint8
    assert made.latent.shape == (4, 4, 4)
    assert made.latent.dtype == torch.float32
    assert (context.folder.path / "keyframe.png").is_file()


@pytest.mark.parametrize("sampler", list(Sampler))
def test_the_latent_is_that_of_diffusers_sdxl_pipeline(
    family: Path, tmp_path: Path, sampler: Sampler
) -> None:
    from diffusers import StableDiffusionXLPipeline

    config = tiny_networks.config(speed=sampler, steps=4)
    made, context = render(family, tmp_path, config)
    networks = context.models
    stack = networks.text_stack()
    pipeline = StableDiffusionXLPipeline(
        vae=networks.vae(),
        text_encoder=stack.encoders[0],
        text_encoder_2=stack.encoders[1],
        tokenizer=stack.tokenizers[0],
        tokenizer_2=stack.tokenizers[1],
        unet=networks.unet(),
        scheduler=networks.scheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    context = tiny_networks.context(tmp_path / "again", networks)
    prompt = encode(config.shot, config, context)
    assert prompt.pooled is not None
    assert prompt.negative_pooled is not None
    expected = pipeline(
        prompt_embeds=prompt.embeds[None],
        negative_prompt_embeds=prompt.negative_embeds[None],
        pooled_prompt_embeds=prompt.pooled[None],
        negative_pooled_prompt_embeds=prompt.negative_pooled[None],
        num_inference_steps=4,
        guidance_scale=config.speed.guidance_scale,
        width=tiny_networks.SIZE,
        height=tiny_networks.SIZE,
        latents=torch.randn((1, 4, 4, 4), generator=context.generator("keyframe", 0)),
        generator=context.generator("keyframe", 0, "steps"),
        output_type="latent",
    ).images[0]
    assert torch.allclose(made.latent, expected, atol=1e-4)


def test_the_same_seed_gives_the_same_picture(family: Path, tmp_path: Path) -> None:
    one, _ = render(family, tmp_path / "one", tiny_networks.config())
    two, _ = render(family, tmp_path / "two", tiny_networks.config())
    assert np.array_equal(one.image, two.image)
    assert one.node == two.node


def test_every_attempt_has_its_own_noise(family: Path, tmp_path: Path) -> None:
    one, _ = render(family, tmp_path, tiny_networks.config())
    two, _ = render(family, tmp_path, tiny_networks.config(), attempt=1)
    assert not torch.allclose(one.latent, two.latent)


def test_a_finished_keyframe_is_not_computed_again(family: Path, tmp_path: Path) -> None:
    made, _ = render(family, tmp_path, tiny_networks.config())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyframe, "denoise", lambda *_: pytest.fail("computed again"))
        kept, _ = render(family, tmp_path, tiny_networks.config())
    assert torch.equal(kept.latent, made.latent)
    assert kept.node == made.node


def test_each_step_is_reported(family: Path, tmp_path: Path) -> None:
    _, context = render(family, tmp_path, tiny_networks.config(steps=3))
    assert isinstance(context.progress, tiny_networks.Silent)
    assert context.progress.steps == 3


def test_guidance_runs_only_inside_its_interval(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config(steps=4)
    config.speed.guidance_end = 0.5
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=config))
    prompt = encode(config.shot, config, context)
    rows: list[int] = []
    unet = context.models.unet()
    unet.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[0]))
    keyframe.render(prompt, config, context)
    assert rows == [2, 2, 1, 1]


def test_guidance_in_two_passes_gives_the_same_picture(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    batched, _ = render(family, tmp_path / "batched", config)
    config.speed.guidance_batched = False
    sequential, _ = render(family, tmp_path / "sequential", config)
    assert torch.allclose(batched.latent, sequential.latent, atol=1e-5)


def test_sd2_renders_without_added_conditioning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_checkpoints.unhashed(monkeypatch, "sd2-1")
    config = tiny_networks.config("sd2")
    folder = tiny_networks.family(tmp_path / "sd2", "sd2")
    context = tiny_networks.context(tmp_path, tiny_networks.models(folder, "sd2", config))
    made = keyframe.render(encode(config.shot, config, context), config, context)
    assert torch.isfinite(made.latent).all()


def test_stills_differ_by_their_seed(family: Path, tmp_path: Path) -> None:
    one, two = (of_still(stills(), index) for index in range(2))
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=tiny_networks.config()))
    prompt = encode(one.shot, one, context)
    made = [keyframe.render_still(prompt, own, replace(context, seed=own.seed)) for own in (one, two)]
    assert not np.array_equal(made[0].image, made[1].image)


def test_a_still_is_the_keyframe_of_the_clip_with_its_seed(family: Path, tmp_path: Path) -> None:
    clip, _ = render(family, tmp_path / "clip", tiny_networks.config())
    own = of_still(replace(stills(), seed=tiny_networks.config().seed - 2), 2)
    context = tiny_networks.context(
        tmp_path / "stills", tiny_networks.models(family, settings=tiny_networks.config())
    )
    still = keyframe.render_still(encode(own.shot, own, context), own, context)
    assert still.node == clip.node
    assert np.array_equal(still.image, clip.image)
