"""The delivered MP4: what lies in its container, and the frames that come out of it."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pokora_anime.media import mp4_sound
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown

TOP_BOXES = ("ftyp", "moov", "free", "mdat")
MOVIE_BOXES = ("mvhd", "trak", "udta")
MAX_HEADER = 4 * 2**20
MAX_USER_DATA = 128 * 2**10  # a table of tags with the settings, which the closed form compares


class BadVideo(ValueError):
    """A file that is not one plain H.264 picture track, or that does not decode to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the record says of the video."""

    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the container: its kind, and where its content lies."""

    kind: str
    start: int  # of its content
    stop: int


def check_container(file: IO[bytes], size: int) -> None:
    """One picture track and nothing beside it: no sound, no second picture, no attachment.

    Raises BadVideo.
    """
    tops = boxes_in(file, size)
    kinds = [box.kind for box in tops]
    if sorted(set(kinds)) != sorted(set(kinds) & set(TOP_BOXES)) or len(set(kinds)) != len(kinds):
        raise BadVideo(f"the file holds {shown(kinds)}, expected {', '.join(TOP_BOXES)}, each once")
    if any(box.kind == "free" and box.stop > box.start for box in tops):
        raise BadVideo("the file's free space is not empty")
    content = movie(file, size)
    inside = boxes_of(content)
    kinds = [box.kind for box in inside]
    if not set(kinds) <= set(MOVIE_BOXES) or len(set(kinds)) != len(kinds) or "trak" not in kinds:
        raise BadVideo(f"the movie holds {shown(kinds)}, expected one track")
    if any(box.kind == "udta" and box.stop - box.start > MAX_USER_DATA for box in inside):
        raise BadVideo("the movie carries data beside its pictures")
    if b"vide" not in content or b"avc1" not in content:
        raise BadVideo("the track holds no H.264 pictures")


def movie(file: IO[bytes], size: int) -> bytes:
    """The content of the file's table of contents. Raises BadVideo."""
    box = next((box for box in boxes_in(file, size) if box.kind == "moov"), None)
    if box is None or box.stop - box.start > MAX_HEADER:
        raise BadVideo("no table of contents, or an over-long one")
    return _at(file, box.start, box.stop - box.start)


def boxes_in(file: IO[bytes], size: int) -> list[Box]:
    """The boxes that the file is made of. Raises BadVideo."""
    return list(_boxes(lambda at, count: _at(file, at, count), 0, size))


def boxes_of(content: bytes) -> list[Box]:
    """The boxes that a box's content is made of. Raises BadVideo."""
    return list(_boxes(lambda at, count: content[at : at + count], 0, len(content)))


def check_shape(shape: Shape, limits: Limits) -> None:
    """Raises BadVideo for more, larger or smaller frames than any honest video has."""
    width, height = shape.width, shape.height
    sizes = min(width, height) > 1 and width * height <= limits.video_pixels
    if not (sizes and 0 < shape.frames <= limits.video_frames):
        raise BadVideo(f"{width}x{height} pixels and {shape.frames} frames are beyond what is decoded")


def decode(path: Path, shape: Shape, limits: Limits, take: Callable[[bytes], None]) -> int:
    """Hands each decoded frame, yuv420p as stored, to `take`; returns how many there were.

    At most one frame more than the record says is decoded, and no sound. Raises BadVideo.
    """
    check_shape(shape, limits)
    with _pictures_alone(path) as alone:
        return _decoded(alone, shape, limits, take)


@contextmanager
def _pictures_alone(path: Path) -> Generator[Path]:
    """A file without the sound that this tool puts behind pictures: no decoder of sound is ever started."""
    with path.open("rb") as file:
        tracks = sum(box.kind == "trak" for box in boxes_of(movie(file, path.stat().st_size)))
    if tracks < 2:
        yield path
        return
    try:
        pictures, _ = mp4_sound.split(path.read_bytes())
    except mp4_sound.NoSound as error:
        raise BadVideo(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="pokora-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(pictures)
        yield copy


def _decoded(path: Path, shape: Shape, limits: Limits, take: Callable[[bytes], None]) -> int:
    width, height = shape.width, shape.height
    frame = width * height + 2 * (-(-width // 2) * -(-height // 2))
    with _ffmpeg(path, shape, limits) as (process, said, late):
        assert process.stdout is not None
        count = 0
        while piece := process.stdout.read(frame):
            if len(piece) < frame:
                raise BadVideo(f"frame {count} is cut short or of another size than {width}x{height}")
            take(piece)
            count += 1
        status = process.wait()
        if late.is_set():
            raise BadVideo(f"decoding took more than {limits.video_seconds:.0f} s")
        # Errors are told although ffmpeg goes on after a damaged frame.
        if status or said:
            raise BadVideo(f"it does not decode: {shown(said[0]) if said else f'status {status}'}")
    return count


def command(ffmpeg: str, path: Path, shape: Shape, limits: Limits) -> list[str]:
    """ffmpeg's command line: the first picture track of one local file to raw frames on standard output."""
    read = "-protocol_whitelist file -format_whitelist mov -codec_whitelist h264 -max_streams 4 -xerror"
    reading = f"{read} -err_detect explode -threads 2 -max_pixels {limits.video_pixels}"
    write = f"-map 0:v:0 -fps_mode passthrough -noautoscale -frames:v {shape.frames + 1}"
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", *reading.split()),
        *("-f", "mov", "-i", f"file:{path}", *write.split()),
        *("-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"),
    ]


@contextmanager
def _ffmpeg(
    path: Path, shape: Shape, limits: Limits
) -> Generator[tuple[subprocess.Popen[bytes], list[str], threading.Event], None, None]:
    """A running ffmpeg, what it says on standard error, and whether it was ended for taking too long."""
    process = subprocess.Popen(
        command(find_ffmpeg(), path, shape, limits),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ},
    )
    assert process.stderr is not None
    assert process.stdout is not None
    _limit(process.pid, limits)
    said: list[str] = []
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    reader = threading.Thread(target=_listen, args=(process.stderr, said), daemon=True)
    reader.start()
    watchdog = threading.Timer(limits.video_seconds, stop)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield process, said, late
    finally:
        watchdog.cancel()
        with contextlib.suppress(OSError):
            process.kill()
        process.stdout.close()
        process.wait()
        reader.join(1)
        process.stderr.close()


def _limit(process: int, limits: Limits) -> None:
    """Bounds the decoder's memory, and lets it write no file, where the system can."""
    if sys.platform != "linux":
        return
    import resource

    bounds = {resource.RLIMIT_AS: limits.video_memory, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for kind, bound in bounds.items():
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(process, kind, (bound, bound))


def _listen(stream: IO[bytes], said: list[str]) -> None:
    while line := stream.readline(1000):
        text = line.decode(errors="replace").strip()
        if text and len(said) < 20:
            said.append(text)


def _boxes(read: Callable[[int, int], bytes], start: int, stop: int) -> Iterator[Box]:
    """The boxes (ISO/IEC 14496-12) in a stretch of the file. Raises BadVideo."""
    count = 0
    while start < stop:
        head = read(start, 16)
        if len(head) < 8 or count == 64:
            raise BadVideo("the container's boxes do not fit")
        size, kind = struct.unpack(">I4s", head[:8])
        begin = start + 8
        if size == 1 and len(head) == 16:
            size, begin = struct.unpack(">Q", head[8:])[0], start + 16
        if size < begin - start or start + size > stop:
            raise BadVideo("the container's boxes do not fit")
        yield Box(kind.decode("latin-1"), begin, start + size)
        start, count = start + size, count + 1


def _at(file: IO[bytes], start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)
