"""Cross-attention to a text that all frames share: the same numbers, computed once a segment."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from support.segment_networks import FRAMES, STEPS, Networks, placed, segments, stock  # noqa: F401  # pyright: ignore
from torch import Tensor, nn

from pokora_anime.devices.forecast.plan import Offload
from pokora_anime.networks.repeat_text_per_frame import told
from pokora_anime.stages.denoising.conditioning import Guidance


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
    stock: Networks,  # noqa: F811
    batched: bool,
    anchored: bool,
    offload: Offload,
) -> None:
    guidance = Guidance(scale=3.0, end=0.75, batched=batched)
    expected = segments(copy.deepcopy(stock), guidance, anchored=anchored)
    found = segments(placed(stock, offload), guidance, anchored=anchored)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_tiles_share_their_text_too(stock: Networks) -> None:  # noqa: F811
    guidance = Guidance(scale=3.0)
    networks = placed(stock)
    expected = segments(copy.deepcopy(stock), guidance, tiled=True)
    with counted(networks.unet) as seen:
        found = segments(networks, guidance, tiled=True)
    torch.testing.assert_close(found[1], expected[1], atol=1e-6, rtol=1e-6)
    assert seen == [2, 2]


@pytest.mark.parametrize(("batched", "texts"), [(True, [2, 1]), (False, [1, 1])])
def test_keys_are_computed_once_a_segment(stock: Networks, batched: bool, texts: list[int]) -> None:  # noqa: F811
    guidance = Guidance(scale=3.0, end=0.75, batched=batched)
    networks = placed(stock)
    with counted(networks.unet) as moving, counted(networks.control) as steering:
        segments(networks, guidance)
    assert moving == 2 * texts
    assert steering == 2 * ([2] if batched else [1, 1])  # it acts while guidance does


def test_streamed_layers_take_part_in_every_pass(stock: Networks) -> None:  # noqa: F811
    networks = placed(stock, Offload.group)
    with counted(networks.unet) as seen:
        segments(networks, Guidance(scale=3.0), count=1)
    assert seen == [2] * STEPS


def test_networks_of_others_are_told_the_text_for_each_frame(stock: Networks) -> None:  # noqa: F811
    text = torch.randn(2, 7, 3)
    assert torch.equal(told(stock.unet, text, FRAMES), text.repeat_interleave(FRAMES, dim=0))
    assert told(placed(stock).unet, text, FRAMES) is text


def test_a_text_in_new_memory_is_another_text(stock: Networks) -> None:  # noqa: F811
    networks = placed(stock)
    guidance = Guidance(scale=1.0)
    first, second = segments(networks, guidance)
    again = segments(networks, guidance)
    assert torch.equal(again[0], first) and torch.equal(again[1], second)
    assert not torch.equal(first, second)
