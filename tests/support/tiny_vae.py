"""A run context around a real, tiny, random AutoencoderKL: all that finish and encode need."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderKL

from pokora_anime.networks.loader import Models
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.provenance.stage_records import Image, Segment
from pokora_anime.schema.settings import FinishConfig, Interpolation, ShotConfig, VideoConfig
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.terminal.progress import Display

KEY = "ab" * 32


@cache
def vae() -> AutoencoderKL:
    """Latents [B,4,h,w] to pictures [B,3,2h,2w]."""
    torch.manual_seed(0)
    return (
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            mid_block_add_attention=False,
            scaling_factor=0.5,
        )
        .eval()
        .requires_grad_(False)
    )


class TinyModels:
    """The part of Models that delivering frames uses."""

    def vae(self) -> AutoencoderKL:
        return vae()

    def weights_hash(self, role: str) -> dict[str, str]:
        return {role: "0" * 64}


def context(root: Path, dtype: torch.dtype = torch.float32, command: str = "video") -> RunContext:
    """A context in a new or continued run folder under `root`."""
    return RunContext(
        folder=RunFolder.open(root, command, "tiny", KEY, fresh=False),
        models=cast(Models, TinyModels()),
        progress=Display(quiet=True),
        device=torch.device("cpu"),
        dtype=dtype,
        threads=1,
        seed=0,
    )


def config(
    seconds: float = 1.0,
    fps: int = 8,
    *,
    out_fps: int = 24,
    size: tuple[int, int] = (32, 32),
    interpolation: Interpolation = Interpolation.flow,
    zoom: float = 1.0,
    decode_chunk: int = 4,
) -> VideoConfig:
    return VideoConfig(
        shot=ShotConfig(prompt="girl", seconds=seconds, fps=fps),
        finish=FinishConfig(
            interpolation=interpolation,
            fps=out_fps,
            width=size[0],
            height=size[1],
            zoom=zoom,
            decode_chunk=decode_chunk,
        ),
    )


def latents(count: int, side: int = 16) -> torch.Tensor:
    """[4, count, side, side], drifting, so that frames differ but belong together."""
    generator = torch.Generator().manual_seed(1)
    ends = torch.randn(2, 4, side, side, generator=generator)
    times = torch.linspace(0, 1, count)
    return torch.stack([torch.lerp(ends[0], ends[1], time) for time in times], dim=1)


def segments(clip: torch.Tensor, length: int = 8, overlap: int = 4) -> Iterator[Segment]:
    """The clip's latents cut into overlapping segments; the first knows one frame, the keyframe."""
    start = index = 0
    while index == 0 or start + overlap < clip.shape[1]:
        yield Segment(
            index=index,
            start=start,
            known=overlap if index else 1,
            latents=clip[:, start : start + length],
            node=Node(op="motion", params={"segment": index}),
        )
        start, index = start + length - overlap, index + 1


def decoded(clip: torch.Tensor, chunk: int) -> list[Image]:
    """What diffusers' own VAE and image processor make of the clip."""
    from diffusers.image_processor import VaeImageProcessor

    frames: list[Image] = []
    with torch.inference_mode():
        for part in clip.transpose(0, 1).split(chunk):
            pictures = vae().decode(part / vae().config["scaling_factor"]).sample
            images = VaeImageProcessor().postprocess(pictures, output_type="np")
            frames += [np.asarray((image * 255).round(), np.uint8) for image in images]
    return frames
