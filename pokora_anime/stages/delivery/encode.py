"""Frames to an H.264 MP4 through ffmpeg, the same bytes every time on the same ffmpeg."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from pokora_anime.errors import ConfigError, MachineError, PokoraError, RecordError
from pokora_anime.media import ffmpeg_program, mp4_sound
from pokora_anime.media.ffmpeg_program import find_ffmpeg, missing, yuv_hashes
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import file_hash, text_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_layout import FRAMES, VIDEO, video_tag
from pokora_anime.provenance.stage_records import Image, Video
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.sounds import sound_track
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.files.atomic_files import disk_error, writing
from pokora_anime.timeline.effects import sound_plan
from pokora_anime.timeline.frame_timing import frames_delivered

_FULL_DISK = ("no space left", "disk quota exceeded", "file too large")


def write(
    frames: Iterator[Image],
    config: VideoConfig,
    context: RunContext,
    source: Callable[[Sequence[str]], Sequence[Node]],
    decoded_frame: Callable[[bytes], None] = lambda _: None,
) -> Video:
    """Encodes the frames into the run folder and records two hashes of each in frames.json.

    `decoded_frame` is handed each frame as the file gives it back, yuv420p.
    `source` is told the frames' RGB hashes once all have come and returns the nodes that made them.
    Raises MachineError SYS-FFMPEG or SYS-DISK; a partial file is removed.
    """
    size, fps = (config.finish.width, config.finish.height), config.finish.fps
    temporary = context.folder.temporary(VIDEO)
    try:
        hashes = _encoded(frames, temporary, config, context)
        decoded = _decoded(temporary, size, len(hashes), decoded_frame)
        _sound(temporary, config)
        path = context.folder.commit(temporary, VIDEO)
    finally:
        temporary.unlink(missing_ok=True)
    context.folder.write_text(FRAMES, _frames_json(hashes, decoded, size, fps))
    made = source(hashes)
    output = text_hash({"rgb_sha256": hashes, "yuv_sha256": decoded, "video_sha256": file_hash(path)})
    node = _node(made, config, context).made(output)
    context.folder.note_node(node)
    return Video(
        path=path,
        frames=len(hashes),
        fps=fps,
        width=size[0],
        height=size[1],
        rgb_hashes=tuple(hashes),
        yuv_hashes=tuple(decoded),
        sources=tuple(made),
        node=node,
    )


def _encoded(frames: Iterator[Image], target: Path, config: VideoConfig, context: RunContext) -> list[str]:
    """Encodes the frames into a file; their RGB hashes. Raises RecordError where there is none."""
    finish = config.finish
    size, tag = (finish.width, finish.height), video_tag(to_plain(config))
    hashes: list[str] = []
    with _Ffmpeg(
        command(find_ffmpeg(), size, finish.fps, config, target, tag), context.folder.path
    ) as ffmpeg:
        for frame in frames:
            if not hashes:
                total = frames_delivered(config.shot.seconds, finish.fps)
                context.progress.stage("encode", total=total)
            hashes.append(rgb_hash(frame))
            ffmpeg.send(frame)
            context.progress.step()
    if not hashes:
        raise RecordError("REC-FRAMES", "no frame to encode", fix="start the same command with fresh=true")
    return hashes


def _sound(path: Path, config: VideoConfig) -> None:
    """Puts the run's sound behind the pictures of a file, of which not one byte changes."""
    stream = sound_track.stream(config.shot)
    if stream is None:
        return
    try:
        whole = mp4_sound.joined(path.read_bytes(), stream)
        with writing(path.parent, len(whole)):
            path.write_bytes(whole)
    except mp4_sound.NoSound as error:
        raise MachineError(
            "SYS-FFMPEG", f"the sound does not fit the file: {error}", expected="ffmpeg's MP4"
        ) from error


def _decoded(path: Path, size: tuple[int, int], count: int, take: Callable[[bytes], None]) -> list[str]:
    """The hashes of the frames as the file gives them back. Raises MachineError if it has not kept all."""
    decoded = yuv_hashes(path, *size, limit=count + 1, take=take)
    if len(decoded) != count:
        raise MachineError(
            "SYS-FFMPEG",
            f"the encoded file holds {len(decoded)} of {count} frames",
            expected="all of them",
            fix="start the same command again: finished segments are kept",
        )
    return decoded


def rgb_hash(frame: Image) -> str:
    """sha256 of a frame's bytes as ffmpeg's rgb24 has them: rows from the top, R G B."""
    return hashlib.sha256(np.ascontiguousarray(frame).data).hexdigest()


def command(
    ffmpeg: str, size: tuple[int, int], fps: int, config: VideoConfig, target: Path, tag: str = ""
) -> list[str]:
    """ffmpeg's command line: rgb24 frames in on standard input, yuv420p H.264 out; `tag` is its comment."""
    if size[0] % 2 or size[1] % 2:
        raise ConfigError(
            "CFG-SIZE",
            f"finish size {size[0]}x{size[1]}",
            expected="an even width and height (yuv420p halves the colour)",
            fix=f"finish.width={size[0] // 2 * 2} finish.height={size[1] // 2 * 2}",
        )
    # Both the conversion and the tags say BT.709: players guess BT.601 or 709 from the size otherwise.
    convert = (
        "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int,"
        "format=yuv420p,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    )
    source = f"-f rawvideo -pix_fmt rgb24 -video_size {size[0]}x{size[1]} -framerate {fps} -i pipe:0"
    codec = f"-c:v libx264 -preset {config.encode.preset} -crf {config.encode.crf} -g {2 * fps} -threads 1"
    tags = "-color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709"
    exact = "-fflags +bitexact -flags:v +bitexact -map_metadata -1 -movflags +faststart -f mp4"
    # The encoder's own notes would be bytes that are no picture; a judge accepts none.
    plain = "-bsf:v filter_units=remove_types=6"
    start = [ffmpeg, "-hide_banner", "-loglevel", "error", "-y", "-filter_threads", "1", *source.split()]
    return [
        *start,
        "-an",
        "-vf",
        convert,
        *codec.split(),
        *tags.split(),
        *plain.split(),
        *exact.split(),
        *(("-metadata", f"comment={tag}") if tag else ()),
        str(target),
    ]


class _Ffmpeg:
    """A running ffmpeg that is fed frames; killed when the block is left through an exception."""

    def __init__(self, line: Sequence[str], folder: Path) -> None:
        self._folder = folder
        self._said: deque[str] = deque(maxlen=20)
        # In a group of its own: Ctrl-C is for us, and we end it.
        windows = sys.platform == "win32"
        try:
            self._process = subprocess.Popen(
                line,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=not windows,
                creationflags=0x200 if windows else 0,
            )
        except OSError as error:
            raise missing() from error
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._input: IO[bytes] = self._process.stdin
        # Read all the time: a full pipe would stop ffmpeg.
        self._reader = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def send(self, frame: Image) -> None:
        """Hands over one frame; waits while ffmpeg is behind."""
        try:
            self._input.write(np.ascontiguousarray(frame).data)
        except OSError as error:
            raise self._failure() from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        with contextlib.suppress(OSError):  # what it could not take shows in its exit status
            self._input.close()
        status = self._process.wait()
        if error is None and status != 0:
            raise self._failure()

    def _listen(self, stream: IO[bytes]) -> None:
        for line in stream:
            if text := line.decode(errors="replace").strip():
                self._said.append(text)

    def _failure(self) -> PokoraError:
        status = self._process.wait()
        self._reader.join(1)
        said = list(self._said)
        if any(reason in line.lower() for line in said for reason in _FULL_DISK):
            return disk_error(self._folder, 0)
        # The last line names the consequence ("Conversion failed!"); the one that names a cause is before it.
        last = next((line for line in reversed(said) if "conversion failed" not in line.lower()), "")
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return MachineError(
            "SYS-FFMPEG",
            f"ffmpeg {ended}" + (f": {last}" if last else ""),
            expected="an H.264 file",
            fix="see the run's log, then start the same command again: finished segments are kept",
        )


def _frames_json(rgb: Sequence[str], yuv: Sequence[str], size: tuple[int, int], fps: int) -> str:
    content = {
        "count": len(rgb),
        "fps": fps,
        "width": size[0],
        "height": size[1],
        "rgb_sha256": list(rgb),
        "yuv_sha256": list(yuv),
    }
    return json.dumps(content, indent=0) + "\n"


def _node(made: Sequence[Node], config: VideoConfig, context: RunContext) -> Node:
    return Node.after(
        made,
        "encode",
        {
            "encode": asdict(config.encode),
            "fps": config.finish.fps,
            "size": [config.finish.width, config.finish.height],
            **sound_plan.recorded(config.shot),
        },
        code=code_hash(sys.modules[__name__], ffmpeg_program, mp4_sound, sound_plan),
        environment=environment(context),
    )
