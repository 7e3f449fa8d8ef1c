"""Optical flow between two frames, in both directions: OpenCV offline, torchvision's RAFT when fetched."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.stage_records import Image

Flow = npt.NDArray[np.float32]  # [height, width, 2], pixels (x, y)
Mask = npt.NDArray[np.bool_]  # [height, width]

RAFT_LEAST = 128  # pixels a side: its coarsest correlation needs two cells


class BothFlows(Protocol):
    """Two frames [h,w,3] to the flow from the first to the second, and back."""

    name: str

    def __call__(self, first: Image, second: Image, /) -> tuple[Flow, Flow]: ...


class DisFlow:
    """OpenCV's dense inverse search (arXiv 1603.03590) on one thread: the same numbers everywhere."""

    name = "DIS"

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, first: Image, second: Image) -> tuple[Flow, Flow]:
        one, two = (np.asarray(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), np.uint8) for f in (first, second))
        return self._flow(one, two), self._flow(two, one)

    def _flow(self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Flow:
        start = np.zeros((*first.shape, 2), np.float32)
        return np.asarray(self._dis.calc(first, second, start), np.float32)


class RaftFlow:
    """torchvision's RAFT (arXiv 2003.12039) from a safetensors file of its parameters."""

    name = "RAFT"

    def __init__(self, weights: Path, device: str = "cpu", updates: int = 12) -> None:
        import torch
        from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # bare PathLike
        from torchvision.models.optical_flow import raft_large

        self._torch, self._updates, self._device = torch, updates, device
        network = cast("torch.nn.Module", raft_large(weights=None, progress=False))
        network.load_state_dict(load_file(weights))
        self._network = network.to(device).eval().requires_grad_(False)

    def __call__(self, first: Image, second: Image) -> tuple[Flow, Flow]:
        height, width = first.shape[:2]
        sides = [max(RAFT_LEAST, -(-side // 8) * 8) for side in (height, width)]
        torch, functional = self._torch, self._torch.nn.functional
        with torch.inference_mode():
            pair = torch.from_numpy(np.stack([first, second])).to(self._device).permute(0, 3, 1, 2)
            pair = pair.float() / 127.5 - 1
            pair = functional.interpolate(pair, size=sides, mode="bilinear", align_corners=False)
            found = self._network(pair, pair.flip(0), num_flow_updates=self._updates)[-1]
            found = functional.interpolate(found, size=(height, width), mode="bilinear", align_corners=False)
            scale = found.new_tensor([width / sides[1], height / sides[0]])[:, None, None]
            flows = (found * scale).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return flows[0], flows[1]


def warped(values: Image, flow: Flow) -> Image:
    """`values` fetched from where `flow` points; outside the frame its border goes on."""
    columns, rows = _grid(*flow.shape[:2])
    fetched = cv2.remap(
        values, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(fetched, np.uint8)


def visible(flow: Flow, back: Flow) -> Mask:
    """Where following `flow` and then `back` ends near the start: seen in both frames.

    Sundaram, Brox and Keutzer (ECCV 2010), equation 5.
    """
    columns, rows = _grid(*flow.shape[:2])
    at = (columns + flow[..., 0], rows + flow[..., 1])
    fetched = cv2.remap(back, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    returned = np.asarray(fetched, np.float32)
    error = squared(flow + returned)
    return np.asarray(error < np.float32(0.01) * (squared(flow) + squared(returned)) + np.float32(0.5))


def squared(flow: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Squared lengths [height, width] of a field of vectors."""
    x, y = flow[..., 0], flow[..., 1]
    return np.asarray(x * x + y * y, np.float32)


@cache
def _grid(height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    columns = np.tile(np.arange(width, dtype=np.float32), (height, 1))
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    return columns, rows
