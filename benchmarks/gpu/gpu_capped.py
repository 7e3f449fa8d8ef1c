"""SDXL on a card whose memory is capped: the plan for that much memory, held to it by the allocator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmarks.gpu import full_size
from benchmarks.gpu.gpu_arms import CHUNK, FRAMES, GUIDED, STEPS, Setting
from pokora_anime.devices.forecast.plan import Forecast, first_fitting, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import described
from pokora_anime.networks.placement import Turns, place
from pokora_anime.schema.settings import DeviceConfig, Family
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.motion.conditioning import Condition, Guidance
from pokora_anime.stages.motion.denoiser import SegmentDenoiser
from pokora_anime.stages.motion.sampler_loop import sample


def planned(setting: Setting, gigabytes: float) -> Forecast:
    """The plan for one segment with two ControlNets and guidance on a card of so many GB."""
    job = Job(
        family=Family.sdxl,
        width=setting.side,
        height=setting.side,
        frames=FRAMES,
        segments=1,
        pictures=0,
        steps=STEPS,
        guided=1.0,
        batched=True,
        controls=2,
        decode_chunk=CHUNK,
    )
    card = described(DeviceConfig(memory_gb=gigabytes), bf16=False)
    steps = ladder(job, card)
    return steps[first_fitting(steps, card.memory)]


def capped(setting: Setting, gigabytes: float) -> Callable[[], None]:
    """Networks made in the host's memory and held as that plan says; what is returned makes a segment."""
    plan = planned(setting, gigabytes).plan
    before = torch.get_default_dtype()
    torch.set_default_dtype(setting.dtype)
    try:
        nets = full_size.build("sdxl")
        networks: list[Any] = [nets.motion(), nets.controlnet(), nets.controlnet()]
    finally:
        torch.set_default_dtype(before)
    turns, to = Turns(setting.device), {"device": setting.device, "dtype": setting.dtype}
    unet, *controls = (place(one, setting.device, setting.dtype, plan, turns) for one in networks)
    vae: Any = nets.vae.to(**to).eval()
    latent = setting.side // 8
    size = [setting.side, setting.side]
    condition = Condition(
        embeds_BTD=torch.randn(2, 77, 2048).to(**to),
        pooled_BD=torch.randn(2, 1280).to(**to),
        time_ids_BD=torch.tensor([[*size, 0, 0, *size]] * 2).to(**to),
    )

    def run() -> None:
        from benchmarks.gpu.gpu_arms import scheduler

        euler = scheduler()
        euler.set_timesteps(STEPS, device=setting.device)
        euler.set_begin_index(0)
        hint = torch.rand(3, setting.side, setting.side, device=setting.device)
        with torch.inference_mode():
            denoiser = SegmentDenoiser(
                unet=unet,
                timesteps=euler.timesteps,
                condition=condition,
                guidance=replace(Guidance(scale=GUIDED), batched=not plan.sequential),
                frame_weight_F=torch.ones(FRAMES, device=setting.device),
                controls=[
                    ControlSource(one, hint, scale=0.5, start=0.0, end=1.0, dtype=setting.dtype)
                    for one in controls
                ],
            )
            noise = torch.randn(1, 4, FRAMES, latent, latent).to(setting.device)
            latents = sample(denoiser, euler, noise, None, torch.Generator("cpu"))
            for part in latents[0].transpose(0, 1).split(min(plan.decode_chunk or CHUNK, CHUNK)):
                vae.decode((part / vae.config["scaling_factor"]).to(setting.dtype)).sample.cpu()

    return run
