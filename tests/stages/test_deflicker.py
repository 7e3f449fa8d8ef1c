"""What holds still is averaged over time, what moves is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pokora_anime.config.compose import compose_video
from pokora_anime.stages.motion.deflicker import finished, held_to_known, steadied
from pokora_anime.timeline.segment_plan import Span

JITTER = 0.05


@pytest.fixture(scope="module")
def latents() -> Tensor:
    """[4, 16, 24, 24]: a still picture that shimmers, before which a square moves a pixel a frame."""
    torch.manual_seed(0)
    picture = torch.randn(4, 24, 24)
    frames = picture[:, None] + JITTER * torch.randn(4, 16, 24, 24)
    for frame in range(16):
        frames[:, frame, 8:16, frame : frame + 8] = 3.0
    return frames


def shimmer(latents: Tensor) -> float:
    """Root mean square step of the rows that the square never touches."""
    return float(latents[:, 1:, :5].sub(latents[:, :-1, :5]).square().mean().sqrt())


def test_what_holds_still_is_calmed(latents: Tensor) -> None:
    steady = steadied(latents, 0.1, 0, 0)
    assert shimmer(latents) > 1.3 * JITTER
    assert shimmer(steady) < 0.25 * shimmer(latents)
    assert (steady[:, :, :5].mean(1) - latents[:, :, :5].mean(1)).abs().max() < JITTER


def test_what_moves_stays_as_it_is(latents: Tensor) -> None:
    steady = steadied(latents, 0.1, 0, 0)
    for frame in range(16):
        inside = slice(frame + 1, frame + 7)
        assert torch.allclose(steady[:, frame, 9:15, inside], latents[:, frame, 9:15, inside], atol=1e-3)
        edges = steady[:, frame, 9:15, frame], steady[:, frame, 9:15, frame + 7]
        assert all((edge - 3.0).abs().max() < 0.05 for edge in edges)


def test_known_frames_and_a_tail_stay_bit_for_bit(latents: Tensor) -> None:
    steady = steadied(latents, 0.2, 4, 2)
    assert torch.equal(steady[:, :4], latents[:, :4])
    assert torch.equal(steady[:, -2:], latents[:, -2:])
    assert not torch.equal(steady[:, 4], latents[:, 4])


def test_nothing_is_averaged_at_0(latents: Tensor) -> None:
    assert steadied(latents, 0.0, 0, 0) is latents


def test_one_and_two_frames_are_enough(latents: Tensor) -> None:
    assert torch.equal(steadied(latents[:, :1], 0.1, 0, 0), latents[:, :1])
    assert steadied(latents[:, :2], 0.1, 1, 0).shape == (4, 2, 24, 24)


def test_a_cut_is_not_averaged_over(latents: Tensor) -> None:
    cut = torch.cat([latents[:, :8], latents[:, :8].flip(-1)], dim=1)
    steady = steadied(cut, 0.1, 0, 0)
    apart = steadied(cut[:, :8], 0.1, 0, 0)
    assert torch.allclose(steady[:, :8], apart, atol=0.02)


def offset(latents: Tensor, by: float, known: int) -> Tensor:
    """The new frames in another shade than the known ones."""
    return torch.cat([latents[:, :known], latents[:, known:] + by], dim=1)


@pytest.mark.parametrize("known", [1, 4])
def test_what_holds_still_takes_the_last_known_frames_look(latents: Tensor, known: int) -> None:
    held = held_to_known(offset(latents, 0.3, known), 0.6, known, 0)
    away = held[:, known:, :5].mean(1) - latents[:, known - 1, :5]
    assert away.abs().mean() < 0.1
    assert torch.equal(held[:, :known], latents[:, :known])


def test_a_slow_change_is_not_turned_back(latents: Tensor) -> None:
    ramp = latents.mean(1, keepdim=True) + torch.linspace(0, 0.3, 16)[:, None, None]
    held = held_to_known(ramp, 0.8, 1, 0)[:, :, :5]
    assert (held[:, 1:] - held[:, :-1]).mean((0, 2, 3)).min() > -0.05
    assert (held[:, -1] - held[:, 0]).mean() > 0.2


def test_what_moves_is_not_held(latents: Tensor) -> None:
    shifted = offset(latents, 0.3, 1)
    held = held_to_known(shifted, 0.8, 1, 0)
    assert torch.allclose(held[:, 1:, 10:14, 4:20], shifted[:, 1:, 10:14, 4:20], atol=0.02)


def test_another_picture_is_not_held(latents: Tensor) -> None:
    shifted = offset(latents, 3.0, 1)
    assert torch.allclose(held_to_known(shifted, 0.8, 1, 0)[..., :5, :], shifted[..., :5, :], atol=0.02)


def test_a_loops_tail_stays_and_nothing_is_held_to_nothing(latents: Tensor) -> None:
    shifted = offset(latents, 0.3, 4)
    assert torch.equal(held_to_known(shifted, 0.8, 4, 2)[:, -2:], shifted[:, -2:])
    assert held_to_known(shifted, 0.8, 0, 0) is shifted
    assert held_to_known(shifted[:, :4], 0.8, 4, 0).shape == (4, 4, 24, 24)


@pytest.mark.parametrize(
    ("typed", "held"),
    [
        ([], True),
        (["motion.hold=0"], False),
        (["shot.prompt=0: 1girl, blue sky, 16: 1girl, sunset"], False),
    ],
)
def test_a_segment_is_held_unless_its_prompt_travels(latents: Tensor, typed: list[str], held: bool) -> None:
    """A travelling prompt asks for another look than the known frames have."""
    shifted = offset(latents, 0.3, 4)
    span = Span(index=1, start=12, frames=16, known=4)
    kept = finished(shifted, span, compose_video(["motion.deflicker=0", *typed]))
    assert torch.equal(kept, shifted) is not held
