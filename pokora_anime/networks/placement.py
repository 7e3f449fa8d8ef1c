"""Networks put where a plan wants them: on the device, in the host's memory, streamed, in fp8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import torch
from diffusers.hooks import apply_group_offloading
from torch import nn

from pokora_anime.devices.forecast.plan import Offload, Plan
from pokora_anime.devices.memory_layout import laid_out
from pokora_anime.networks.repeat_text_per_frame import Attends, share_text
from pokora_anime.schema.settings import DeviceKind

# Norms and what reads the timestep, the sizes and the pooled text lose too much in eight bits.
_FULL_PRECISION = ("norm", "time_emb", "add_embedding", "conv_in", "conv_out", "pos_embed")


class Turns:
    """Networks that share a device, one at a time; their weights wait in the host's memory.

    The host's copy is kept, so that nothing travels back: weights do not change.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._present: Callable[[], None] | None = None  # makes the network on the device leave it

    def add(self, network: nn.Module) -> None:
        """`network` comes to the device when it is called, and makes the one there before leave."""
        tensors = [*network.parameters(), *network.buffers()]
        pin = self.device.type == "cuda"
        waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
        for one in tensors:
            host = one.data.pin_memory() if pin else one.data
            one.data = host  # now, not when it first leaves: every weight would be there twice until then
            waiting.append((one, host))

        def leave() -> None:
            for tensor, host in waiting:
                tensor.data = host

        def enter(module: nn.Module, given: object) -> None:
            del module, given
            if self._present is leave:
                return
            self.clear()
            for tensor, host in waiting:
                tensor.data = host.to(self.device, non_blocking=True, copy=True)
            self._present = leave

        network.register_forward_pre_hook(enter)

    def clear(self) -> None:
        """Nothing is on the device any more."""
        if self._present is not None:
            self._present()
        self._present = None


M = TypeVar("M", bound=nn.Module)


class _Casts(Protocol):
    """A network of diffusers, which holds its weights in another format than it computes in."""

    def enable_layerwise_casting(
        self, *, storage_dtype: torch.dtype, compute_dtype: torch.dtype, skip_modules_pattern: tuple[str, ...]
    ) -> None: ...


def place(network: M, device: torch.device, dtype: torch.dtype, plan: Plan, turns: Turns) -> M:
    """The network in `dtype`, ready to infer, held as the plan says; only fp8 changes what it answers."""
    network = network.to(dtype).eval().requires_grad_(False)
    # A ControlNet's hint embedding is called on its own, once a map: it stays on the device.
    hint = cast("nn.Module | None", getattr(network, "controlnet_cond_embedding", None))
    network = laid_out(network, DeviceKind(device.type), "UNets" if hint is None else "ControlNets")
    # Streamed layers are fetched in the order of their first pass: none may be left out of the next one.
    share_text(cast(Attends, network), keep=plan.offload is not Offload.group)
    if plan.offload is Offload.none and not plan.fp8:
        return network.to(device)
    if hint is not None:
        network.controlnet_cond_embedding = nn.Identity()
    if plan.fp8:
        cast(_Casts, network).enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype, skip_modules_pattern=_FULL_PRECISION
        )
    if plan.offload is Offload.none:
        network.to(device)
    elif plan.offload is Offload.model:
        turns.add(network)
    else:
        apply_group_offloading(
            network, device, offload_type="leaf_level", use_stream=device.type == "cuda", non_blocking=True
        )
    if hint is not None:
        network.controlnet_cond_embedding = hint.to(device)
    return network
