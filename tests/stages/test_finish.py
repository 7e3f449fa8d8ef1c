"""Delivered frames: how many, at which times, from which latents, and how well motion is filled in."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny_vae as tiny

from pokora_anime.errors import RecordError
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.stage_records import Image, Segment
from pokora_anime.quality.contact_sheet import MAX_WIDTH, SheetCollector, contact_sheet
from pokora_anime.schema.settings import FinishConfig, Interpolation
from pokora_anime.stages.delivery import finish, interpolate
from pokora_anime.stages.picture.decode import fitted
from pokora_anime.timeline import frame_timing


def psnr(a: Image, b: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def drawn(time: float, size: int = 192, seed: int = 3, **fixed: str) -> Image:
    fixed = {"action": "waving", "shot": "upper body", "camera": "static", "style": "plain"} | fixed
    return draw_frame(sample_scene(np.random.default_rng(seed), **fixed), time, size).rgb


def delivered(clip: torch.Tensor, root: Path, config: object = None, **cut: int) -> list[Image]:
    config = config or tiny.config()
    return list(finish.frames(tiny.segments(clip, **cut), config, tiny.context(root)))


# How many and when


@pytest.mark.parametrize(("fps", "needed"), [(8, 65), (9, 73), (10, 81), (11, 89), (12, 97)])
def test_eight_seconds_need_one_frame_past_the_end(fps: int, needed: int) -> None:
    assert frame_timing.frames_needed(8.0, fps, 24) == needed


def test_no_frame_past_the_end_is_needed_at_equal_rates() -> None:
    assert frame_timing.frames_needed(8.0, 24, 24) == 192


@settings(deadline=None)
@given(seconds=st.floats(0.1, 12), fps=st.integers(8, 12), out_fps=st.integers(12, 60))
def test_the_frames_needed_are_just_enough(seconds: float, fps: int, out_fps: int) -> None:
    count = frame_timing.frames_delivered(seconds, out_fps)
    needed = frame_timing.frames_needed(seconds, fps, out_fps)
    asked: list[int] = []

    def source() -> Iterator[Image]:
        for index in range(needed):
            asked.append(index)
            yield np.zeros((4, 4, 3), np.uint8)

    frames = list(interpolate.retimed(source(), fps, out_fps, count))
    assert len(frames) == count
    assert len(asked) == needed


@pytest.mark.parametrize("fps", [8, 9, 10, 11, 12])
def test_frames_whose_time_was_generated_pass_unchanged(fps: int) -> None:
    clip = [drawn(index / fps, 64) for index in range(frame_timing.frames_needed(1.0, fps, 24))]
    frames = list(interpolate.retimed(iter(clip), fps, 24, 24))
    assert len(frames) == 24
    for index, frame in enumerate(frames):
        position = frame_timing.source_position(index, fps, 24)
        if position.denominator == 1:
            assert np.array_equal(frame, clip[int(position)])


def test_without_interpolation_the_frame_before_is_repeated() -> None:
    clip = [np.full((4, 4, 3), value, np.uint8) for value in range(9)]
    frames = list(interpolate.retimed(iter(clip), 8, 24, 24, moving=False))
    assert [int(frame[0, 0, 0]) for frame in frames] == [index // 3 for index in range(24)]


# From latents


def test_frames_are_those_of_diffusers_own_decoder(tmp_path: Path) -> None:
    clip = tiny.latents(9)
    config = tiny.config(out_fps=8, decode_chunk=9)
    frames = delivered(clip, tmp_path, config, length=9)
    assert len(frames) == 8
    for frame, expected in zip(frames, tiny.decoded(clip, 9), strict=False):
        assert np.array_equal(frame, expected)


def test_shared_frames_are_delivered_once(tmp_path: Path) -> None:
    clip = tiny.latents(12)
    config = tiny.config(1.5, out_fps=8, decode_chunk=2)
    whole = delivered(clip, tmp_path / "a", config, length=12)
    for overlap in (1, 4):
        cut = delivered(clip, tmp_path / str(overlap), config, length=6, overlap=overlap)
        assert len(cut) == len(whole) == 12
        for frame, expected in zip(cut, whole, strict=True):
            # Batches of other sizes may round differently.
            assert int(np.abs(frame.astype(int) - expected).max()) <= 1


def test_chunks_hold_at_most_decode_chunk_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decode = tiny.vae().decode

    def counting(scaled: torch.Tensor, **more: bool) -> object:
        sizes.append(scaled.shape[0])
        return decode(scaled, **more)

    monkeypatch.setattr(tiny.vae(), "decode", counting)
    delivered(tiny.latents(9), tmp_path, tiny.config(decode_chunk=3), length=9)
    assert sizes == [3, 3, 3]


def test_the_same_latents_give_the_same_frames(tmp_path: Path) -> None:
    first, second = (delivered(tiny.latents(9), tmp_path / name) for name in "ab")
    assert len(first) == 24
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_bf16_stays_close_to_fp32(tmp_path: Path) -> None:
    clip = tiny.latents(9)
    exact = delivered(clip, tmp_path / "a")
    context = tiny.context(tmp_path / "b", torch.bfloat16)
    rounded = list(finish.frames(tiny.segments(clip), tiny.config(), context))
    assert min(psnr(a, b) for a, b in zip(exact, rounded, strict=True)) > 35


def test_segments_are_let_go_as_they_are_used(tmp_path: Path) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def watched() -> Iterator[Segment]:
        for segment in tiny.segments(tiny.latents(25).clone()):
            copy = segment.latents.clone()
            alive.append(weakref.ref(copy))
            fields = {name: getattr(segment, name) for name in ("index", "start", "known", "node")}
            del segment
            made = Segment(latents=copy, **fields)
            del copy
            yield made
            del made

    for _ in finish.frames(watched(), tiny.config(3.0), tiny.context(tmp_path)):
        most = max(most, sum(reference() is not None for reference in alive))
    assert len(alive) > 3
    assert most <= 1


def test_too_few_frames_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="REC-FRAMES"):
        delivered(tiny.latents(8), tmp_path)


def test_a_gap_between_segments_is_an_error(tmp_path: Path) -> None:
    parts = list(tiny.segments(tiny.latents(25)))
    with pytest.raises(RecordError, match="REC-ORDER"):
        list(finish.frames(iter([parts[0], parts[3]]), tiny.config(3.0), tiny.context(tmp_path)))


def test_nothing_is_interpolated_when_told_so(tmp_path: Path) -> None:
    frames = delivered(tiny.latents(9), tmp_path, tiny.config(interpolation=Interpolation.none))
    assert all(np.array_equal(frames[index], frames[index // 3 * 3]) for index in range(24))


# Motion filled in


@pytest.mark.parametrize(
    ("action", "camera", "gain"),
    [("waving", "static", 2), ("arms up", "static", 3), ("walking", "pan right", 3)],
)
def test_flow_comes_closer_to_the_drawn_frames_than_blending(action: str, camera: str, gain: float) -> None:
    flow = interpolate.make_flow()
    gains: list[float] = []
    for index in range(3):
        before, after = (drawn((index + step) / 8, action=action, camera=camera) for step in (0, 1))
        pair = interpolate.FramePair(before, after, flow)
        for third in (1, 2):
            time = third / 3
            truth = drawn((index + time) / 8, action=action, camera=camera)
            blend = cv2.addWeighted(before, 1 - time, after, time, 0)
            gains.append(psnr(pair.at(time), truth) - psnr(np.asarray(blend, np.uint8), truth))
    assert np.mean(gains) > gain


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_flow_beats_blending_by_3_db_on_scenes_of_any_kind(factor: int) -> None:
    flow = interpolate.make_flow()
    gains: list[float] = []
    for seed in range(200, 206):
        scene = sample_scene(np.random.default_rng(seed))
        before, *between, after = (
            draw_frame(scene, step / (8 * factor), 192).rgb for step in range(factor + 1)
        )
        pair = interpolate.FramePair(before, after, flow)
        for step, truth in enumerate(between, start=1):
            blend = cv2.addWeighted(before, 1 - step / factor, after, step / factor, 0)
            gains.append(psnr(pair.at(step / factor), truth) - psnr(np.asarray(blend, np.uint8), truth))
    assert np.mean(gains) > 3


def test_a_cut_shows_one_of_its_frames_and_no_ghost_of_both() -> None:
    before, after = (
        drawn(0.1, background="night sky"),
        drawn(0.1, seed=8, shot="full body", background="beach"),
    )
    pair = interpolate.FramePair(before, after, interpolate.make_flow())
    assert pair.is_cut
    assert np.array_equal(pair.at(1 / 3), before)
    assert np.array_equal(pair.at(2 / 3), after)


@pytest.mark.parametrize("action", ["waving", "jumping", "dancing", "walking"])
@pytest.mark.parametrize("camera", ["static", "pan left", "zoom in"])
def test_ordinary_motion_is_no_cut(action: str, camera: str) -> None:
    flow = interpolate.make_flow()
    frames = [drawn(index / 8, 128, action=action, camera=camera) for index in range(4)]
    assert not any(interpolate.FramePair(a, b, flow).is_cut for a, b in pairwise(frames))


def test_a_still_clip_stays_still() -> None:
    frame = drawn(0.3)
    pair = interpolate.FramePair(frame, frame.copy(), interpolate.make_flow())
    assert np.array_equal(pair.at(0.5), frame)


# Size


def test_zoom_crops_the_middle() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[16:48, 16:48] = 200
    assert fitted(frame, FinishConfig(width=32, height=32, zoom=2.0)).min() == 200
    assert fitted(frame, FinishConfig(width=64, height=64)) is not None
    assert np.array_equal(fitted(frame, FinishConfig(width=64, height=64)), frame)


def test_another_shape_crops_instead_of_squeezing() -> None:
    circle = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(circle, (32, 32), 12, (255, 255, 255), -1)
    wide = fitted(circle, FinishConfig(width=128, height=64))
    assert wide.shape == (64, 128, 3)
    rows, columns = np.nonzero(wide[..., 0] > 128)
    assert abs(int(np.ptp(rows)) - int(np.ptp(columns))) <= 2


# Sheets


def test_a_sheet_keeps_few_small_evenly_spaced_frames() -> None:
    collector = SheetCollector(192, keep=16, width=96)
    passed = sum(1 for _ in collector.watch(np.full((192, 192, 3), index, np.uint8) for index in range(192)))
    assert passed == 192
    assert collector.indices[0] == 0
    assert collector.indices[-1] == 191
    assert set(np.diff(collector.indices)) <= {12, 13}
    assert {frame.shape for frame in collector.frames} == {(96, 96, 3)}
    sheet = collector.sheet(fps=24)
    assert sheet.shape == (4 + 4 * (96 + 22 + 4), 4 + 4 * (96 + 4), 3)


def test_a_sheet_is_never_wider_than_it_may_be() -> None:
    frames = [np.zeros((768, 768, 3), np.uint8)] * 5
    sheet = contact_sheet(frames, columns=4, labels=["seed 1", "青", "a label that is far too long " * 9])
    assert sheet.shape[1] <= MAX_WIDTH
