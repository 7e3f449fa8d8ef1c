"""Chaining strategies: where frames come from, what they see of the keyframe, and that all of it checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from hypothesis import given
from hypothesis import strategies as st
from support import replay_runs, tiny_networks
from support.forged_run import codes
from torch import Tensor

from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose_video
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.errors import ConfigError
from pokora_anime.render.pipeline import clip_segments
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.schema.settings import Anchor, Chain, MotionConfig
from pokora_anime.stages.denoising.denoiser import averaged
from pokora_anime.stages.denoising.reference_attention import Reference
from pokora_anime.timeline import segment_plan
from pokora_anime.verify.examine_run import examine

ALL = 99


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tiny_networks.Kept:
    return tiny_networks.Kept.of(tiny_networks.family(tmp_path_factory.mktemp("sdxl")))


@pytest.fixture(scope="module")
def free(networks: tiny_networks.Kept, tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    """The clip without any strategy but its overlap."""
    return clip(networks, tmp_path_factory.mktemp("free"))


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything at once but windows."""
    settings = (
        "motion.loop=true",
        "motion.anchor=both",
        "motion.carry=0.5",
        "motion.color_lock=0.5",
        "motion.known_ahead=1",
    )
    return replay_runs.rendered(tmp_path_factory.mktemp("looped"), *settings)


def clip(networks: tiny_networks.Kept, run: Path, **motion: Any) -> list[Tensor]:
    """The segments' latents of a clip of 9 generated frames, or 8 and the first again."""
    config = tiny_networks.config()
    config.shot.seconds, config.control.kinds = 1.0, []
    for name, value in motion.items():
        setattr(config.motion, name, value)
    context = tiny_networks.context(run, networks)
    segments = [segment.latents for segment in clip_segments(config, context)]
    context.folder.close()
    return segments


@pytest.mark.parametrize(
    "motion",
    [
        {"anchor": Anchor.frame},
        {"anchor": Anchor.attention},
        {"carry": 0.5},
        {"known_ahead": 1.0},
        {"step_share": 0.5},
        {"deflicker": 0.5},
        {"hold": 0.8},
        {"color_lock": 1.0},
    ],
    ids=str,
)
def test_what_a_segment_is_tied_to_changes_its_new_frames_only(
    networks: tiny_networks.Kept, free: list[Tensor], tmp_path: Path, motion: dict[str, Any]
) -> None:
    tied = clip(networks, tmp_path, **motion)
    assert [one.shape for one in free] == [one.shape for one in tied]
    assert torch.equal(free[0][:, :1], tied[0][:, :1])
    assert (free[1] - tied[1]).abs().max() > 1e-3
    for one, other in zip(tied, tied[1:], strict=False):
        assert torch.equal(one[:, -2:], other[:, :2])


def test_a_segment_that_starts_from_the_keyframe_gets_no_second_copy_of_it(
    networks: tiny_networks.Kept, free: list[Tensor], tmp_path: Path
) -> None:
    assert torch.equal(clip(networks, tmp_path, anchor=Anchor.frame)[0], free[0])


def test_every_window_has_the_keyframe_before_it(networks: tiny_networks.Kept, tmp_path: Path) -> None:
    (alone,) = clip(networks, tmp_path / "alone", chain=Chain.windows)
    (led,) = clip(networks, tmp_path / "led", chain=Chain.windows, anchor=Anchor.frame)
    assert (alone - led)[:, -1].abs().max() > 1e-3


def test_anchors_are_put_away_after_use(
    networks: tiny_networks.Kept, free: list[Tensor], tmp_path: Path
) -> None:
    assert not torch.equal(clip(networks, tmp_path / "tied", anchor=Anchor.both)[0], free[0])
    assert torch.equal(clip(networks, tmp_path / "free")[0], free[0])


@pytest.mark.parametrize(("keyframe", "rows"), [(True, 1), (False, 2)])
def test_frames_that_see_their_keyframe_may_do_without_guidance(
    networks: tiny_networks.Kept, tmp_path: Path, keyframe: bool, rows: int
) -> None:
    config = tiny_networks.config()
    config.shot.seconds, config.control.kinds = 1.0, []
    config.keyframe.enabled, config.speed.clip_guidance_end = keyframe, 0.0
    context = tiny_networks.context(tmp_path, networks)
    seen: list[int] = []
    hook = context.models.motion_unet().register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    for _ in clip_segments(config, context):
        pass
    hook.remove()
    context.folder.close()
    assert seen and set(seen) == {rows}
    assert (Job.of(config).clip_guided == 0) is keyframe


def test_the_weight_of_reference_attention_is_the_number_of_times_that_its_keys_count() -> None:
    torch.manual_seed(0)
    block = BasicTransformerBlock(16, 2, 8, cross_attention_dim=8)
    picture, frames = torch.randn(1, 5, 16), torch.randn(3, 5, 16)

    class Network(torch.nn.Module):
        attn_processors = {"attn1.processor": None}

        def set_attn_processor(self, processors: dict[str, Any]) -> None:
            block.attn1.set_processor(processors["attn1.processor"])

    repeated = torch.cat([frames, *[picture.expand(3, -1, -1)] * 4], dim=1)
    with torch.no_grad():
        expected = block.attn1(frames, encoder_hidden_states=repeated)
        reference = Reference(Network(), 4.0)
        reference.learn((0, 1), 500.0, lambda: block.attn1(picture))
        torch.testing.assert_close(reference.used(lambda: block.attn1(frames)), expected)
        assert not torch.allclose(block.attn1(frames), expected)


@pytest.mark.parametrize("loop", [False, True])
def test_windows_make_one_segment_of_the_clip(
    networks: tiny_networks.Kept, tmp_path: Path, loop: bool
) -> None:
    (latents,) = clip(networks, tmp_path, chain=Chain.windows, loop=loop)
    assert latents.shape[1] >= 9 and latents.isfinite().all()
    assert torch.equal(latents[:, 8], latents[:, 0]) is loop


def test_a_loop_of_segments_ends_in_its_first_frames(networks: tiny_networks.Kept, tmp_path: Path) -> None:
    segments = clip(networks, tmp_path, loop=True, overlap=1)
    assert torch.equal(segments[-1][:, -1], segments[0][:, 0])
    open_ended = clip(networks, tmp_path / "open", overlap=1)
    assert not torch.equal(open_ended[-1][:, -1], segments[0][:, 0])


@given(st.integers(17, 500), st.integers(1, 6))
def test_a_loops_segments_share_its_ends_and_leave_room_for_new_frames(period: int, overlap: int) -> None:
    motion = MotionConfig(overlap=overlap, loop=True)
    planned = segment_plan.plan(period + 1, motion, has_keyframe=True, period=period)
    fresh = [
        i for span in planned for i in range(span.start + span.known, span.start + span.frames - span.tail)
    ]
    assert fresh == list(range(1, period))
    assert planned[-1].start + planned[-1].frames == period + overlap
    assert all(span.known >= overlap for span in planned[1:])


@given(st.integers(16, 300), st.integers(1, 15), st.booleans())
def test_windows_cover_every_frame(frames: int, overlap: int, loop: bool) -> None:
    found = segment_plan.windows(frames, MotionConfig(overlap=overlap, loop=loop), frames)
    assert {index for window in found for index in window} == set(range(frames))
    assert all(len(set(window)) == 16 for window in found)


def test_windows_are_averaged_by_the_distance_from_their_edge() -> None:
    latents = torch.zeros(1, 1, 6, 1, 1)
    answers = iter([torch.full((1, 1, 4, 1, 1), 1.0), torch.full((1, 1, 4, 1, 1), 4.0)])
    found = averaged(lambda *_: next(answers), latents, torch.ones(6), [range(4), range(2, 6)])
    torch.testing.assert_close(found.flatten(), torch.tensor([1.0, 1.0, 2.0, 3.0, 4.0, 4.0]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["motion.step_share=2"], "motion.step_share"),
        (["motion.frames=32", "motion.anchor=frame"], "motion.frames"),
        (["motion.loop=true", "shot.seconds=2.05"], "whole number of frames"),
        (["motion.loop=true", "shot.seconds=2"], "shot.seconds=3"),
        (["motion.loop=true", "motion.overlap=10"], "motion.overlap=4"),
        (["motion.carry=1"], "motion.carry"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(compose_video(["base=nano", *wrong]))


@pytest.mark.parametrize("strategy", ["looped", "windows"])
def test_every_strategy_verifies_and_replays(strategy: str, looped: Path, tmp_path: Path) -> None:
    settings = ("motion.chain=windows", "motion.loop=true", "motion.anchor=frame")
    run = looped if strategy == "looped" else replay_runs.rendered(tmp_path, *settings)
    codes = {finding.code for finding in examine(run).policy}
    assert not {code for code in codes if code.startswith("POL-")} - {"POL-UNCHECKED"}, codes
    report, _ = replay(run, Question(nonce="7", nodes=ALL))
    assert [part.name for part in report.parts if not part.to_plain()["bit_equal"]] == []
    assert len(report.parts) == report.replayable


def test_a_loop_that_does_not_close_is_found(
    looped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: looped)
    forgery = replay_runs.Forgery(tmp_path)
    last = [node for node in forgery.record["nodes"] if node["op"] == "motion"][-1]
    latents = forgery.arrays(last)["latents"]
    latents[:, -1] += 0.5
    forgery.store(last, {"latents": latents})
    assert "POL-KNOWN" in codes(forgery.seal())
