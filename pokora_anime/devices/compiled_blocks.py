"""The blocks that a motion UNet and ControlNets repeat, compiled: each shape once, for all blocks of it.

Every segment has the same frames and size, so that nothing is compiled after the first one (after the
second, where all but the first have the keyframe as one more frame). Convolutions and feed-forwards, not
whole networks: what holds a network on its device, what attention remembers and what judges arguments
stays outside, and LoRAs, merged before, are weights like any others.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from pokora_anime.devices import compiler
from pokora_anime.schema.settings import Compile

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M", bound="nn.Module")

BLOCKS = ("ResnetBlock2D", "FeedForward")
_MODES = {Compile["default"]: "default", Compile["max-autotune"]: "max-autotune-no-cudagraphs"}
_SHAPES = 256  # of a block in all networks; more than that and something is wrong


class _Compiles(Protocol):
    """A network of diffusers, which compiles its repeated blocks."""

    _repeated_blocks: list[str]
    compiled_blocks: bool  # ours: for who asks

    def compile_repeated_blocks(self, *, fullgraph: bool, dynamic: bool, mode: str) -> None: ...


def compile_blocks(network: M, how: Compile) -> M:
    """The network, whose repeated blocks are compiled when they are first called."""
    os.environ.update(compiler.environment())  # torch sets a cache folder of its own where it finds none
    import torch._dynamo
    import torch._inductor.config

    torch._inductor.config.cpp_cache_precompile_headers = False  # openssl would be started for them
    torch._dynamo.config.recompile_limit = _SHAPES
    torch._dynamo.config.accumulated_recompile_limit = 4 * _SHAPES
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # no CUDA where there is no card
    blocks = cast(_Compiles, network)
    blocks._repeated_blocks = [*BLOCKS]  # pyright: ignore[reportPrivateUsage]  # diffusers has it empty here
    blocks.compile_repeated_blocks(fullgraph=True, dynamic=False, mode=_MODES[how])
    blocks.compiled_blocks = True
    return network
