"""Text to image with the base: the internally generated still that a clip starts from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.nano import crisp
from pokora_anime.networks import schedulers
from pokora_anime.networks.finishing import pixels, upscaler
from pokora_anime.networks.schedulers import StepScheduler
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json, arrays_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.seed_noise import PICTURE
from pokora_anime.provenance.stage_records import ControlTrack, Keyframe, Noise, Prompt, Still
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.stages.cached_stage import cached_under_plan
from pokora_anime.stages.control import control_source, controlnets, map_embedding
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.delivery import upscale
from pokora_anime.stages.denoising import (
    anchor,
    conditioning,
    denoiser,
    guidance,
    noise_levels,
    reference_attention,
    sampler_loop,
    segment_conditions,
    tiles,
)
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.denoiser import PictureDenoiser
from pokora_anime.stages.denoising.sampler_loop import sample
from pokora_anime.stages.denoising.segment_conditions import condition
from pokora_anime.stages.picture import decode, identity, initial_noise
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.picture.identity import Identity, Seen
from pokora_anime.stages.picture.retry_smaller import Steps, with_less
from pokora_anime.stages.picture.sound_numbers import require_finite
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array


def render(
    prompt: Prompt, config: RunConfig, context: RunContext, attempt: int = 0, like: Identity | None = None
) -> Keyframe:
    """The clip's keyframe; each `attempt` has its own noise. Written to keyframe.png.

    It is drawn attending to the identity that it is to be `like`.
    """
    picture = _Picture(prompt, (PICTURE, attempt), "keyframe.png", like=like)
    return _render(picture, config, context)


def redraw(
    prompt: Prompt,
    under: ControlTrack,
    config: VideoConfig,
    context: RunContext,
    attempt: int = 0,
    like: Identity | None = None,
) -> Keyframe:
    """The keyframe of an attempt anew, from the same noise, under a map of each kind: the pose that the clip
    begins in.

    Written to keyframe.png in the first one's place.
    """
    return _render(_Picture(prompt, (PICTURE, attempt), "keyframe.png", under, like), config, context)


def deliver(still: Keyframe, config: StillsConfig, context: RunContext) -> Still:
    """A still cropped and scaled to its delivered size."""
    larger = upscale.crisp(config, context)
    image = still.image if larger is None else crisp.steepened(larger(still.image))
    image = decode.fitted(image, config.finish)
    node = Node.after(
        [still.node],
        "still",
        {"finish": part(config.finish)},
        weights=upscale.weights(config, context),
        code=code_hash(sys.modules[__name__], decode, upscale, crisp, pixels, tiles, upscaler),
        environment=environment(context),
    ).made(arrays_hash({"image": image}))
    context.folder.note_node(node)
    return Still(image=image, node=node)


def render_still(prompt: Prompt, config: StillsConfig, context: RunContext) -> Keyframe:
    """The picture that is the keyframe of a clip with this seed; the caller names and writes its file.

    `config` and `context` are the still's own (config/stills.py).
    """
    return _render(_Picture(prompt, (PICTURE, 0), None), config, context)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture to draw: its name in the run and its file, and the maps that it is drawn under if any."""

    prompt: Prompt
    names: tuple[str, int]
    file: str | None
    under: ControlTrack | None = None
    like: Identity | None = None

    @property
    def op(self) -> str:
        return "keyframe" if self.under is None else "redrawn"

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The names of the generator that its steps draw from."""
        return (*self.names, "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a picture is drawn with beside its prompt: ControlNets with their maps, an identity."""

    controls: Sequence[ControlSource] = ()
    like: Identity | None = None


ALONE = Beside()


def _render(picture: _Picture, config: RunConfig, context: RunContext) -> Keyframe:
    start, (name, index) = initial_noise.for_picture(picture.names, context), picture.names
    detail = f"seed {context.seed}" if picture.file is None else f"{index + 1}" if index else ""
    if picture.under is not None:
        detail = "posed"
    context.progress.stage(name, total=config.speed.steps, detail=detail)

    def under(plan: Plan) -> Node:
        return _node(picture, start, config, context, plan)

    def compute() -> Arrays:
        steps = Steps(lambda: _step(context))
        return with_less(name, lambda: _compute(picture, start, config, context, steps), context)

    stage = cached_under_plan(under, compute, context)
    arrays, node = stage.arrays, stage.node
    for _ in range(config.speed.steps if stage.kept else 0):
        context.progress.step("kept")
    if picture.file is not None:
        context.folder.write_image(picture.file, arrays["image"], node, "image")
    return Keyframe(latent=from_array(arrays["latent"]), image=arrays["image"], node=node)


def _compute(picture: _Picture, start: Noise, config: RunConfig, context: RunContext, steps: Steps) -> Arrays:
    """A picture and its latent."""
    steps.begin()
    context.models.hold(context.execution.plan)
    with torch.inference_mode(), context.autocast():
        controls: Sequence[ControlSource] = ()
        if picture.under is not None:
            assert isinstance(config, VideoConfig)
            controls = controlnets.of(picture.under, config, context)
        generator = context.generator(*picture.steps)
        beside = Beside(controls=controls, like=picture.like)
        latent = denoise(picture.prompt, start, config, context, generator, steps.step, beside)
        (image,) = decode_chunks(latent[:, None], 1, context)
    return {"latent": latent.numpy(), "image": image}


def _step(context: RunContext) -> None:
    context.timeline.mark("first step")
    context.progress.step()


def denoise(
    prompt: Prompt,
    start: Noise,
    config: RunConfig,
    context: RunContext,
    generator: torch.Generator,
    on_step: Callable[[], None] = lambda: None,
    beside: Beside = ALONE,
) -> Tensor:
    """The denoised latent [channels, height, width], float32 on the CPU, scaled as the UNet knows it.

    `generator` is for the schedulers that draw noise at every step.
    """
    scheduler = context.models.scheduler()
    scheduler.set_timesteps(config.speed.steps, device=context.device)
    guided = Guidance.of(config.speed)
    unet, noise = context.models.unet(), start.values[None].to(context.device)
    seen = None if beside.like is None else Seen(beside.like, unet, _levels(config, context), noise)
    denoiser = PictureDenoiser(
        unet=unet,
        timesteps=scheduler.timesteps,
        condition=condition(prompt, (config.base.height, config.base.width), context),
        guidance=replace(guided, batched=guided.batched and not context.execution.plan.sequential),
        controls=beside.controls,
        beside=None if seen is None else seen.beside,
    )
    try:
        latents = sample(denoiser, scheduler, noise, None, generator, lambda _: on_step())
    finally:
        if seen is not None:
            seen.close()
    return require_finite(latents[0].float().cpu(), "keyframe")


def _levels(config: RunConfig, context: RunContext) -> StepScheduler:
    """A scheduler that makes no steps."""
    scheduler = context.models.scheduler()
    scheduler.set_timesteps(config.speed.steps, device=context.device)
    return scheduler


def _node(picture: _Picture, start: Noise, config: RunConfig, context: RunContext, plan: Plan) -> Node:
    params: dict[str, Json] = {
        "part": list[Json](picture.names),
        "seed": context.seed,
        "generator": list[Json](picture.steps),
        "size": [config.base.width, config.base.height],
        "speed": asdict(config.speed) | {"sampler": config.speed.sampler.value},
        "loras": dict(context.models.lora_weights),
    }
    parents = [picture.prompt.node, start.node, *([] if picture.like is None else [picture.like.node])]
    weights = context.models.weights_hash("unet") | context.models.weights_hash("vae")
    if picture.under is not None:
        assert isinstance(config, VideoConfig)
        params["control"] = controlnets.recorded(picture.under, config)
        parents.append(picture.under.node)
        for role in controlnets.roles(picture.under, config):
            weights |= context.models.weights_hash(role)
    return Node.after(
        parents,
        picture.op,
        params,
        weights=weights,
        code=code_hash(
            sys.modules[__name__],
            anchor,
            conditioning,
            control_source,
            controlnets,
            decode,
            denoiser,
            guidance,
            identity,
            map_embedding,
            noise_levels,
            reference_attention,
            sampler_loop,
            schedulers,
            segment_conditions,
        ),
        environment=environment(context) | plan.denoising,
    )
