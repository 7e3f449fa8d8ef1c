"""Cross-attention to a text that all frames share: the same numbers, computed once a segment."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from support import tiny_networks
from torch import Tensor, nn

from pokora_anime.devices.forecast.plan import Offload, Plan
from pokora_anime.networks.placement import Turns, place
from pokora_anime.networks.repeat_text_per_frame import told
from pokora_anime.schema.settings import ControlKind
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.anchor import Anchor
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.noise_levels import NoiseLevels
from pokora_anime.stages.denoising.reference_attention import Reference
from pokora_anime.stages.denoising.sampler_loop import sample
from pokora_anime.stages.denoising.tiles import Tiled, cover

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


@contextmanager
def counted(network: Any) -> Iterator[Sequence[int]]:
    """How many texts each call of a cross-attention's `to_k` was given, of the first one of the network."""
    first = next(
        module.attn2.to_k
        for name, module in network.named_modules()
        if hasattr(module, "attn2") and "motion_modules" not in name
    )
    seen: list[int] = []

    def count(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        del module
        seen.append(len(given[0]))

    handle = first.register_forward_pre_hook(count)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("offload", list(Offload))
def test_the_latents_are_those_of_one_text_a_frame(
    stock: Networks, batched: bool, anchored: bool, offload: Offload
) -> None:
    guidance = Guidance(scale=3.0, end=0.75, batched=batched)
    expected = segments(copy.deepcopy(stock), guidance, anchored=anchored)
    found = segments(placed(stock, offload), guidance, anchored=anchored)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_tiles_share_their_text_too(stock: Networks) -> None:
    guidance = Guidance(scale=3.0)
    networks = placed(stock)
    expected = segments(copy.deepcopy(stock), guidance, tiled=True)
    with counted(networks.unet) as seen:
        found = segments(networks, guidance, tiled=True)
    torch.testing.assert_close(found[1], expected[1], atol=1e-6, rtol=1e-6)
    assert seen == [2, 2]


@pytest.mark.parametrize(("batched", "texts"), [(True, [2, 1]), (False, [1, 1])])
def test_keys_are_computed_once_a_segment(stock: Networks, batched: bool, texts: list[int]) -> None:
    guidance = Guidance(scale=3.0, end=0.75, batched=batched)
    networks = placed(stock)
    with counted(networks.unet) as moving, counted(networks.control) as steering:
        segments(networks, guidance)
    assert moving == 2 * texts
    assert steering == 2 * ([2] if batched else [1, 1])  # it acts while guidance does


def test_streamed_layers_take_part_in_every_pass(stock: Networks) -> None:
    networks = placed(stock, Offload.group)
    with counted(networks.unet) as seen:
        segments(networks, Guidance(scale=3.0), count=1)
    assert seen == [2] * STEPS


def test_networks_of_others_are_told_the_text_for_each_frame(stock: Networks) -> None:
    text = torch.randn(2, 7, 3)
    assert torch.equal(told(stock.unet, text, FRAMES), text.repeat_interleave(FRAMES, dim=0))
    assert told(placed(stock).unet, text, FRAMES) is text


def test_a_text_in_new_memory_is_another_text(stock: Networks) -> None:
    networks = placed(stock)
    guidance = Guidance(scale=1.0)
    first, second = segments(networks, guidance)
    again = segments(networks, guidance)
    assert torch.equal(again[0], first) and torch.equal(again[1], second)
    assert not torch.equal(first, second)
