"""What a card would wait for: where the sampling loop asks the host, counted on a processor."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler
from support.segment_networks import (  # noqa: F401  # pyright: ignore
    FRAMES,
    SIDE,
    STEPS,
    Networks,
    anchor,
    condition,
    placed,
    stock,
)
from torch.utils._python_dispatch import TorchDispatchMode

from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.sampler_loop import sample

# Operations whose result the host has to wait for; a copy to the host is one more on a card.
WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "_copy_from_and_resize")


class Waits(TorchDispatchMode):
    """Counts such operations by the file of ours or of diffusers that asked."""

    def __init__(self) -> None:
        super().__init__()
        self.by_file: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if str(func).split(".")[1] in WAITING:
            files = [Path(frame.filename) for frame in traceback.extract_stack()]
            asked = [path for path in files if "torch" not in path.parts and path != Path(__file__)]
            self.by_file[asked[-1].stem] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("maps", [0, 2])
@pytest.mark.parametrize(
    ("make", "own"),
    [
        (DPMSolverMultistepScheduler, {}),
        # Its sigmas lie on the host: nobody waits for a card.
        (EulerDiscreteScheduler, {"scheduling_euler_discrete": 2 * STEPS}),
        (LCMScheduler, {"scheduling_lcm": STEPS}),
    ],
)
def test_a_step_waits_for_the_frames_that_maps_act_on_and_for_nothing_else(
    stock: Networks,  # noqa: F811
    make: Callable[[], Any],
    own: dict[str, int],
    maps: int,
) -> None:
    steps = make()
    steps.set_timesteps(STEPS)
    steps.set_begin_index(0)
    networks = placed(stock)
    with torch.inference_mode():
        hint = torch.rand(3, 8 * SIDE, 8 * SIDE)
        sources = [
            ControlSource(networks.control, hint, scale=0.7, start=0.0, end=1.0, dtype=torch.float32)
            for _ in range(maps)
        ]
        denoiser = SegmentDenoiser(
            unet=networks.unet,
            timesteps=steps.timesteps,
            condition=condition(),
            guidance=Guidance(scale=3.0),
            frame_weight_F=torch.ones(FRAMES),
            controls=sources,
            anchor=anchor(networks.unet),
        )
        noise, known = torch.randn(1, 4, FRAMES, SIDE, SIDE), torch.randn(1, 4, 1, SIDE, SIDE)
        with Waits() as waits:
            sample(denoiser, steps, noise, known, torch.Generator())
    assert waits.by_file == own | ({"control_source": maps * STEPS} if maps else {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_segment_in_the_number_formats_of_cards_is_close_to_fp32(
    stock: Networks,  # noqa: F811
    dtype: torch.dtype,
) -> None:
    found: list[torch.Tensor] = []
    for kept in (torch.float32, dtype):
        networks = placed(stock)
        unet = networks.unet.to(kept)
        torch.manual_seed(1)
        told, steps = condition(), DPMSolverMultistepScheduler()
        steps.set_timesteps(STEPS)
        steps.set_begin_index(0)
        text = type(told)(
            embeds_BTD=told.embeds_BTD.to(kept),
            pooled_BD=None if told.pooled_BD is None else told.pooled_BD.to(kept),
            time_ids_BD=None if told.time_ids_BD is None else told.time_ids_BD.to(kept),
        )
        with torch.inference_mode():
            denoiser = SegmentDenoiser(
                unet=unet,
                timesteps=steps.timesteps,
                condition=text,
                guidance=Guidance(scale=1.0),
                frame_weight_F=torch.ones(FRAMES),
            )
            noise = torch.randn(1, 4, FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
            found.append(sample(denoiser, steps, noise, None, torch.Generator()))
    assert found[1].dtype == torch.float32 and torch.isfinite(found[1]).all()
    apart = (found[1] - found[0]).norm() / found[0].norm()
    assert 0 < apart < (0.02 if dtype is torch.float16 else 0.1)
