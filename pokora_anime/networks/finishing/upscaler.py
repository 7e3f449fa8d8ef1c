"""What enlarges finished frames: an open upscaler, as spandrel finds its architecture, and nano's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError
from torch import Tensor

from pokora_anime.catalogue import weight_hashes
from pokora_anime.catalogue.registry import Row
from pokora_anime.errors import WeightsError
from pokora_anime.nano.crisp import Crisp
from pokora_anime.sandbox import network_arguments


class Upscaler(Protocol):
    """One picture [1, 3, H, W] in 0..1 to one [1, 3, scale * H, scale * W], in float32."""

    @property
    def scale(self) -> int:
        """How many times larger a side becomes."""
        ...

    def __call__(self, image: Tensor, /) -> Tensor: ...


def load(row: Row, folder: Path, device: torch.device) -> Upscaler:
    """The upscaler of a row; WeightsError WGT-DAMAGED for what is none for colour pictures."""
    found = weight_hashes.files(folder, row.files)
    if found is None:
        raise weight_hashes.missing(row, folder)
    from spandrel import (  # pyright: ignore[reportMissingImports]
        ImageModelDescriptor,
        ModelLoader,
        UnsupportedModelError,
    )

    try:
        network: Any = ModelLoader(device).load_from_file(found[0])
    except (OSError, SafetensorError, UnsupportedModelError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {reason}") from error
    channels = (network.input_channels, network.output_channels)
    if not isinstance(cast(object, network), ImageModelDescriptor) or network.scale < 2 or channels != (3, 3):
        got = f"{row.id} holds {network.architecture.name}, {network.scale}x, channels {channels}"
        raise WeightsError("WGT-DAMAGED", got, expected="an upscaler of RGB pictures")
    network_arguments.only(network.model.requires_grad_(False))
    return network.float().eval()


def load_crisp(row: Row, folder: Path, device: torch.device) -> Crisp:
    """nano's own network; WeightsError WGT-DAMAGED if it cannot be loaded."""
    try:
        return Crisp.from_pretrained(folder).to(device).requires_grad_(False)
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {reason}") from error
