"""Pictures for the documents: frames out of the MP4, stored pictures, and JPEGs that fit a size."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image as Pictures
from PIL import ImageFile

from pokora_anime.errors import RecordError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.run_reading import Reading
from pokora_anime.provenance.stage_records import Image

QUALITIES = (95, 93, 91, 88, 85, 82, 78, 74, 70, 65, 60, 55, 50)
LONGEST = 1536  # pixels a side in a document
SATURATED, LIGHT = 60, 50  # of 255, above which a pixel has a colour worth naming


def frames(reading: Reading, wanted: Sequence[int]) -> list[Image]:
    """Those frames of the delivered video as RGB, in order. Raises RecordError REC-VIDEO."""
    told = reading.frames()
    path = reading.folder / run_layout.VIDEO
    picked = "+".join(f"eq(n\\,{index})" for index in sorted(set(wanted)))
    # BT.709, limited range, as `encode` writes it.
    chain = (
        f"select={picked},scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int+bitexact"
    )
    line = [find_ffmpeg(), "-nostdin", "-loglevel", "error", "-threads", "1", "-i", f"file:{path.absolute()}"]
    line += ["-vf", chain, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    size = told.width * told.height * 3
    if done.returncode or len(done.stdout) != size * len(set(wanted)):
        raise RecordError("REC-VIDEO", f"{path} does not decode to its {told.count} frames")
    decoded = np.frombuffer(done.stdout, np.uint8).reshape(-1, told.height, told.width, 3)
    return [decoded[sorted(set(wanted)).index(index)] for index in wanted]


def spread(count: int, number: int) -> list[int]:
    """`number` indices from the first to the last of `count`."""
    return np.linspace(0, max(count - 1, 0), number).round().astype(int).tolist()


def jpeg(picture: Image, quality: int, longest: int = LONGEST) -> bytes:
    """A JPEG of at most `longest` pixels a side, without chroma subsampling."""
    image = Pictures.fromarray(np.ascontiguousarray(picture))
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Pictures.Resampling.LANCZOS)
    data = io.BytesIO()
    # Pillow writes an optimised file in one piece, and believes that it is smaller than most of noise are.
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 4 * image.width * image.height)
    image.save(data, "JPEG", quality=quality, subsampling=0, optimize=True)
    return data.getvalue()


def fitting(pictures: Mapping[str, Image], budget: int) -> tuple[dict[str, bytes], int]:
    """All pictures as JPEGs of the best common quality within `budget` bytes in all, and that quality.

    Where even the lowest is too large they get smaller.
    """
    longest = LONGEST
    while True:
        for quality in QUALITIES:
            made = {name: jpeg(picture, quality, longest) for name, picture in pictures.items()}
            if sum(map(len, made.values())) <= budget or longest <= 256:
                return made, quality
        longest = longest * 3 // 4


def hue(pictures: Sequence[Image]) -> int:
    """The hue (0..359 degrees, of HSV) that most strong colours in the pictures have."""
    counts = np.zeros(36)
    for picture in pictures:
        image = Pictures.fromarray(np.ascontiguousarray(picture))
        image.thumbnail((128, 128))
        hsv = np.asarray(image.convert("HSV"), np.int32).reshape(-1, 3)
        strong = hsv[(hsv[:, 1] > SATURATED) & (hsv[:, 2] > LIGHT)]
        # Skin is in every picture of a person and names none of them.
        degrees = strong[:, 0] * 360 // 256
        weight = strong[:, 1] * ~((degrees >= 10) & (degrees <= 45))
        counts += np.bincount(degrees // 10, weights=weight, minlength=36)[:36]
    return int(counts.argmax()) * 10 + 5 if counts.any() else 335
