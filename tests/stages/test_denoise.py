"""The denoising loop on real tiny SDXL-shaped networks and real schedulers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pokora_anime.schema.settings import MotionConfig, VideoConfig
from pokora_anime.stages.control.control_source import ControlSource, control_residuals
from pokora_anime.stages.control.map_embedding import hint_embedded
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.noise_levels import NoiseFloor, NoiseLevels
from pokora_anime.stages.denoising.sampler_loop import ALONE, Chaining, sample
from pokora_anime.stages.motion.segments import frame_weights, match_statistics
from pokora_anime.timeline.segment_plan import Span, plan

FRAMES, SIZE = 4, 8
SCHEDULERS = {
    "lcm": lambda: LCMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction"),
    "euler": lambda: EulerDiscreteScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction"),
    "dpmpp": lambda: DPMSolverMultistepScheduler(use_karras_sigmas=True, prediction_type="v_prediction"),
}


@pytest.fixture(scope="module")
def networks() -> tuple[UNetMotionModel, ControlNetModel]:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIZE,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2),
        cross_attention_dim=12,
        use_linear_projection=True,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 + 6 * 4,
    )
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
    for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block):
        nn.init.normal_(layer.weight, std=0.5)  # a fresh ControlNet answers zero
    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        use_motion_mid_block=False,
    )
    motion = UNetMotionModel.from_unet2d(unet, adapter)
    motion.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    for name, parameter in motion.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            nn.init.normal_(parameter, std=0.2)  # zero by design when untrained
    return motion.eval(), control.eval()


class Watched(nn.Module):
    """Passes calls on to the real network and keeps what went in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seen = network, list[Tensor]()

    def forward(self, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(sample.clone())
        return self.network(sample, *args, **kwargs)


def condition() -> Condition:
    torch.manual_seed(1)
    return Condition(
        embeds_BTD=torch.randn(2, 5, 12), pooled_BD=torch.randn(2, 6), time_ids_BD=torch.ones(2, 6) * 64
    )


def noise() -> Tensor:
    return torch.randn(1, 4, FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def run(unet: nn.Module, scheduler: Any, known: Tensor | None, steps: int = 3, **changes: Any) -> Tensor:
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    options: dict[str, Any] = {"guidance": Guidance(scale=2.0), "controls": [], **changes}
    with torch.inference_mode():
        denoiser = SegmentDenoiser(
            unet=unet,
            timesteps=scheduler.timesteps,
            condition=condition(),
            guidance=options["guidance"],
            frame_weight_F=torch.ones(FRAMES),
            controls=options["controls"],
        )
        generator, chaining = torch.Generator().manual_seed(3), options.get("chaining", ALONE)
        return sample(denoiser, scheduler, noise(), known, generator, chaining=chaining)


def predicted(
    unet: Any, given: Condition, guidance: Guidance, step: int, controls: list[ControlSource]
) -> Tensor:
    """What a denoiser predicts of noise at one of four steps."""
    denoiser = SegmentDenoiser(
        unet=unet,
        timesteps=torch.tensor([500] * 4),
        condition=given,
        guidance=guidance,
        frame_weight_F=torch.ones(FRAMES),
        controls=controls,
    )
    with torch.inference_mode():
        return denoiser(noise(), step, noise())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_frames_survive_denoising(networks: Any, name: str) -> None:
    known = torch.randn(1, 4, 2, SIZE, SIZE)
    latents = run(networks[0], SCHEDULERS[name](), known)
    assert torch.equal(latents[:, :, :2], known)
    assert latents.isfinite().all()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_frames_enter_every_step_at_that_steps_noise_level(networks: Any, name: str) -> None:
    watched, scheduler = Watched(networks[0]), SCHEDULERS[name]()
    known = torch.randn(1, 4, 1, SIZE, SIZE)
    run(watched, scheduler, known, steps=4)
    for step, seen in enumerate(watched.seen):
        expected = at_level(scheduler, step, known, noise()[:, :, :1])
        torch.testing.assert_close(seen[:1, :, :1], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("ahead", [2, 4])
def test_known_frames_are_never_seen_noisier_than_asked(networks: Any, name: str, ahead: int) -> None:
    watched, scheduler, other = Watched(networks[0]), SCHEDULERS[name](), SCHEDULERS[name]()
    other.set_timesteps(4)
    known, tail = torch.randn(1, 4, 1, SIZE, SIZE), torch.randn(1, 4, 1, SIZE, SIZE)
    chaining = Chaining(tail=tail, floor=NoiseFloor(step=ahead, levels=NoiseLevels(scheduler=other)))
    latents = run(watched, scheduler, known, steps=4, chaining=chaining)
    assert torch.equal(latents[:, :, :1], known)
    assert torch.equal(latents[:, :, -1:], tail)
    for step, seen in enumerate(watched.seen):
        for place, picture in ((slice(0, 1), known), (slice(-1, None), tail)):
            expected = at_level(scheduler, max(step, ahead), picture, noise()[:, :, place])
            torch.testing.assert_close(seen[:1, :, place], expected, atol=1e-4, rtol=1e-4)


def at_level(scheduler: Any, step: int, picture: Tensor, noise: Tensor) -> Tensor:
    """A picture noised to a step of the scheduler, of unit variance; clean after the last one."""
    if step == len(scheduler.timesteps):
        return picture
    if isinstance(scheduler, LCMScheduler):
        kept = scheduler.alphas_cumprod[scheduler.timesteps[step]]
        return kept**0.5 * picture + (1 - kept) ** 0.5 * noise
    ratio = scheduler.sigmas[step]
    return (picture + ratio * noise) / (1 + ratio**2) ** 0.5


def test_known_frames_change_the_unknown_ones(networks: Any) -> None:
    one, other = (
        run(networks[0], SCHEDULERS["lcm"](), torch.full((1, 4, 1, SIZE, SIZE), v)) for v in (-2.0, 2.0)
    )
    assert (one[:, :, 1:] - other[:, :, 1:]).abs().max() > 1e-3


def test_guidance_in_sequence_equals_guidance_batched(networks: Any) -> None:
    results = [
        run(networks[0], SCHEDULERS["dpmpp"](), None, guidance=Guidance(scale=3.0, batched=batched))
        for batched in (True, False)
    ]
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)


def test_guidance_costs_nothing_outside_its_interval(networks: Any) -> None:
    watched = Watched(networks[0])
    run(watched, SCHEDULERS["dpmpp"](), None, steps=4, guidance=Guidance(scale=3.0, start=0.0, end=0.5))
    assert [seen.shape[0] for seen in watched.seen] == [2, 2, 1, 1]


def test_guidance_of_one_is_off(networks: Any) -> None:
    watched = Watched(networks[0])
    run(watched, SCHEDULERS["lcm"](), None, guidance=Guidance(scale=1.0))
    assert {seen.shape[0] for seen in watched.seen} == {1}


def test_the_embedded_hint_gives_the_controlnets_own_residuals(networks: Any) -> None:
    _, control = networks
    hint = torch.rand(3, SIZE * 8, SIZE * 8)
    latents, timestep, given = noise(), torch.tensor(500), condition()
    embeds = given.embeds_BTD[:1].repeat_interleave(FRAMES, dim=0)
    flat = latents.permute(0, 2, 1, 3, 4).reshape(FRAMES, 4, SIZE, SIZE)
    added = given.added(slice(0, 1), FRAMES)
    with torch.inference_mode():
        whole = hint[None].expand(FRAMES, -1, -1, -1)
        down, mid = control(flat, timestep, embeds, whole, added_cond_kwargs=added, return_dict=False)
        source = ControlSource(control, hint, scale=0.5, start=0.0, end=1.0, dtype=torch.float32)
        found = source.residuals(flat, timestep, embeds, added, torch.ones(FRAMES))
    for expected, got in zip((*down, mid), found, strict=True):
        torch.testing.assert_close(got, 0.5 * expected, atol=1e-5, rtol=1e-4)


def test_control_acts_on_frames_by_their_weight(networks: Any) -> None:
    _, control = networks
    source = ControlSource(control, torch.rand(3, 64, 64), scale=1.0, start=0.0, end=1.0, dtype=torch.float32)
    residuals = source.residuals(
        noise()[0].transpose(0, 1),
        torch.tensor(500),
        condition().embeds_BTD[:1].expand(FRAMES, -1, -1),
        condition().added(slice(0, 1), FRAMES),
        torch.tensor([1.0, 0.5, 0.0, 1.0]),
    )
    assert all(residual[2].abs().max() == 0 for residual in residuals)
    assert residuals[-1][0].abs().max() > 0


@pytest.mark.parametrize("single", [False, True])
def test_a_controlnet_computes_the_frames_that_it_acts_on_and_no_others(networks: Any, single: bool) -> None:
    watched = Watched(networks[1])
    watched.controlnet_cond_embedding = networks[1].controlnet_cond_embedding
    torch.manual_seed(5)
    maps = torch.rand(FRAMES, 3, SIZE * 8, SIZE * 8) if single else torch.rand(3, SIZE * 8, SIZE * 8)
    if single:
        maps[3] = 0  # shows nothing
    source = ControlSource(watched, maps, scale=0.7, start=0.0, end=1.0, dtype=torch.float32)
    weight = torch.tensor([1.0, 0.0, 0.5, 1.0])
    latents, given, both = noise().expand(2, -1, -1, -1, -1), condition(), slice(0, 2)

    def residuals(weight_F: Tensor) -> list[Tensor] | None:
        with torch.inference_mode(), hint_embedded(networks[1]):
            return control_residuals([source], latents, torch.tensor(500), given, both, 0.0, weight_F)

    everywhere, found = residuals(torch.ones(FRAMES)), residuals(weight)
    assert everywhere is not None and found is not None
    acting = 2 if single else 3
    assert [len(seen) for seen in watched.seen] == [2 * (FRAMES - single), 2 * acting]
    for whole, part in zip(everywhere, found, strict=True):
        expected = whole * weight.repeat(2).view(-1, 1, 1, 1)
        torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-4)
    assert residuals(torch.zeros(FRAMES)) is None and len(watched.seen) == 2


def test_control_steers_only_its_part_of_the_schedule(networks: Any) -> None:
    motion, control = networks
    source = ControlSource(control, torch.rand(3, 64, 64), scale=1.0, start=0.5, end=1.0, dtype=torch.float32)
    asked = [
        predicted(motion, condition(), Guidance(scale=1.0), step, controls)
        for controls, step in (([], 1), ([source], 1), ([source], 2))
    ]
    assert torch.equal(asked[0], asked[1])
    assert (asked[0] - asked[2]).abs().max() > 1e-4


@given(st.integers(1, 400), st.integers(2, 32), st.data())
def test_segments_cover_every_frame_once_and_share_the_overlap(total: int, frames: int, data: Any) -> None:
    overlap = data.draw(st.integers(1, frames - 1))
    spans = plan(total, MotionConfig(frames=frames, overlap=overlap), has_keyframe=True)
    fresh = [index for span in spans for index in range(span.start + span.known, span.start + frames)]
    assert fresh == list(range(1, spans[-1].start + frames))
    assert spans[-1].start + frames >= total
    assert len(spans) == 1 or spans[-2].start + frames < total


def test_without_a_keyframe_the_first_segment_knows_nothing() -> None:
    assert plan(16, MotionConfig(), has_keyframe=False)[0].known == 0


def test_control_fades_from_the_keyframe_to_its_floor() -> None:
    config = VideoConfig()
    config.control.fade_frames, config.control.fade_floor = 8, 0.25
    weights = frame_weights(Span(index=0, start=0, frames=16, known=1), 16, config)
    assert weights[0] == 1.0 and weights[-1] == 0.25
    assert (weights.diff() <= 0).all()
    assert (frame_weights(Span(index=9, start=100, frames=16, known=4), 16, config) == 0.25).all()


def test_locked_statistics_have_the_references_mean() -> None:
    latents, reference = torch.randn(4, 3, 5, 5) + 1.0, torch.randn(4, 5, 5)
    locked = match_statistics(latents, reference, 1.0)
    torch.testing.assert_close(locked.mean(dim=(1, 2, 3)), reference.mean(dim=(1, 2)))
    assert torch.equal(match_statistics(latents, reference, 0.0), latents)


def test_networks_of_lower_precision_are_fed_their_own_numbers(networks: Any) -> None:
    motion, control = (copy.deepcopy(network).to(torch.bfloat16) for network in networks)
    told = Condition(
        **{name: getattr(condition(), name).bfloat16() for name in ("embeds_BTD", "pooled_BD", "time_ids_BD")}
    )
    hint = torch.rand(3, 64, 64)
    source = ControlSource(control, hint, scale=1.0, start=0.0, end=1.0, dtype=torch.bfloat16)
    asked = [
        predicted(unet, given, Guidance(scale=2.0), 0, controls)
        for unet, given, controls in (
            (motion, told, []),
            (motion, told, [source]),
            (networks[0], condition(), []),
        )
    ]
    assert all(found.dtype == torch.float32 and found.isfinite().all() for found in asked)
    torch.testing.assert_close(asked[0], asked[2], atol=0.1, rtol=0.1)
    assert (asked[0] - asked[1]).abs().max() > 1e-2
