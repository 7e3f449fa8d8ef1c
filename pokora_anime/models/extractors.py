"""What reads a pose or a depth map out of a picture that the base itself generated."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pokora_anime.errors import WeightsError
from pokora_anime.models.registry import Row


class PoseReader(Protocol):
    """A picture uint8 [H, W, 3] to 18 OpenPose joints [18, 3]: x, y in pixels, confidence 0..1."""

    def __call__(self, pictures: NDArray[np.uint8], /) -> NDArray[np.float32]: ...


class DepthReader(Protocol):
    """A picture uint8 [H, W, 3] to relative depth float32 [h, w]; larger is nearer."""

    def __call__(self, picture: NDArray[np.uint8], /) -> NDArray[np.float32]: ...


def load_pose(row: Row, folder: Path, device: torch.device) -> PoseReader:
    """nano's own extractor; WeightsError WGT-2 if it cannot be loaded."""
    from pokora_anime.nano.extractors import PoseExtractor

    try:
        return PoseExtractor.from_pretrained(folder).to(device)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError("WGT-2", f"{row.id} cannot be loaded: {str(error)[:160]}") from error


def load_depth(row: Row, folder: Path, device: torch.device) -> DepthReader:
    """A transformers depth model (Depth Anything, arXiv 2406.09414, or nano's small one)."""
    from transformers import pipeline

    try:
        estimator: Any = pipeline("depth-estimation", model=str(folder), device=device, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError("WGT-2", f"{row.id} cannot be loaded: {str(error)[:160]}") from error

    def read(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        from PIL import Image

        with torch.inference_mode():
            depth = estimator(Image.fromarray(picture))["predicted_depth"]
        return depth.float().cpu().numpy().reshape(depth.shape[-2:])

    return read


def controlnet_aux() -> Any:
    """The library, imported late and without its remarks: it drags in half of computer vision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import controlnet_aux

    return controlnet_aux
