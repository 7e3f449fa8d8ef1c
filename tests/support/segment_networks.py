"""Tiny SDXL-shaped networks of a segment: placed on a plan, with an anchor, a text and a control map."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from pokora_anime.devices.forecast.plan import Offload, Plan
from pokora_anime.networks.placement import Turns, place
from pokora_anime.schema.settings import ControlKind
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.anchor import Anchor
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.noise_levels import NoiseLevels
from pokora_anime.stages.denoising.reference_attention import Reference
from pokora_anime.stages.denoising.sampler_loop import sample
from pokora_anime.stages.denoising.tiles import Tiled, cover
from support import tiny_networks

CPU, FRAMES, SIDE, STEPS = torch.device("cpu"), 4, 4, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """A motion UNet and a ControlNet."""

    unet: Any
    control: Any


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """As diffusers has them: no processor of ours."""
    models = tiny_networks.models(tiny_networks.family(tmp_path_factory.mktemp("family")))
    networks = Networks(unet=models.motion_unet(), control=models.controlnet(ControlKind.pose))
    for one in (networks.unet, networks.control):
        one.set_attn_processor(AttnProcessor2_0())
        one.shares_text = False
    return networks


def placed(networks: Networks, offload: Offload = Offload.none) -> Networks:
    plan, turns = Plan(offload=offload), Turns(CPU)
    copies = copy.deepcopy((networks.unet, networks.control))
    unet, control = (place(one, CPU, torch.float32, plan, turns) for one in copies)
    return Networks(unet=unet, control=control)


def scheduler() -> Any:
    found = DPMSolverMultistepScheduler()
    found.set_timesteps(STEPS)
    found.set_begin_index(0)
    return found


def anchor(unet: Any) -> Anchor:
    torch.manual_seed(4)
    return Anchor(
        latent=torch.randn(1, 4, 1, SIDE, SIDE),
        frame=None,
        reference=Reference(unet, 2.0),
        ahead=0,
        levels=NoiseLevels(scheduler=scheduler()),
    )


def condition() -> Condition:
    return Condition(
        embeds_BTD=torch.randn(2, 7, 2 * tiny_networks.TEXT),
        pooled_BD=torch.randn(2, tiny_networks.TEXT),
        time_ids_BD=torch.ones(2, 6) * tiny_networks.SIZE,
    )


def segments(
    networks: Networks, guidance: Guidance, *, anchored: bool = False, tiled: bool = False, count: int = 2
) -> list[Tensor]:
    """Latents of segments, each with a prompt of its own."""
    beside = anchor(networks.unet) if anchored else None
    unet = Tiled(networks.unet, cover((SIDE, SIDE), (SIDE, SIDE))) if tiled else networks.unet
    found: list[Tensor] = []
    for seed in range(count):
        torch.manual_seed(seed)
        text = condition()
        with torch.inference_mode():
            hint = torch.rand(3, 8 * SIDE, 8 * SIDE)
            steered = ControlSource(
                networks.control, hint, scale=0.7, start=0.0, end=0.5, dtype=torch.float32
            )
            steps = scheduler()
            denoiser = SegmentDenoiser(
                unet=unet,
                timesteps=steps.timesteps,
                condition=text,
                guidance=guidance,
                frame_weight_F=torch.ones(FRAMES),
                controls=[steered],
                anchor=beside,
            )
            noise = torch.randn(1, 4, FRAMES, SIDE, SIDE)
            latents = sample(denoiser, steps, noise, None, torch.Generator())
        found.append(latents)
    return found
