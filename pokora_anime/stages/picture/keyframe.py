"""Text to image with the base: the internally generated still that a clip starts from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.nano import crisp
from pokora_anime.networks import schedulers
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json, arrays_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import ControlTrack, Keyframe, Noise, Prompt, Still
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.stages.control import controlnets, map_embedding
from pokora_anime.stages.delivery import upscale
from pokora_anime.stages.motion import denoise as segments
from pokora_anime.stages.motion import guidance
from pokora_anime.stages.motion.denoise import ControlSource, Guidance
from pokora_anime.stages.motion.guidance import combine
from pokora_anime.stages.picture import decode, initial_noise
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.picture.retry_smaller import Steps, with_less
from pokora_anime.stages.picture.sound_numbers import require_finite
from pokora_anime.stages.run_context import RunContext

_Text = tuple[Tensor, Tensor | None]  # embeddings and pooled


def render(prompt: Prompt, config: RunConfig, context: RunContext, attempt: int = 0) -> Keyframe:
    """The clip's keyframe; each `attempt` has its own noise. Written to keyframe.png."""
    return _render(_Picture(prompt, ("keyframe", attempt), "keyframe.png"), config, context)


def redraw(prompt: Prompt, under: ControlTrack, config: VideoConfig, context: RunContext) -> Keyframe:
    """The keyframe anew, from the same noise, under a map of each kind: the pose that the clip begins in.

    Written to keyframe.png in the first one's place.
    """
    return _render(_Picture(prompt, ("keyframe", 0), "keyframe.png", under), config, context)


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
        code=code_hash(sys.modules[__name__], decode, upscale, crisp),
        environment=environment(context),
    ).made(arrays_hash({"image": image}))
    context.folder.note_node(node)
    return Still(image=image, node=node)


def render_still(prompt: Prompt, config: StillsConfig, context: RunContext) -> Keyframe:
    """The picture that is the keyframe of a clip with this seed; the caller names and writes its file.

    `config` and `context` are the still's own (config/stills.py).
    """
    return _render(_Picture(prompt, ("keyframe", 0), None), config, context)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture to draw: its name in the run and its file, and the maps that it is drawn under if any."""

    prompt: Prompt
    names: tuple[str, int]
    file: str | None
    under: ControlTrack | None = None

    @property
    def op(self) -> str:
        return "keyframe" if self.under is None else "redrawn"

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The names of the generator that its steps draw from."""
        return (*self.names, "steps")


def _render(picture: _Picture, config: RunConfig, context: RunContext) -> Keyframe:
    start, (name, index) = initial_noise.for_picture(picture.names, context), picture.names
    detail = f"seed {context.seed}" if picture.file is None else f"{index + 1}" if index else ""
    context.progress.stage(name, total=config.speed.steps, detail=detail)

    def under(plan: Plan) -> Node:
        return _node(picture, start, config, context, plan)

    node, stored = context.execution.stored(context.folder, under)
    if stored is None:
        steps = Steps(lambda: _step(context))
        arrays = with_less(name, lambda: _compute(picture, start, config, context, steps), context)
        node = context.folder.save(under(context.execution.plan), arrays)
    else:
        arrays, node = stored, context.folder.recorded(node)
        for _ in range(config.speed.steps):
            context.progress.step("kept")
    if picture.file is not None:
        context.folder.write_image(picture.file, arrays["image"], node, "image")
    return Keyframe(latent=torch.from_numpy(arrays["latent"]), image=arrays["image"], node=node)


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
        latent = denoise(picture.prompt, start, config, context, generator, steps.step, controls)
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
    controls: Sequence[ControlSource] = (),
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
        ask = partial(_ask, scaled, timestep, config, context, controls, step / config.speed.steps)
        predicted = _predict(ask, prompt, config, context, guided.on(step, config.speed.steps))
        latents = scheduler.step(predicted, timestep, latents, generator=generator, return_dict=False)[0]
        on_step()
    return require_finite(latents[0].float().cpu(), "keyframe")


def _predict(
    ask: Callable[[list[_Text]], Tensor],
    prompt: Prompt,
    config: RunConfig,
    context: RunContext,
    guided: bool,
) -> Tensor:
    """The UNet's prediction float32 [1, channels, height, width], guided or conditional alone."""
    negative, positive = (prompt.negative_embeds, prompt.negative_pooled), (prompt.embeds, prompt.pooled)
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
    config: RunConfig,
    context: RunContext,
    controls: Sequence[ControlSource],
    share: float,
    rows: list[_Text],
) -> Tensor:
    """One pass of the UNet over rows of (embeddings, pooled): float32 [rows, channels, height, width].

    `share` of the schedule is behind: whether the controls act follows from it.
    """
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
    given = latents.to(dtype).expand(len(rows), -1, -1, -1)
    embeds = torch.stack([embeds for embeds, _ in rows]).to(device, dtype)
    down, middle = _residuals(controls, share, given, timestep, embeds, added)
    return context.models.unet()(
        given,
        timestep,
        encoder_hidden_states=embeds,
        added_cond_kwargs=added,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
        return_dict=False,
    )[0].float()


def _residuals(
    controls: Sequence[ControlSource],
    share: float,
    given: Tensor,
    timestep: Tensor,
    embeds: Tensor,
    added: dict[str, Tensor] | None,
) -> tuple[tuple[Tensor, ...] | None, Tensor | None]:
    """What the ControlNets that act at this share of the schedule add to the UNet's skips and its middle."""
    total: list[Tensor] | None = None
    for control in controls:
        if control.start <= share < control.end:
            weight = torch.ones(len(given), device=given.device)
            found = control.residuals(given, timestep, embeds, added, weight)
            total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
    return (None, None) if total is None else (tuple(total[:-1]), total[-1])


def _node(picture: _Picture, start: Noise, config: RunConfig, context: RunContext, plan: Plan) -> Node:
    params: dict[str, Json] = {
        "part": list[Json](picture.names),
        "seed": context.seed,
        "generator": list[Json](picture.steps),
        "size": [config.base.width, config.base.height],
        "speed": asdict(config.speed) | {"sampler": config.speed.sampler.value},
        "loras": dict(context.models.lora_weights),
    }
    parents = [picture.prompt.node, start.node]
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
            sys.modules[__name__], controlnets, guidance, map_embedding, decode, schedulers, segments
        ),
        environment=environment(context) | plan.denoising,
    )
