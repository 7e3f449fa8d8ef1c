"""The MP4 as ffmpeg and players see it, its hashes, and what happens when ffmpeg fails."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from support import tiny_vae as tiny

from pokora_anime.errors import ConfigError, Interrupted, MachineError, RecordError
from pokora_anime.media.ffmpeg_program import yuv_hashes
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.hashing import file_hash, text_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.stage_records import Image, Video
from pokora_anime.stages.delivery import encode

SIZE = 96
SOURCE = Node(op="finish", params={}, parents=("a" * 64,), inputs=("b" * 64,), output="c" * 64)


def clip(count: int = 24) -> list[Image]:
    scene = sample_scene(np.random.default_rng(3), action="waving")
    return [draw_frame(scene, index / 24, SIZE).rgb for index in range(count)]


def written(root: Path, frames: list[Image] | Iterator[Image] | None = None) -> Video:
    context = tiny.context(root)
    with context.folder:
        source = iter(clip() if frames is None else frames)
        return encode.write(source, tiny.config(size=(SIZE, SIZE)), context, lambda hashes: [SOURCE])


def ffmpeg(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", *arguments], capture_output=True, check=False
    )


def decoded(path: Path) -> list[Image]:
    raw = ffmpeg("-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1").stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, SIZE, SIZE, 3))


def fake_ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.suffix in (".tmp", ".mp4")]


def test_the_file_is_what_players_expect(tmp_path: Path) -> None:
    video = written(tmp_path)
    assert (video.frames, video.fps, video.width, video.height) == (24, 24, SIZE, SIZE)
    assert video.path.name == "video.mp4"
    said = ffmpeg("-i", str(video.path)).stderr.decode()
    for words in ("h264", "yuv420p(tv, bt709", f"{SIZE}x{SIZE}", "24 fps", "Duration: 00:00:01.00"):
        assert words in said, said
    data = video.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart


def test_colours_come_back_as_they_went_in(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (240, 220, 200), (20, 20, 40)]
    frames = [np.full((SIZE, SIZE, 3), colour, np.uint8) for colour in colours]
    back = decoded(written(tmp_path, frames).path)
    for frame, colour in zip(back, colours, strict=True):
        assert np.abs(frame.mean((0, 1)) - colour).max() < 4


def test_the_picture_survives(tmp_path: Path) -> None:
    frames = clip()
    for frame, back in zip(frames, decoded(written(tmp_path, frames).path), strict=True):
        error = np.mean((frame.astype(float) - back) ** 2)
        assert 10 * np.log10(255**2 / error) > 30


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name).path.read_bytes() for name in "ab")
    assert first == second


def test_every_frame_is_hashed_before_it_is_encoded(tmp_path: Path) -> None:
    frames = clip(5)
    video = written(tmp_path, frames)
    assert video.rgb_hashes == tuple(hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames)
    record = json.loads((video.path.parent / "frames.json").read_text())
    assert record == {
        "count": 5,
        "fps": 24,
        "width": SIZE,
        "height": SIZE,
        "rgb_sha256": list(video.rgb_hashes),
        "yuv_sha256": list(video.yuv_hashes),
    }


def planes(path: Path) -> list[str]:
    raw = ffmpeg("-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1").stdout
    size = SIZE * SIZE * 3 // 2
    return [hashlib.sha256(raw[at : at + size]).hexdigest() for at in range(0, len(raw), size)]


def test_every_frame_is_hashed_as_the_file_gives_it_back(tmp_path: Path) -> None:
    video = written(tmp_path, clip(5))
    assert len(video.yuv_hashes) == 5
    assert list(video.yuv_hashes) == planes(video.path)
    assert len(set(video.yuv_hashes)) == 5


@pytest.mark.parametrize("limit", [3, 4])
def test_more_frames_than_recorded_are_not_decoded(tmp_path: Path, limit: int) -> None:
    path = written(tmp_path, clip(4)).path
    if limit == 4:
        assert len(yuv_hashes(path, SIZE, SIZE, limit)) == 4
    else:
        with pytest.raises(RecordError, match="more than 3 frames"):
            yuv_hashes(path, SIZE, SIZE, limit)


@pytest.mark.parametrize("content", [b"", b"#EXTM3U\nvideo.mp4\n", b"ftyp" * 100])
def test_what_is_no_mp4_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "video.mp4").write_bytes(content)
    with pytest.raises(RecordError, match="REC-VIDEO"):
        yuv_hashes(tmp_path / "video.mp4", SIZE, SIZE, 10)


def test_the_node_covers_both_hash_lists_and_the_file(tmp_path: Path) -> None:
    told: list[list[str]] = []

    def source(hashes: Sequence[str]) -> list[Node]:
        told.append(list(hashes))
        return [SOURCE]

    context = tiny.context(tmp_path)
    video = encode.write(iter(clip(3)), tiny.config(size=(SIZE, SIZE)), context, source)
    assert told == [list(video.rgb_hashes)]
    assert video.node.op == "encode"
    assert (video.node.parents, video.node.inputs) == ((SOURCE.id,), (SOURCE.output,))
    assert video.node.output == text_hash(
        {
            "rgb_sha256": video.rgb_hashes,
            "yuv_sha256": video.yuv_hashes,
            "video_sha256": file_hash(video.path),
        }
    )
    assert context.folder.recorded(video.node) == video.node


def test_odd_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"33x32.*finish.width=32 finish.height=32"):
        encode.write(
            iter(clip()), tiny.config(size=(33, 32)), tiny.context(tmp_path), lambda hashes: [SOURCE]
        )


def test_no_frames_are_an_error(tmp_path: Path) -> None:
    with pytest.raises((RecordError, MachineError)):
        written(tmp_path, [])
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("where", ["/nowhere/ffmpeg", "not-a-program"])
def test_a_missing_ffmpeg_is_named_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", where)
    with pytest.raises(MachineError, match=r"SYS-FFMPEG: no ffmpeg.*pip install") as caught:
        written(tmp_path)
    assert caught.value.exit_code == 4


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_a_dying_ffmpeg_is_quoted_and_its_file_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(
        tmp_path, 'for target; do :; done; echo half > "$target"; echo "codec gone" >&2; exit 7', monkeypatch
    )
    with pytest.raises(MachineError, match=r"SYS-FFMPEG: ffmpeg ended with status 7: codec gone"):
        written(tmp_path, clip() * 20)
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_a_full_disk_while_encoding_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        'head -c 99999 >/dev/null; echo "av_interleaved_write_frame(): No space left on device" >&2; exit 1'
    )
    fake_ffmpeg(tmp_path, script, monkeypatch)
    with pytest.raises(MachineError, match=r"SYS-DISK: no space left in .*free some space"):
        written(tmp_path, clip() * 20)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_real_ffmpeg_killed_by_a_limit_keeps_what_was_there_before(tmp_path: Path) -> None:
    import resource

    before = written(tmp_path).path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (60, SIZE, SIZE, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(MachineError, match=r"SYS-FFMPEG: ffmpeg was ended by signal|SYS-DISK"):
            written(tmp_path, list(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert leftovers(tmp_path) == ["video.mp4"]
    assert next(tmp_path.rglob("video.mp4")).read_bytes() == before


def test_an_interrupted_clip_leaves_no_partial_file_and_no_ffmpeg(tmp_path: Path) -> None:
    def frames() -> Iterator[Image]:
        yield from clip(3)
        raise Interrupted("INT-STOP", "stopped")

    with pytest.raises(Interrupted):
        written(tmp_path, frames())
    assert leftovers(tmp_path) == []
    if sys.platform != "win32":
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
