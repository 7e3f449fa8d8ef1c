"""Our loop against diffusers' own pipelines: the same numbers from the same noise, with tiny checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AnimateDiffSDXLPipeline,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLControlNetUnionPipeline,
    UNet2DConditionModel,
)
from support import tiny_checkpoints, tiny_networks
from torch import Tensor, nn

from pokora_anime.catalogue import registry
from pokora_anime.provenance.hashing import arrays_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.stage_records import ControlTrack, Prompt
from pokora_anime.schema.settings import (
    ControlConfig,
    ControlKind,
    ControlNetwork,
    Family,
    Sampler,
    VideoConfig,
)
from pokora_anime.stages.control.controlnets import TYPES
from pokora_anime.stages.motion import segments
from pokora_anime.stages.picture import initial_noise, keyframe
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text.prompt_embeddings import encode

ROWS: dict[tiny_networks.FamilyKind, dict[ControlKind, str]] = {
    "sdxl": {ControlKind.pose: "nano_controlnet_pose", ControlKind.depth: "nano_controlnet_depth"},
    "sd2": {
        ControlKind.pose: "controlnet_openpose_sd21",
        ControlKind.depth: "controlnet_depth_sd21",
    },
}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both families, their ControlNets trained a little: fresh ones answer zero."""
    folders = {kind: tiny_networks.family(tmp_path_factory.mktemp(kind), kind) for kind in ("sdxl", "sd2")}
    torch.manual_seed(6)
    for folder in folders.values():
        for kind in ("pose", "depth"):
            place = folder / f"controlnet_{kind}"
            loud(ControlNetModel.from_pretrained(place)).save_pretrained(place)
    return folders


def loud(network: Any) -> Any:
    """Random numbers where a new ControlNet has zeros."""
    silent = [*network.controlnet_down_blocks, network.controlnet_mid_block]
    for layer in (*silent, network.controlnet_cond_embedding.conv_out):
        nn.init.normal_(layer.weight, std=0.3)
    return network


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    tiny_checkpoints.unhashed(monkeypatch, "sd2-1")


def settings(kind: tiny_networks.FamilyKind, sampler: Sampler, scale: float, frames: int) -> VideoConfig:
    config = tiny_networks.config(kind, sampler, steps=4)
    config.speed.guidance_scale = scale
    config.motion.frames, config.motion.overlap = frames, frames - 1
    config.control, config.keyframe.enabled = ControlConfig(kinds=[]), False
    return config


def prepared(
    folder: Path, kind: tiny_networks.FamilyKind, config: VideoConfig, run: Path
) -> tuple[RunContext, Prompt]:
    context = tiny_networks.context(run, tiny_networks.models(folder, kind, config))
    return context, encode(config.shot, config, context)


def ours(prompt: Prompt, control: ControlTrack | None, config: VideoConfig, context: RunContext) -> Tensor:
    """The latents [C, F, H, W] of one segment on text and maps alone."""
    (segment,) = segments.render(
        segments.ClipSources(prompt=prompt, control=control), config, context, config.motion.frames
    )
    return segment.latents


def start(config: VideoConfig, context: RunContext) -> Tensor:
    """The noise [1, C, F, H, W] that the segment starts from."""
    frames = config.motion.frames
    return initial_noise.for_frames(0, frames, config.motion.noise_share, context).values[None]


def asked(prompt: Prompt, config: VideoConfig, context: RunContext) -> dict[str, Any]:
    """What every stock pipeline is told: embeddings, steps, guidance, size, generator."""
    embeddings = {
        "prompt_embeds": prompt.embeds,
        "negative_prompt_embeds": prompt.negative_embeds,
        "pooled_prompt_embeds": prompt.pooled,
        "negative_pooled_prompt_embeds": prompt.negative_pooled,
    }
    return {
        **{name: tensor[None] for name, tensor in embeddings.items() if tensor is not None},
        "num_inference_steps": config.speed.steps,
        "guidance_scale": config.speed.guidance_scale,
        "width": config.base.width,
        "height": config.base.height,
        "generator": context.generator("motion", 0),
        "output_type": "latent",
    }


def parts(context: RunContext) -> dict[str, Any]:
    """The networks that every stock pipeline has."""
    models = context.models
    stack = models.text_stack()
    found: dict[str, Any] = {"vae": models.vae(), "scheduler": models.scheduler()}
    for name, encoder, tokenizer in zip(("", "_2"), stack.encoders, stack.tokenizers, strict=False):
        found |= {f"text_encoder{name}": encoder, f"tokenizer{name}": tokenizer}
    return found


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("scale", [1.0, 3.0], ids=["without CFG", "with CFG"])
@pytest.mark.parametrize("sampler", list(Sampler))
def test_our_loop_is_diffusers_animatediff_for_sdxl(
    families: dict[str, Path], tmp_path: Path, sampler: Sampler, scale: float
) -> None:
    config = settings("sdxl", sampler, scale, frames=4)
    context, prompt = prepared(families["sdxl"], "sdxl", config, tmp_path)
    latents = ours(prompt, None, config, context)
    # diffusers' own conversion drops the pooled text, so it is given ours.
    stock = quiet(
        AnimateDiffSDXLPipeline(unet=context.models.motion_unet(), motion_adapter=None, **parts(context))
    )
    given = asked(prompt, config, context)
    expected = stock(latents=start(config, context), num_frames=4, **given).frames[0]
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=0)


def test_our_loop_is_diffusers_animatediff_for_sd2(families: dict[str, Path], tmp_path: Path) -> None:
    config = settings("sd2", Sampler.dpmpp_2m_karras, 3.0, frames=4)
    context, prompt = prepared(families["sd2"], "sd2", config, tmp_path)
    latents = ours(prompt, None, config, context)
    stock = quiet(
        AnimateDiffPipeline(
            unet=context.models.motion_unet(),
            motion_adapter=None,
            feature_extractor=None,
            image_encoder=None,
            **parts(context),
        )
    )
    given = asked(prompt, config, context)
    expected = stock(latents=start(config, context), num_frames=4, **given).frames[0]
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=0)


# One frame


def still(context: RunContext) -> RunContext:
    """Silence the temporal layers."""
    with torch.no_grad():
        for name, parameter in context.models.motion_unet().named_parameters():
            if "motion_modules" in name and "proj_out" in name:
                parameter.zero_()
    return context


def mapped(
    prompt: Prompt, kinds: list[ControlKind], config: VideoConfig, context: RunContext
) -> ControlTrack:
    """Random maps, as if read from the keyframe."""
    config.control = ControlConfig(kinds=kinds, scale={"pose": 0.7, "depth": 0.4, "canny": 0.9})
    pixels = np.random.default_rng(1).integers(
        0, 256, (len(kinds), tiny_networks.SIZE, tiny_networks.SIZE, 3), np.uint8
    )
    maps = {kind.value: one for kind, one in zip(kinds, pixels, strict=True)}
    parent = keyframe.render(prompt, config, context).node
    node = Node.after([parent], "control", {}, code="", environment={}).made(arrays_hash(maps))
    return ControlTrack(maps=maps, notes=(), node=node)


def unguarded(context: RunContext) -> Any:
    """The 2D UNet, free to take what our own code never gives it."""
    unet = context.models.unet()
    unet._forward_pre_hooks.clear()
    return unet


def hints(track: ControlTrack, kinds: list[ControlKind]) -> list[Tensor]:
    return [torch.from_numpy(track.maps[kind.value]).permute(2, 0, 1)[None].float() / 255 for kind in kinds]


@pytest.mark.parametrize(
    ("kind", "kinds", "scale"),
    [
        ("sdxl", [ControlKind.pose], 1.0),
        ("sdxl", [ControlKind.depth, ControlKind.pose], 3.0),
        ("sd2", [ControlKind.depth, ControlKind.pose], 3.0),
    ],
    ids=["sdxl, one, without CFG", "sdxl, two, with CFG", "sd2, two, with CFG"],
)
def test_one_still_frame_is_that_of_diffusers_controlnet_pipeline(
    families: dict[str, Path],
    tmp_path: Path,
    kind: tiny_networks.FamilyKind,
    kinds: list[ControlKind],
    scale: float,
) -> None:
    config = settings(kind, Sampler.dpmpp_2m_karras, scale, frames=1)
    context, prompt = prepared(families[kind], kind, config, tmp_path)
    track = mapped(prompt, kinds, config, context)
    latents = ours(prompt, track, config, still(context))
    networks = [ControlNetModel.from_pretrained(families[kind] / f"controlnet_{one.value}") for one in kinds]
    unet = unguarded(context)
    if kind == "sdxl":
        stock: Any = StableDiffusionXLControlNetPipeline(unet=unet, controlnet=networks, **parts(context))
    else:
        more: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
        stock = StableDiffusionControlNetPipeline(
            unet=unet, controlnet=networks, requires_safety_checker=False, **more, **parts(context)
        )
    expected = quiet(stock)(
        image=hints(track, kinds),
        latents=start(config, context)[:, :, 0],
        controlnet_conditioning_scale=[config.control.scale[one.value] for one in kinds],
        **asked(prompt, config, context),
    ).images[0]
    torch.testing.assert_close(latents[:, 0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kinds", "scale"),
    [([ControlKind.canny], 3.0), ([ControlKind.depth, ControlKind.pose], 1.0)],
    ids=["one, with CFG", "two, without CFG"],
)
def test_one_still_frame_is_that_of_diffusers_union_pipeline(
    families: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[ControlKind],
    scale: float,
) -> None:
    config = settings("sdxl", Sampler.dpmpp_2m_karras, scale, frames=1)
    context, prompt = prepared(families["sdxl"], "sdxl", config, tmp_path)
    track = mapped(prompt, kinds, config, context)
    config.control.network = ControlNetwork.union
    network = union(families["sdxl"])
    row = replace(registry.any_row("controlnet-union-sdxl"), families=(Family.nano,), sha256={}, sizes={})
    rows = (*registry.shipped(), row)
    monkeypatch.setattr(registry, "shipped", lambda: rows)
    context.models._folders[row.id] = tmp_path / "union"
    network.save_pretrained(tmp_path / "union")
    latents = ours(prompt, track, config, still(context))
    stock = StableDiffusionXLControlNetUnionPipeline(
        unet=unguarded(context), controlnet=network, **parts(context)
    )
    expected = quiet(stock)(
        control_image=hints(track, kinds),
        control_mode=[TYPES[kind] for kind in kinds],
        latents=start(config, context)[:, :, 0],
        controlnet_conditioning_scale=[config.control.scale[one.value] for one in kinds],
        **asked(prompt, config, context),
    ).images[0]
    torch.testing.assert_close(latents[:, 0], expected, atol=1e-4, rtol=0)
    assert set(context.models.weights_hash("controlnet_union")) == {"controlnet_union"}


def union(family: Path) -> Any:
    network = loud(tiny_checkpoints.union(UNet2DConditionModel.load_config(family / "unet")))
    nn.init.normal_(network.spatial_ch_projs.weight, std=0.3)
    return network
