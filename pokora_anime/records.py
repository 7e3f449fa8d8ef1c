"""The frozen records that travel from stage to stage; each carries the node that made it.

Shapes: batch 1 is left out unless a library wants it. Latents are float32 [channels, frames,
height, width] (segments) or [channels, height, width] (keyframe); images are uint8 [height, width,
3] RGB; control maps are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.node import Node

if TYPE_CHECKING:
    from torch import Tensor

Image = npt.NDArray[np.uint8]
ControlMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt as embeddings, conditional and unconditional.

    `embeds`, `negative_embeds`: [tokens, channels], the same number of 77-token chunks;
    `pooled`, `negative_pooled`: [channels], or None for a base with one text encoder.
    """

    text: str
    negative: str
    embeds: Tensor
    negative_embeds: Tensor
    pooled: Tensor | None
    negative_pooled: Tensor | None
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyframe:
    """The internally generated still that a clip starts from: its latent (VAE-scaled) and image."""

    latent: Tensor
    image: Image
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTrack:
    """Control maps extracted from the keyframe, one per kind ('pose', 'depth', 'canny')."""

    maps: dict[str, ControlMap]
    notes: tuple[str, ...]
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One denoised stretch of frames.

    `latents` [channels, frames, height, width] includes the `known` frames that it shares with the
    segment before (or with the keyframe, for `index` 0); `start` is the clip index of its frame 0.
    """

    index: int
    start: int
    known: int
    latents: Tensor
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """The finished file and what was counted and hashed on the way."""

    path: Path
    frames: int
    fps: int
    width: int
    height: int
    rgb_hashes: tuple[str, ...]
    node: Node
