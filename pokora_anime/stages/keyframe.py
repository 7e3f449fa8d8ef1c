"""Text to image with the base: the internally generated still that a clip starts from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from pokora_anime.config.identity import part
from pokora_anime.config.schema import RunConfig, StillsConfig
from pokora_anime.context import RunContext
from pokora_anime.devices.plan import Plan
from pokora_anime.models import schedulers
from pokora_anime.nano import crisp
from pokora_anime.provenance.code import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.folder import Arrays
from pokora_anime.provenance.hashing import Json, arrays_hash
from pokora_anime.provenance.node import Node
from pokora_anime.records import Keyframe, Noise, Prompt, Still
from pokora_anime.stages import denoise as segments
from pokora_anime.stages import guidance, noise, pictures, upscale
from pokora_anime.stages.denoise import Guidance
from pokora_anime.stages.guidance import combine
from pokora_anime.stages.less import Steps, with_less
from pokora_anime.stages.pictures import decode_chunks
from pokora_anime.stages.sound import require_finite


def render(prompt: Prompt, config: RunConfig, context: RunContext, attempt: int = 0) -> Keyframe:
    """The clip's keyframe; each `attempt` has its own noise. Written to keyframe.png."""
    return _render(prompt, config, context, ("keyframe", attempt), "keyframe.png")


def deliver(still: Keyframe, config: StillsConfig, context: RunContext) -> Still:
    """A still cropped and scaled to its delivered size."""
    larger = upscale.crisp(config, context)
    image = still.image if larger is None else crisp.steepened(larger(still.image))
    image = pictures.fitted(image, config.finish)
    node = Node.after(
        [still.node],
        "still",
        {"finish": part(config.finish)},
        weights=upscale.weights(config, context),
        code=code_hash(sys.modules[__name__], pictures, upscale, crisp),
        environment=environment(context),
    ).made(arrays_hash({"image": image}))
    context.folder.note_node(node)
    return Still(image=image, node=node)


def render_still(prompt: Prompt, index: int, config: RunConfig, context: RunContext) -> Keyframe:
    """The still of that index, made as a keyframe is; the caller names and writes its file."""
    return _render(prompt, config, context, ("still", index), None)


def _render(
    prompt: Prompt, config: RunConfig, context: RunContext, names: tuple[str, int], file: str | None
) -> Keyframe:
    start = noise.for_picture(names, context)
    context.progress.stage(names[0], total=config.speed.steps, detail=f"{names[1] + 1}" if names[1] else "")

    def under(plan: Plan) -> Node:
        return _node(prompt, start, config, context, names, plan)

    node, stored = context.execution.stored(context.folder, under)
    if stored is None:
        steps = Steps(lambda: _step(context))
        arrays = with_less(names[0], lambda: _compute(prompt, start, config, context, names, steps), context)
        node = context.folder.save(under(context.execution.plan), arrays)
    else:
        arrays, node = stored, context.folder.recorded(node)
        for _ in range(config.speed.steps):
            context.progress.step("kept")
    if file is not None:
        context.folder.write_image(file, arrays["image"], node, "image")
    return Keyframe(latent=torch.from_numpy(arrays["latent"]), image=arrays["image"], node=node)


def _compute(
    prompt: Prompt,
    start: Noise,
    config: RunConfig,
    context: RunContext,
    names: tuple[str, int],
    steps: Steps,
) -> Arrays:
    """A picture and its latent."""
    steps.begin()
    context.models.hold(context.execution.plan)
    with torch.inference_mode(), context.autocast():
        latent = denoise(prompt, start, config, context, context.generator(*_steps(names)), steps.step)
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
) -> Tensor:
    """The denoised latent [channels, height, width], float32 on the CPU, scaled as the UNet knows it.

    `generator` is for the schedulers that draw noise at every step.
    """
    scheduler = context.models.scheduler()
    scheduler.set_timesteps(config.speed.steps, device=context.device)
    latents = start.values[None].to(context.device) * scheduler.init_noise_sigma
    guided = Guidance.of(config.speed)
    for step, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(latents, timestep)
        predicted = _predict(scaled, timestep, prompt, config, context, guided.on(step, config.speed.steps))
        latents = scheduler.step(predicted, timestep, latents, generator=generator, return_dict=False)[0]
        on_step()
    return require_finite(latents[0].float().cpu(), "keyframe")


def _predict(
    latents: Tensor, timestep: Tensor, prompt: Prompt, config: RunConfig, context: RunContext, guided: bool
) -> Tensor:
    """The UNet's prediction float32 [1, channels, height, width], guided or conditional alone."""
    negative, positive = (prompt.negative_embeds, prompt.negative_pooled), (prompt.embeds, prompt.pooled)

    def ask(rows: list[tuple[Tensor, Tensor | None]]) -> Tensor:
        return _ask(latents, timestep, rows, config, context)

    if not guided:
        return ask([positive])
    if config.speed.guidance_batched and not context.execution.plan.sequential:
        unconditional, conditional = ask([negative, positive]).chunk(2)
    else:
        unconditional, conditional = ask([negative]), ask([positive])
    return combine(unconditional, conditional, config.speed.guidance_scale)


def _ask(
    latents: Tensor,
    timestep: Tensor,
    rows: list[tuple[Tensor, Tensor | None]],
    config: RunConfig,
    context: RunContext,
) -> Tensor:
    """One pass of the UNet over rows of (embeddings, pooled): float32 [rows, channels, height, width]."""
    device, dtype = context.device, context.models.dtype
    pooled = [row for _, row in rows if row is not None]
    added = None
    if pooled:  # SDXL is told the picture's size and that nothing was cropped (arXiv 2307.01952, 2.2)
        size = [config.base.height, config.base.width]
        time_ids = torch.tensor([[*size, 0, 0, *size]] * len(rows))
        added = {
            "text_embeds": torch.stack(pooled).to(device, dtype),
            "time_ids": time_ids.to(device, dtype),
        }
    return context.models.unet()(
        latents.to(dtype).expand(len(rows), -1, -1, -1),
        timestep,
        encoder_hidden_states=torch.stack([embeds for embeds, _ in rows]).to(device, dtype),
        added_cond_kwargs=added,
        return_dict=False,
    )[0].float()


def _steps(names: tuple[str, int]) -> tuple[str | int, ...]:
    """The names of the generator that the steps of this picture draw from."""
    return (*names, "steps")


def _node(
    prompt: Prompt,
    start: Noise,
    config: RunConfig,
    context: RunContext,
    names: tuple[str, int],
    plan: Plan,
) -> Node:
    return Node.after(
        [prompt.node, start.node],
        "keyframe",
        {
            "part": list[Json](names),
            "seed": context.seed,
            "generator": list[Json](_steps(names)),
            "size": [config.base.width, config.base.height],
            "speed": asdict(config.speed) | {"sampler": config.speed.sampler.value},
            "loras": dict(context.models.lora_weights),
        },
        weights=context.models.weights_hash("unet") | context.models.weights_hash("vae"),
        code=code_hash(sys.modules[__name__], guidance, pictures, schedulers, segments),
        environment=environment(context) | plan.denoising,
    )
