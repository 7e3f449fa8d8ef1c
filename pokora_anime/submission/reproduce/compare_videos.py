"""What two videos decode to, frame by frame at full size: equal, or how far apart."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np

from pokora_anime.errors import RecordError
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.run_reading import Reading
from pokora_anime.provenance.stage_records import Image
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.video import mp4_frames
from pokora_anime.verify.video.frame_figures import Figures, picture_figures
from pokora_anime.verify.video.thresholds import Bound, Limit

# As for frames in replay, at the crf that the configs have. Both videos went through one encoder with
# the same settings, so a coarser crf that the record names loosens nothing.
NEAR = Limit(passes=Bound(psnr=30, block=10), fails=Bound(psnr=25, block=20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """`equal` of `count` frames came out bit for bit; `figures` of each of the others, in Y, U and V."""

    equal: int
    count: int
    figures: tuple[Figures, ...]


def compare(one: Reading, other: Reading) -> Apart:
    """The recorded video against the new one, every frame. Raises RecordError REC-VIDEO, REC-FRAMES."""
    shapes = [
        mp4_frames.Shape(width=told.width, height=told.height, frames=told.count)
        for told in (one.frames(), other.frames())
    ]
    if shapes[0] != shapes[1]:
        raise RecordError("REC-FRAMES", "the two clips have different sizes", expected=str(shapes[0]))
    width, height = shapes[0].width, shapes[0].height
    size = width * height + 2 * (-(-width // 2) * -(-height // 2))
    equal = 0
    found: list[Figures] = []
    with tempfile.TemporaryFile() as kept:
        counts = [_decode(one, shapes[0], kept), 0]
        kept.seek(0)

        def take(frame: bytes) -> None:
            nonlocal equal
            before = kept.read(size)
            if before == frame:
                equal += 1
            elif len(before) == size:
                found.append(picture_figures(*(_planes(each, width, height) for each in (before, frame))))

        counts[1] = _run(other, shapes[1], take)
    if counts != [shapes[0].frames] * 2:
        raise RecordError(
            "REC-VIDEO", f"{counts[0]} and {counts[1]} frames decode", expected=str(shapes[0].frames)
        )
    return Apart(equal=equal, count=counts[0], figures=tuple(found))


def _decode(reading: Reading, shape: mp4_frames.Shape, kept: IO[bytes]) -> int:
    def take(frame: bytes) -> None:
        kept.write(frame)

    return _run(reading, shape, take)


def _run(reading: Reading, shape: mp4_frames.Shape, take: Callable[[bytes], None]) -> int:
    try:
        return mp4_frames.decode(reading.folder / run_layout.VIDEO, shape, LIMITS, take)
    except mp4_frames.BadVideo as error:
        raise RecordError("REC-VIDEO", f"{reading.folder / run_layout.VIDEO}: {error}") from error


def _planes(frame: bytes, width: int, height: int) -> Image:
    """A yuv420p frame as [height, width, 3], chroma repeated: every bit of it counts, at full size."""
    data = np.frombuffer(frame, np.uint8)
    chroma = data[width * height :].reshape(2, -(-height // 2), -(-width // 2))
    full = chroma.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    return np.stack([data[: width * height].reshape(height, width), *full], axis=2)
