"""Recomputed frames through the recorded encoder settings: what this run's MP4 decodes to if it is honest.

Comparing two things that went through the same encoder needs no room for the encoder's loss, so no setting
that an entrant chooses widens the bounds, and full size leaves no pattern too fine to be seen.

A segment is encoded by itself: its first frame is an IDR picture here and may be none in the clip.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from pokora_anime.errors import MachineError
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.verify.video import mp4_frames
from pokora_anime.verify.video.frame_figures import BLOCK, Figures

Places = npt.NDArray[np.int64]
Planes = tuple[npt.NDArray[np.float32], ...]


def recoded(
    frames: Sequence[Image], config: VideoConfig, encoder: Callable[[Path], Sequence[str]], limits: Limits
) -> list[bytes]:
    """The frames uint8 [height, width, 3] encoded by the config's settings, as they decode: yuv420p.

    `encoder` gives the command line that encodes raw frames into a file.

    Raises MachineError SYS-FFMPEG where they cannot be encoded, video.BadVideo where they do not decode.
    """
    size = (config.finish.width, config.finish.height)
    decoded: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment.mp4"
        with subprocess.Popen(encoder(path), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            for frame in frames:
                process.stdin.write(np.ascontiguousarray(frame).data)
        if process.returncode:
            raise MachineError("SYS-FFMPEG", f"ffmpeg ended with status {process.returncode}")
        shape = mp4_frames.Shape(width=size[0], height=size[1], frames=len(frames))
        mp4_frames.decode(path, shape, limits, decoded.append)
    return decoded


def coded_figures(stored: bytes, made: bytes, width: int, height: int) -> Figures:
    """The figures of two yuv420p frames at full size: the worst of luma and both colours.

    `block` is the largest root mean square difference of any 8x8 block, which also sees patterns that have
    no mean.
    """
    pairs = zip(_planes(stored, width, height), _planes(made, width, height), strict=True)
    apart = [made_plane - stored_plane for stored_plane, made_plane in pairs]
    error = max(float((plane**2).mean()) for plane in apart)
    return Figures(
        most=max(float(np.abs(plane).max()) for plane in apart),
        rms=float(np.sqrt(error)) / 255,
        psnr=float(10 * np.log10(255**2 / error)) if error else float("inf"),
        block=max(_worst_block(plane) for plane in apart),
    )


def _worst_block(plane: npt.NDArray[np.float32]) -> float:
    """The largest root mean square of a block; the last ones may be narrower."""
    starts = [cast(Places, np.arange(0, side, BLOCK)) for side in plane.shape]
    sums = np.add.reduceat(np.add.reduceat(plane**2, starts[0], 0), starts[1], 1)
    heights, widths = (
        cast(Places, np.diff([*start, side])) for start, side in zip(starts, plane.shape, strict=True)
    )
    return float(np.sqrt((sums / np.outer(heights, widths)).max()))


def _planes(frame: bytes, width: int, height: int) -> Planes:
    every = np.frombuffer(frame, np.uint8).astype(np.float32)
    colours = every[width * height :].reshape(2, -(-height // 2), -(-width // 2))
    return every[: width * height].reshape(height, width), colours[0], colours[1]
