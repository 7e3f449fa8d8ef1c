"""Closed forms of the files that a judge is shown: MP4, PNG."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image as Pictures
from support import forged_media

from pokora_anime.history import embedded_texts
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance.run_layout import video_tag
from pokora_anime.stages.delivery.encode import command
from pokora_anime.untrusted.png_pictures import closed_png_problem
from pokora_anime.verify.video.mp4_form import check_form
from pokora_anime.verify.video.mp4_frames import BadVideo, Shape

WIDTH, HEIGHT, FRAMES, FPS = 66, 98, 30, 12
TAG = video_tag({"seed": 7, "shot": {"prompt": '(caf\u00e9 \u793e:1.2), "a" = b; $x'}, "fresh": True})


def encoded(
    path: Path,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    frames: int = FRAMES,
    fps: int = FPS,
    crf: int = 16,
    preset: str = "medium",
    noise: int = 8,
    extra: tuple[str, ...] = (),
    tag: str = TAG,
) -> Path:
    config = cast(Any, SimpleNamespace(encode=SimpleNamespace(preset=preset, crf=crf)))
    line = command(find_ffmpeg(), size, fps, config, path, tag)
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
        shape = Shape(width=size[0], height=size[1], frames=frames)
        check_form(io.BytesIO(data), len(data), shape, fps, TAG)
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


def test_a_video_of_an_older_release_is_told_what_it_lacks(tmp_path: Path) -> None:
    plain = encoded(tmp_path / "video.mp4", tag="").read_bytes()
    assert "does not carry the run's settings, as releases before 0.3" in problem(plain)


def test_a_copy_by_ffmpeg_keeps_the_comment(honest: bytes, tmp_path: Path) -> None:
    for name, options in (("copy.mp4", ()), ("late.mp4", ("-movflags", "0"))):
        path = tmp_path / name
        path.write_bytes(forged_media.copied(*options)(honest))
        assert embedded_texts.read(path).read == {"comment": TAG}


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


@pytest.mark.parametrize("forge", forged_media.MP4.values(), ids=forged_media.MP4)
def test_what_players_obey_is_seen(honest: bytes, forge: Callable[[bytes], bytes]) -> None:
    forged = forge(honest)
    assert forged != honest and problem(forged)


PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def png(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(PIXELS).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_a_png_as_it_is_written_is_accepted() -> None:
    assert closed_png_problem(png()) == ""


@pytest.mark.parametrize("forge", forged_media.PNG.values(), ids=forged_media.PNG)
def test_a_png_with_anything_else_is_refused(forge: Callable[[bytes], bytes]) -> None:
    assert closed_png_problem(forge(png()))


def test_other_modes_and_interlacing_are_refused() -> None:
    for mode in ("L", "P", "RGBA", "1"):
        buffer = io.BytesIO()
        Pictures.fromarray(PIXELS).convert(mode).save(buffer, "PNG")
        assert closed_png_problem(buffer.getvalue()), mode
