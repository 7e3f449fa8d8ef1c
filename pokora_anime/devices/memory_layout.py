"""In which order a network's numbers lie in memory. Torch-free to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pokora_anime.schema.settings import DeviceKind

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M", bound="nn.Module")

CHANNELS_LAST = {DeviceKind.cuda: ("UNets", "ControlNets", "VAE"), DeviceKind.cpu: ("VAE",)}


def laid_out(network: M, kind: DeviceKind, part: str) -> M:
    """The network, with channels last where its convolutions are quicker so on this kind of device.

    `part` is UNets, ControlNets or VAE. On a CPU only the VAE gains.
    """
    import torch

    if part in CHANNELS_LAST.get(kind, ()):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # no overload has it
    return network
