"""Small still pictures of runs for a page: a clip's first frame, a still, or an unfinished run's keyframe.

They lie in the run's `reports`, outside what its record seals, so that all galleries share them.
"""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import suppress
from pathlib import Path

from pokora_anime.errors import MachineError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance import run_layout
from pokora_anime.system.files.atomic_files import write_atomic

SIDE = 384  # pixels of the longer side at most
MOST_PIXELS = 4096 * 4096
_MOST_BYTES = 1 << 28
_SECONDS = 20.0
_QUALITY = 78


def poster(run: Path, still: int | None = None) -> Path | None:
    """The poster of a run or of one of its stills, made unless it is there; None for nothing to show."""
    source = _source(run, still)
    if source is None or (run / run_layout.REPORTS).is_symlink():
        return None
    place = run / run_layout.REPORTS / ("poster.webp" if still is None else f"poster-{still + 1}.webp")
    with suppress(OSError):
        if not place.is_symlink() and place.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            return place
    try:
        data = _small(_frame(source) if source.suffix == ".mp4" else source.read_bytes())
        place.parent.mkdir(exist_ok=True)
        write_atomic(place, data)
    except (OSError, ValueError, SyntaxError, MachineError, subprocess.SubprocessError):
        return None
    return place


def _source(run: Path, still: int | None) -> Path | None:
    """The picture or clip that a poster is made of; links are followed nowhere."""
    names = (run_layout.VIDEO, "keyframe.png") if still is None else (run_layout.still_name(still),)
    for name in names:
        path = run / name
        with suppress(OSError):
            if not path.is_symlink() and path.is_file() and path.stat().st_size <= _MOST_BYTES:
                return path
    return None


def _frame(clip: Path) -> bytes:
    """The first frame of an MP4 as PNG; nothing but a plain MP4 from a file is opened."""
    source = ["-protocol_whitelist", "file", "-f", "mp4", "-i", f"file:{os.fspath(clip.absolute())}"]
    line = [find_ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", *source, "-map", "0:v:0"]
    line += [
        "-frames:v",
        "1",
        "-vf",
        f"scale='min({SIDE},iw)':-2",
        "-f",
        "image2pipe",
        "-c:v",
        "png",
        "pipe:1",
    ]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        timeout=_SECONDS, check=True,
    )  # fmt: skip
    return done.stdout


def _small(data: bytes) -> bytes:
    """A PNG as a WebP of at most `SIDE` pixels. Raises ValueError for what is none, or is too large."""
    from PIL import Image as Pictures
    from PIL import PngImagePlugin

    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError("no picture of a size that is shown")
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE), Pictures.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()
