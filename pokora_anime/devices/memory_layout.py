"""In which order a network's numbers lie in memory. Torch-free to import."""

from __future__ import annotations

from typing import Any

from pokora_anime.schema.settings import DeviceKind

CHANNELS_LAST = {DeviceKind.cuda: ("UNets", "ControlNets", "VAE"), DeviceKind.cpu: ("VAE",)}


def laid_out(network: Any, kind: DeviceKind, part: str) -> Any:
    """The network, with channels last where its convolutions are quicker so on this kind of device.

    `part` is UNets, ControlNets or VAE. On a CPU only the VAE gains.
    """
    import torch

    return network.to(memory_format=torch.channels_last) if part in CHANNELS_LAST.get(kind, ()) else network
