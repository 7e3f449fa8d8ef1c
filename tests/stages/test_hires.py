"""The second pass: enlarged latents denoised again, joined as the motion is, checked and replayed."""

from __future__ import annotations

import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import replay_runs, tiny_networks
from support.forged_run import codes
from torch import Tensor

from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose, compose_video
from pokora_anime.devices import hardware
from pokora_anime.devices.execution import Execution
from pokora_anime.devices.forecast import plan_text
from pokora_anime.devices.forecast.plan import Plan, forecast, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.stage_records import Segment
from pokora_anime.render.pipeline import clip_segments
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.rules import contest, contest_limits
from pokora_anime.rules.case import Case, uses
from pokora_anime.schema.settings import Chain, Upscale, VideoConfig
from pokora_anime.stages.delivery import finish
from pokora_anime.stages.denoising.tiles import Tiled, cover
from pokora_anime.stages.motion.hires import enlarged
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline import hires_plan
from pokora_anime.verify.examine_run import examine

ALL = 99


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tiny_networks.Kept:
    return tiny_networks.Kept.of(tiny_networks.family(tmp_path_factory.mktemp("sdxl")))


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a loop, its second pass in tiles."""
    tiles = ("finish=hires", "finish.hires.tiled=true", "finish.hires.scale=1.25", "speed.steps=3")
    return replay_runs.rendered(tmp_path_factory.mktemp("looped"), *tiles, "motion.loop=true", "control=none")


def asked(**motion: Any) -> VideoConfig:
    """Nine generated frames in four segments, 32 pixels a side, again at 48."""
    config = tiny_networks.config(steps=3)
    config.shot.seconds, config.control.kinds = 1.0, []
    config.finish.upscale = Upscale.hires
    config.finish.width = config.finish.height = 48
    for name, value in motion.items():
        setattr(config.motion, name, value)
    return config


def clip(config: VideoConfig, context: RunContext) -> list[Segment]:
    segments = list(clip_segments(config, context))
    context.folder.close()
    return segments


def first_pass(config: VideoConfig, networks: tiny_networks.Kept, run: Path) -> list[Segment]:
    """The motion's segments of the same clip."""
    config.finish.upscale = Upscale.lanczos
    segments = clip(config, tiny_networks.context(run, networks))
    config.finish.upscale = Upscale.hires
    return segments


# What comes out


@pytest.mark.parametrize("tiled", [False, True])
def test_segments_are_larger_and_share_the_frames_that_they_shared(
    networks: tiny_networks.Kept, tmp_path: Path, tiled: bool
) -> None:
    config = asked()
    config.finish.hires.tiled = tiled
    segments = clip(config, tiny_networks.context(tmp_path, networks))
    assert [one.latents.shape for one in segments] == [(4, 4, 6, 6)] * 4
    assert [(one.start, one.known) for one in segments] == [(0, 0), (2, 2), (4, 2), (6, 2)]
    for one, other in pairwise(segments):
        assert torch.equal(one.latents[:, -2:], other.latents[:, :2])
    assert {one.node.op for one in segments} == {"hires"}


def test_a_weak_pass_stays_near_the_enlarged_clip_and_a_strong_one_does_not(
    networks: tiny_networks.Kept, tmp_path: Path
) -> None:
    config = asked()
    config.shot.seconds, config.speed.steps = 0.5, 6
    plain = first_pass(config, networks, tmp_path / "plain")
    apart: list[float] = []
    for strength in (0.15, 0.85):
        config.finish.hires.strength = strength
        found = clip(config, tiny_networks.context(tmp_path / "run", networks))
        pairs = zip(found, plain, strict=True)
        apart.append(
            sum(float((one.latents - enlarged(two.latents, (6, 6))).square().mean()) for one, two in pairs)
        )
    assert 0 < 2 * apart[0] < apart[1]


def test_of_a_long_clip_two_segments_are_held(networks: tiny_networks.Kept, tmp_path: Path) -> None:
    config = asked()
    config.shot.seconds = 2.0
    context = tiny_networks.context(tmp_path, networks)
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    for segment in clip_segments(config, context):
        held.append(weakref.ref(segment.latents))
        alive.append(sum(one() is not None for one in held))
        del segment
    context.folder.close()
    assert len(alive) == 8 and max(alive) <= 3  # the first, the one before, and this one


def test_a_loop_ends_in_its_larger_first_frames(networks: tiny_networks.Kept, tmp_path: Path) -> None:
    segments = clip(asked(loop=True), tiny_networks.context(tmp_path, networks))
    assert torch.equal(segments[-1].latents[:, -2:], segments[0].latents[:, :2])


def test_windows_are_denoised_again_as_windows(networks: tiny_networks.Kept, tmp_path: Path) -> None:
    context = tiny_networks.context(tmp_path, networks)
    seen: list[int] = []
    hook = networks.motion_unet().register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2]))
    (only,) = clip(asked(chain=Chain.windows, loop=True), context)
    hook.remove()
    assert set(seen) == {4} and only.latents.shape == (4, 9, 6, 6)
    assert torch.equal(only.latents[:, 8], only.latents[:, 0])


def test_every_frame_is_delivered_from_the_second_pass(networks: tiny_networks.Kept, tmp_path: Path) -> None:
    config = asked()
    config.finish.fps = 8
    context = tiny_networks.context(tmp_path, networks)
    segments = list(clip_segments(config, context))
    frames = list(finish.frames(iter(segments), config, context))
    whole = torch.cat([segments[0].latents, *[one.latents[:, 2:] for one in segments[1:]]], dim=1)
    expected = list(decode_chunks(whole[:, :8], 1, context))
    context.folder.close()
    assert len(frames) == 8
    for one, other in zip(frames, expected, strict=True):
        assert one.shape == (48, 48, 3) and abs(one.astype(int) - other).max() <= 1


# Going on, and with less memory


def test_an_unfinished_run_goes_on_from_its_last_segment(
    networks: tiny_networks.Kept, tmp_path: Path
) -> None:
    config = asked()
    whole = clip(config, tiny_networks.context(tmp_path / "whole", networks))
    context = tiny_networks.context(tmp_path / "broken", networks)
    started = clip_segments(config, context)
    for _ in range(2):
        next(started)
    context.folder.close()
    again = tiny_networks.context(tmp_path / "broken", networks)
    passes: list[Tensor] = []
    hook = networks.motion_unet().register_forward_pre_hook(lambda _, given: passes.append(given[0]))
    found = clip(config, again)
    hook.remove()
    assert len(passes) == 2 * (3 + 2)  # two segments, three steps and two of the second pass
    assert [one.node for one in found] == [one.node for one in whole]
    assert again.progress.steps == 3 + 4 * (3 + 2)  # pyright: ignore


def test_frames_that_do_not_fit_are_denoised_in_tiles_and_the_record_says_so(
    networks: tiny_networks.Kept, tmp_path: Path
) -> None:
    config = asked()
    context = tiny_networks.context(tmp_path, networks)
    context.execution = Execution([Plan(), Plan(tiled=True)])

    def full(_: object, given: tuple[Tensor, ...]) -> None:
        if given[0].shape[-1] > 4:
            raise torch.OutOfMemoryError("out of memory")

    hook = networks.motion_unet().register_forward_pre_hook(full)
    segments = clip(config, context)
    hook.remove()
    notes = [note for note in context.progress.notes if "memory" in note]  # pyright: ignore
    assert notes == ["segment 1/4, second pass: out of memory, again with the second pass in tiles"]
    assert [one.node.environment.get("hires") for one in segments] == ["tiled"] * 4
    config.finish.hires.tiled = True
    wanted = clip(config, tiny_networks.context(tmp_path / "wanted", networks))
    for one, other in zip(segments, wanted, strict=True):
        assert torch.equal(one.latents, other.latents) and one.node.id != other.node.id


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(4, 80), st.integers(4, 80)),
    tile=st.tuples(st.integers(4, 40), st.integers(4, 40)),
)
def test_tiles_cover_a_frame_and_overlap(size: tuple[int, int], tile: tuple[int, int]) -> None:
    tiles = cover(size, tile)
    seen = torch.zeros(size)
    for one in tiles:
        assert one.of(seen).shape == (one.height, one.width) == (min(size[0], tile[0]), min(size[1], tile[1]))
        one.of(seen).add_(1)
    assert int(seen.min()) == 1
    for starts, part in (({one.top for one in tiles}, tile[0]), ({one.left for one in tiles}, tile[1])):
        assert all(two - one <= part - part // 4 for one, two in pairwise(sorted(starts)))


def test_tiles_are_blended_and_know_their_place() -> None:
    crops: list[list[float]] = []

    def network(latents: Tensor, timestep: Tensor, **named: Any) -> tuple[Tensor]:
        del timestep
        crops.append(named["added_cond_kwargs"]["time_ids"][0].tolist())
        return (latents * 2,)

    latents = torch.randn(1, 4, 2, 6, 8)
    added = {"text_embeds": torch.zeros(1, 3), "time_ids": torch.tensor([[48.0, 64.0, 0.0, 0.0, 48.0, 64.0]])}
    found = Tiled(network, cover((6, 8), (6, 6)))(latents, torch.tensor(1), added_cond_kwargs=added)[0]
    torch.testing.assert_close(found, 2 * latents)
    assert crops == [[48, 64, 0, 0, 48, 48], [48, 64, 0, 16, 48, 48]]


# What a machine is asked for


def test_the_second_pass_is_counted() -> None:
    plain, hires = (
        Job.of(compose("video", ["base=sdxl", f"finish={name}"])) for name in ("default", "hires")
    )
    card = hardware.described(compose("video", ["device.memory_gb=24"]).device, bf16=False)
    whole, tiled = (forecast(Plan(tiled=tiled), hires, card) for tiled in (False, True))
    before = forecast(Plan(), plain, card)
    again = 6 * 16 * 1e6 * (20736 * 3 * 2 * 463.0 + (20736 - 9216) * 624.4)  # three steps, with guidance
    assert hires.flops(tiled=False) == pytest.approx(plain.flops(tiled=False) + again)
    assert before.seconds < whole.seconds < tiled.seconds
    assert before.peak < tiled.peak < whole.peak
    assert any(one.plan.tiled for one in ladder(hires, card))
    assert not any(one.plan.tiled for one in ladder(plain, card))
    assert "second pass of whole frames" in plan_text.lines(whole, hires, card)[0]


# What may be asked for


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["finish.hires.scale=5"], "finish.hires.scale=4"),
        (["finish.hires.scale=3", "base.width=1024"], "finish.hires.scale=2"),
        (["finish.hires.strength=1"], "finish.hires.strength=0.9"),
        (["finish.hires.strength=0.9", "speed.steps=1"], "finish.hires.strength=0.9 of 1 steps"),
        (["finish.upscale=esrgan"], "lanczos"),
    ],
)
def test_what_no_second_pass_can_be_is_refused(wrong: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(compose_video(["base=nano", "finish=hires", *wrong]))


def test_nano_is_told_that_it_has_seen_smaller_frames_only() -> None:
    assert "256 pixels" in hires_plan.warning(compose_video(["finish=hires"]))
    assert hires_plan.warning(compose_video(["base=sdxl", "finish=hires"])) == ""
    assert hires_plan.warning(compose_video([])) == ""


def test_stills_have_no_second_pass() -> None:
    with pytest.raises(ConfigError, match=r"finish\.upscale=hires"):
        check(compose("stills", ["base=sdxl", "finish=hires"]))


@pytest.mark.parametrize(("scale", "severities"), [("1.3333", {"review"}), ("1.5", {"review", "block"})])
def test_the_organisers_are_to_be_asked(scale: str, severities: set[str]) -> None:
    config = compose("video", ["experiment=contest_sdxl", "finish=hires", f"finish.hires.scale={scale}"])
    case = Case(config=config, limits=contest_limits.load("cs492c"), uses=uses(config))
    found = [one for one in contest.judge(case) if one.code == "RULE-UPSCALE"]
    assert {one.severity.value for one in found} == severities
    fixes = [one.fix for one in found if one.severity.value == "block"]
    assert fixes == ["finish.hires.scale=1.3333"] * (len(severities) - 1)


# The record


def test_a_second_pass_verifies_and_replays(looped: Path) -> None:
    told = {finding.code for finding in examine(looped).policy}
    assert not {code for code in told if code.startswith("POL-")} - {"POL-UNCHECKED"}, told
    report, _ = replay(looped, Question(nonce="7", nodes=ALL))
    assert [part.name for part in report.parts if not part.to_plain()["bit_equal"]] == []
    kinds = [part.name.split()[0] for part in report.parts]
    assert kinds.count("hires") == kinds.count("frames") == 2
    assert len(report.parts) == report.replayable


@pytest.fixture
def forgery(looped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> replay_runs.Forgery:
    monkeypatch.setattr("support.forged_run.honest", lambda: looped)
    return replay_runs.Forgery(tmp_path)


def test_a_second_pass_that_does_not_go_on_from_the_frames_before_it_is_found(
    forgery: replay_runs.Forgery,
) -> None:
    node = forgery.of("hires", 1)
    latents = forgery.arrays(node)["latents"]
    latents[:, 0] += 0.5
    forgery.store(node, {"latents": latents})
    assert "POL-KNOWN" in codes(forgery.seal())


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("hires", {"scale": 1.25, "strength": 0.6, "tiled": True}, "POL-PARAMS"),
        ("size", [64, 64], "POL-PARAMS"),
        ("generator", ["hires", 9], "POL-PLACE"),
        ("span", {"index": 0, "start": 0, "frames": 6, "known": 1, "tail": 0}, "POL-SPAN"),
    ],
)
def test_a_second_pass_of_other_settings_is_found(
    forgery: replay_runs.Forgery, key: str, value: Any, code: str
) -> None:
    forgery.of("hires")["params"][key] = value
    assert code in codes(forgery.seal())


def test_a_clip_that_left_its_second_pass_out_is_found(forgery: replay_runs.Forgery) -> None:
    motion = [node["id"] for node in forgery.nodes if node["op"] == "motion"]
    forgery.of("finish")["parents"] = motion
    assert "POL-CHAIN" in codes(forgery.seal())


def test_a_second_pass_of_another_segment_is_found(forgery: replay_runs.Forgery) -> None:
    node = forgery.of("hires", 1)
    node["parents"][2] = forgery.of("motion")["id"]
    assert "POL-CHAIN" in codes(forgery.seal())
