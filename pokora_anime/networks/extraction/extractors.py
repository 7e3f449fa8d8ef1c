"""What reads a pose or a depth map out of a picture that the base itself generated."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import nn

from pokora_anime.catalogue import weight_hashes
from pokora_anime.catalogue.registry import Row
from pokora_anime.errors import WeightsError


class PoseReader(Protocol):
    """A picture uint8 [H, W, 3] to 18 OpenPose joints [18, 3]: x, y in pixels, confidence 0..1."""

    def __call__(self, pictures: NDArray[np.uint8], /) -> NDArray[np.float32]: ...


class DepthReader(Protocol):
    """A picture uint8 [H, W, 3] to relative depth float32 [h, w]; larger is nearer."""

    def __call__(self, picture: NDArray[np.uint8], /) -> NDArray[np.float32]: ...


class LineReader(Protocol):
    """A picture uint8 [H, W, 3] to its lines uint8 [h, w, 3], white on black."""

    def __call__(self, picture: NDArray[np.uint8], /) -> NDArray[np.uint8]: ...


def load_pose(row: Row, folder: Path, device: torch.device) -> PoseReader:
    """nano's own extractor or ViTPose; WeightsError WGT-DAMAGED if it cannot be loaded."""
    try:
        if row.packaged:
            from pokora_anime.nano.nano_extractors import PoseExtractor

            return PoseExtractor.from_pretrained(folder).to(device)
        from pokora_anime.networks.extraction.vitpose import VitPose

        return VitPose.from_pretrained(folder, device)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {str(error)[:160]}") from error


def load_depth(row: Row, folder: Path, device: torch.device) -> DepthReader:
    """A transformers depth model (Depth Anything, arXiv 2406.09414, or nano's small one)."""
    from transformers import pipeline

    try:
        estimator: Any = pipeline("depth-estimation", model=str(folder), device=device, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {str(error)[:160]}") from error

    def read(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        from PIL import Image

        with torch.inference_mode():
            depth = estimator(Image.fromarray(picture))["predicted_depth"]
        return depth.float().cpu().numpy().reshape(depth.shape[-2:])

    return read


def load_lineart(row: Row, folder: Path, device: torch.device) -> LineReader:
    """Anime2Sketch's generator as controlnet_aux runs it; WeightsError WGT-DAMAGED if it cannot be loaded."""
    found = weight_hashes.files(folder, row.files)
    if found is None:
        raise weight_hashes.missing(row, folder)
    with warnings.catch_warnings():  # it drags in half of computer vision, with its remarks
        warnings.simplefilter("ignore")
        from controlnet_aux import lineart_anime
    try:
        # Trained behind DataParallel, which puts its own name before each of the network's.
        stored = {name.removeprefix("module."): value for name, value in load_file(found[0]).items()}
        width = stored["model.model.0.weight"].shape[0]
        plain: Any = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
        network = lineart_anime.UnetGenerator(3, 1, 8, width, norm_layer=plain, use_dropout=False)
        network.load_state_dict(stored)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {str(error)[:160]}") from error
    untyped = cast(Any, lineart_anime.LineartAnimeDetector(network.eval().requires_grad_(False)))
    detector = untyped.to(device)

    def read(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        resolution = max(min(picture.shape[:2]), 64)  # it rounds to multiples of 64
        lines = detector(picture, detect_resolution=resolution, image_resolution=resolution, output_type="np")
        return np.asarray(lines, np.uint8)

    return read
