"""ffmpeg: which one is used, and the hashes of a video's frames as it decodes them. Torch-free."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pokora_anime.errors import MachineError, RecordError

DECODE_SECONDS = 120.0  # for a whole clip; one second is usual


def find_ffmpeg() -> str:
    """The ffmpeg to use. Raises MachineError SYS-FFMPEG if there is none that can be started."""
    import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs]

    try:
        found = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        found = None
    if found is None:
        raise missing()
    return found


def missing() -> MachineError:
    """The error where no ffmpeg can be started."""
    return MachineError(
        "SYS-FFMPEG",
        "no ffmpeg that can be started",
        expected="the one that imageio-ffmpeg brings, or IMAGEIO_FFMPEG_EXE pointing to another",
        fix="pip install --force-reinstall imageio-ffmpeg, and unset IMAGEIO_FFMPEG_EXE",
    )


def yuv_hashes(
    path: Path,
    width: int,
    height: int,
    limit: int,
    *,
    seconds: float = DECODE_SECONDS,
    take: Callable[[bytes], None] = lambda _: None,
) -> list[str]:
    """sha256 of every frame's yuv420p planes (Y, then U, then V) as decoded from an MP4; `take` gets each.

    Holds one frame at a time. Raises RecordError REC-VIDEO for what is no MP4 of frames of that size,
    for more than `limit` frames or more than `seconds`; MachineError SYS-FFMPEG without an ffmpeg.
    """
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    # Only a plain MP4 from a file: no playlists and nothing that refers to other files or hosts.
    source = ["-protocol_whitelist", "file", "-f", "mp4", "-i", f"file:{path.absolute()}"]
    line = [find_ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", *source]
    line += ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"]
    try:
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise missing() from error
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        hashes = _read(process.stdout, size, limit, path, take)
    except BaseException:
        process.kill()
        raise
    finally:
        status = process.wait()
        timer.cancel()
        process.stdout.close()
    if status != 0:
        raise _undecodable(path, f"ffmpeg ended with status {status} at frame {len(hashes)}")
    return hashes


def _read(stream: IO[bytes], size: int, limit: int, path: Path, take: Callable[[bytes], None]) -> list[str]:
    hashes: list[str] = []
    while data := stream.read(size):
        if len(data) != size:
            raise _undecodable(path, f"frame {len(hashes)} is not of the recorded size")
        if len(hashes) == limit:
            raise _undecodable(path, f"more than {limit} frames")
        hashes.append(hashlib.sha256(data).hexdigest())
        take(data)
    return hashes


def _undecodable(path: Path, reason: str) -> RecordError:
    return RecordError(
        "REC-VIDEO", f"{path.name} cannot be decoded: {reason}", expected="the MP4 of this run"
    )
