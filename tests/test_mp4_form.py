"""Closed forms of the files that a judge is shown: MP4, PNG."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image as Pictures

from pokora_anime.compliance.verify.mp4_form import check_form
from pokora_anime.compliance.verify.pictures import closed_png_problem
from pokora_anime.compliance.verify.video import BadVideo, Shape
from pokora_anime.provenance.ffmpeg import find_ffmpeg
from pokora_anime.stages.encode import command

WIDTH, HEIGHT, FRAMES, FPS = 66, 98, 30, 12


def encoded(
    path: Path,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    frames: int = FRAMES,
    fps: int = FPS,
    crf: int = 16,
    preset: str = "medium",
    noise: int = 8,
    extra: tuple[str, ...] = (),
) -> Path:
    config = cast(Any, SimpleNamespace(encode=SimpleNamespace(preset=preset, crf=crf)))
    line = command(find_ffmpeg(), size, fps, config, path)
    rng = np.random.default_rng(1)
    ground = rng.integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    ground = ground[: size[1], : size[0]]
    moved = [np.roll(ground, 2 * i, 1) + rng.integers(-noise, noise + 1, ground.shape) for i in range(frames)]
    data = b"".join(np.clip(one, 0, 255).astype(np.uint8).tobytes() for one in moved)
    subprocess.run([*line[:-1], *extra, line[-1]], input=data, check=True)
    return path


def problem(
    data: bytes, size: tuple[int, int] = (WIDTH, HEIGHT), frames: int = FRAMES, fps: int = FPS
) -> str:
    try:
        check_form(io.BytesIO(data), len(data), Shape(width=size[0], height=size[1], frames=frames), fps)
    except BadVideo as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("size", "frames", "fps", "crf", "preset", "noise"),
    [
        ((64, 64), 48, 24, 16, "medium", 0),
        ((66, 98), 1, 8, 23, "medium", 8),
        ((256, 256), 60, 12, 4, "veryfast", 90),  # several chunks of a MiB
        ((130, 64), 3, 24, 0, "veryslow", 0),  # lossless, of another profile
        ((64, 64), 17, 10, 20, "ultrafast", 0),
        ((64, 64), 130, 11, 20, "faster", 30),  # several key frames
    ],
)
def test_every_honest_video_has_the_closed_form(
    tmp_path: Path, size: tuple[int, int], frames: int, fps: int, crf: int, preset: str, noise: int
) -> None:
    path = encoded(tmp_path / "video.mp4", size, frames, fps, crf, preset, noise)
    assert problem(path.read_bytes(), size, frames, fps) == ""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encoded(tmp_path_factory.mktemp("mp4") / "video.mp4").read_bytes()


def test_any_byte_of_the_container_is_seen(honest: bytes) -> None:
    head = honest.index(b"mdat") + 4
    unseen: list[int] = []
    for at in range(head):
        flipped = bytearray(honest)
        flipped[at] ^= 1
        if not problem(bytes(flipped)):
            unseen.append(at)
    # Level and picture parameters are the encoder's own: a decoder that gets others shows other frames.
    at = honest.index(b"avcC")
    assert [one for one in unseen if not at < one < at + 64] == []


@pytest.mark.parametrize(
    "extra",
    [
        ("-aspect", "2:1"),
        ("-metadata", "comment=hidden"),
        ("-bsf:v", "null"),  # the encoder's notes stay
        ("-bsf:v", "h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+hidden"),
        ("-bsf:v", "filter_units=remove_types=6,h264_metadata=sample_aspect_ratio=2/1"),
        ("-bsf:v", "filter_units=remove_types=6,h264_metadata=matrix_coefficients=6"),
        ("-bsf:v", "filter_units=remove_types=6,h264_metadata=video_full_range_flag=1"),
        ("-bsf:v", "filter_units=remove_types=6,h264_metadata=crop_right=8"),
        ("-bsf:v", "filter_units=remove_types=6,h264_metadata=tick_rate=48"),
        ("-bsf:v", "filter_units=remove_types=6,h264_metadata=aud=insert"),
        ("-movflags", "+faststart+write_colr+use_metadata_tags"),
        ("-movflags", "frag_keyframe"),
        ("-brand", "mp42"),
        ("-video_track_timescale", "90000"),
        ("-write_tmcd", "1", "-timecode", "00:00:00:00"),
    ],
    ids=lambda extra: extra[-1],
)
def test_what_players_obey_is_seen(tmp_path: Path, honest: bytes, extra: tuple[str, ...]) -> None:
    data = encoded(tmp_path / "video.mp4", extra=extra).read_bytes()
    if data == honest:
        pytest.skip("this option changes nothing")
    assert problem(data)


def test_bytes_behind_or_between_the_frames_are_seen(honest: bytes) -> None:
    at = honest.index(b"mdat") - 4
    (length,) = struct.unpack(">I", honest[at : at + 4])
    grown = honest[:at] + struct.pack(">I", length + 4) + honest[at + 4 :] + b"junk"
    assert problem(honest + b"\0\0\0\x08free") and problem(grown)


PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def png(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(PIXELS).save(buffer, "PNG", **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def inserted(kind: bytes, content: bytes = b"") -> Callable[[bytes], bytes]:
    def forge(data: bytes) -> bytes:
        at = data.index(b"IDAT") - 4
        return data[:at] + chunk(kind, content) + data[at:]

    return forge


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def forge(data: bytes) -> bytes:
        at = data.index(b"IDAT") - 4
        (length,) = struct.unpack(">I", data[at : at + 4])
        return data[:at] + chunk(b"IDAT", change(data[at + 8 : at + 8 + length])) + chunk(b"IEND", b"")

    return forge


def test_a_png_as_it_is_written_is_accepted() -> None:
    assert closed_png_problem(png()) == ""


@pytest.mark.parametrize(
    "forge",
    [
        *[
            inserted(kind, content)
            for kind, content in (
                (b"acTL", bytes(8)), (b"fcTL", bytes(26)), (b"fdAT", bytes(8)), (b"gAMA", bytes(4)),
                (b"tRNS", bytes(6)), (b"eXIf", b"MM\0*"), (b"pHYs", bytes(9)), (b"iCCP", b"x\0\0"),
                (b"cHRM", bytes(32)), (b"sRGB", b"\0"), (b"tEXt", b"a\0b"), (b"zTXt", b"a\0\0"),
                (b"iTXt", b"a\0\0\0\0\0"), (b"tIME", bytes(7)), (b"bKGD", bytes(6)), (b"sPLT", b"a\0"),
                (b"PLTE", bytes(3)), (b"prIv", b"x"), (b"IHDR", bytes(13)), (b"IEND", b""),
            )
        ],
        lambda data: data + b"behind",
        lambda data: data + chunk(b"IEND", b""),
        lambda data: data[:-12] + chunk(b"IEND", b"x"),
        lambda data: data[:20] + b"\1" + data[21:],
        repacked(lambda packed: packed + b"behind"),
        repacked(lambda packed: zlib.compress(zlib.decompress(packed) + b"behind")),
        repacked(lambda packed: zlib.compress(zlib.decompress(packed)[:-1])),
        repacked(lambda packed: zlib.compress(b"\5" + zlib.decompress(packed)[1:])),
    ],
)  # fmt: skip
def test_a_png_with_anything_else_is_refused(forge: Callable[[bytes], bytes]) -> None:
    assert closed_png_problem(forge(png()))


def test_other_modes_and_interlacing_are_refused() -> None:
    for mode in ("L", "P", "RGBA", "1"):
        buffer = io.BytesIO()
        Pictures.fromarray(PIXELS).convert(mode).save(buffer, "PNG")
        assert closed_png_problem(buffer.getvalue()), mode
