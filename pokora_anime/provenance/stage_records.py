"""The frozen records that travel from stage to stage; each carries the node that made it.

Shapes: batch 1 is left out unless a library wants it. Latents are float32 [channels, frames,
height, width] (segments) or [channels, height, width] (keyframe); images and control maps are uint8
[height, width, 3] RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.node import Node

if TYPE_CHECKING:
    from torch import Tensor

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """What is asked for from a frame of the clip on: `embeds` [tokens, channels], `pooled` [channels]."""

    frame: int
    embeds: Tensor
    pooled: Tensor | None
    curve: str = "linear"  # of the change to the next stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt as embeddings, conditional and unconditional.

    `embeds`, `negative_embeds`: [tokens, channels], the same number of 77-token chunks;
    `pooled`, `negative_pooled`: [channels], or None for a base with one text encoder. `travel` holds the
    stops of a prompt that changes on the way, the first of which is the prompt itself; else it is empty.
    """

    text: str
    negative: str
    embeds: Tensor
    negative_embeds: Tensor
    pooled: Tensor | None
    negative_pooled: Tensor | None
    travel: tuple[Stop, ...] = ()
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What a denoising starts from, of unit variance: [channels, height, width], for a segment [channels,
    frames, height, width]; always drawn on the CPU.
    """

    values: Tensor
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyframe:
    """The internally generated still that a clip starts from: its latent (VAE-scaled) and image."""

    latent: Tensor
    image: Image
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEmbedding:
    """A keyframe as an IP-Adapter's tokens [tokens, channels], and the tokens of no picture; float32."""

    tokens: Tensor
    negative_tokens: Tensor
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """The planned joints of some frames, [frames,18,3] in pixels, and those of the keyframe, [18,3]."""

    joints: npt.NDArray[np.float32]
    keyframe: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTrack:
    """Control maps by kind ('pose', 'depth', 'canny', 'lineart'): the keyframe's for a whole clip, or those
    of the frames of a segment, which have one more axis before the others.

    `fading` has, by kind, how much each frame of a segment sees of a map that is none of its own (all of it
    if it is not there), and `beside` is where those maps come from. `posed` are the poses that the maps were
    drawn of, where they were planned for someone who looks the same in the whole clip.
    """

    maps: dict[str, Image]
    notes: tuple[str, ...]
    node: Node
    fading: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    beside: ControlTrack | None = None
    posed: Posed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One denoised stretch of frames.

    `latents` [channels, frames, height, width] includes the `known` frames that it shares with the
    segment before (or with the keyframe, for `index` 0); `start` is the clip index of its frame 0. `posed`
    are its frames' poses as their maps know them.
    """

    index: int
    start: int
    known: int
    latents: Tensor
    node: Node
    posed: Posed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """The finished file and what was counted and hashed on the way: each frame before it was encoded
    (`rgb_hashes`) and as decoded from the file (`yuv_hashes`); `sources` are the nodes of the frames, one a
    shot.
    """

    path: Path
    frames: int
    fps: int
    width: int
    height: int
    rgb_hashes: tuple[str, ...]
    yuv_hashes: tuple[str, ...]
    sources: tuple[Node, ...]
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A delivered picture, uint8 [height, width, 3], and the keyframe's node as its parent."""

    image: Image
    node: Node
