"""`control.source=draft`: each frame under its own maps, read in a first pass that is in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from support import replay_runs, tiny_checkpoints, tiny_networks
from support.forged_run import Forgery
from support.replay_runs import ALL, QUIET, honest_codes, steps

from pokora_anime.config.compose import compose
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.errors import ConfigError, Interrupted, PokoraError
from pokora_anime.provenance.run_layout import STAGES
from pokora_anime.provenance.stage_records import ControlTrack, Segment
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.replay.replay_parts import choose
from pokora_anime.schema.settings import ControlConfig, ControlKind, MapSource, VideoConfig
from pokora_anime.stages.control import control_maps, controlnets, draft_maps
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.motion import segments as motion
from pokora_anime.stages.picture import initial_noise
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.system.terminal.progress import Display
from pokora_anime.timeline import draft_plan
from pokora_anime.timeline.segment_plan import Span
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import read_record
from pokora_anime.verify.verdict import Verdict
from pokora_anime.verify.video.frame_figures import figures

DRAFT = ("control=pose_depth", "control.source=draft")


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two segments under a draft's maps, the second one made twice."""
    return replay_runs.made_twice(tmp_path_factory.mktemp("draft"), *DRAFT, *QUIET, "quality.reroll=1")


# Maps of single frames


def source(family: Path, hint: torch.Tensor) -> ControlSource:
    network = tiny_networks.models(family).controlnet(ControlKind.pose)
    torch.manual_seed(1)
    for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.3)
    torch.nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=5.0)
    return ControlSource(network, hint, scale=0.5, start=0.0, end=1.0, dtype=torch.float32)


def asked(one: ControlSource, rows: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    latents, text = torch.randn(rows, 4, 4, 4), torch.randn(rows, 3, 2 * tiny_networks.TEXT)
    added = {"text_embeds": torch.randn(rows, tiny_networks.TEXT), "time_ids": torch.ones(rows, 6)}
    with torch.no_grad():
        return one.residuals(latents, torch.tensor(500), text, added, torch.linspace(1, 0.5, rows))


def test_each_frame_is_steered_by_its_own_map_in_every_row_of_the_batch(family: Path) -> None:
    maps = torch.rand(3, 3, tiny_networks.SIZE, tiny_networks.SIZE)
    own = asked(source(family, maps), 6)
    for frame in range(3):
        static = asked(source(family, maps[frame]), 6)
        for row in (frame, frame + 3):
            assert all(torch.allclose(a[row], b[row], atol=1e-5) for a, b in zip(own, static, strict=True))
    assert not torch.allclose(own[-1][0], asked(source(family, maps[1]), 6)[-1][0], atol=1e-3)


def test_a_frame_whose_map_shows_nothing_is_left_alone(family: Path) -> None:
    maps = torch.rand(3, 3, tiny_networks.SIZE, tiny_networks.SIZE)
    maps[1] = 0
    found = asked(source(family, maps), 3)
    assert [bool(one.any()) for one in found[-1]] == [True, False, True]
    assert asked(source(family, torch.zeros(3, tiny_networks.SIZE, tiny_networks.SIZE)), 3)[
        -1
    ].any()  # static ones are not


def test_the_union_network_sees_all_frames_where_their_maps_differ(family: Path) -> None:
    network = tiny_checkpoints.union(UNet2DConditionModel.load_config(family / "unet"))
    maps = torch.rand(3, 3, tiny_networks.SIZE, tiny_networks.SIZE)
    maps[1] = 0

    def acting(hint: torch.Tensor, weight: list[float]) -> list[int]:
        one = controlnets.UnionSource(
            network,
            {ControlKind.pose: hint},
            scales={ControlKind.pose: 1.0},
            start=0.0,
            end=1.0,
            dtype=torch.float32,
        )
        return one.acting(torch.tensor(weight)).tolist()

    assert acting(maps, [1.0, 1.0, 0.0]) == [0, 1, 2]
    assert acting(maps[0], [1.0, 1.0, 0.0]) == [0, 1]
    assert acting(maps, [0.0, 1.0, 0.0]) == []


def test_a_frame_before_the_others_has_no_map(family: Path) -> None:
    maps = torch.rand(2, 3, tiny_networks.SIZE, tiny_networks.SIZE)
    plain = source(family, maps)
    led = asked(plain.led(), 3)
    assert not led[-1][0].any() and led[-1][1:].any(dim=0).any()
    assert len(plain.hints[0].rows(2)) == 2 and len(plain.led().hints[0].rows(6)) == 6
    static = source(family, maps[0])
    assert static.led() is static


def test_depth_has_one_range_for_all_frames() -> None:
    frames = [np.full((4, 4), value, np.float32) for value in (0.0, 1.0, 4.0)]
    found = control_maps.depth_maps(frames, (8, 8))
    assert found.shape == (3, 8, 8) and found[:, 0, 0].tolist() == [0, 64, 255]
    assert not control_maps.depth_maps(frames[:1], (8, 8)).any()


def test_maps_are_kept_small_and_come_back_as_pictures(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    config.control = ControlConfig(kinds=[ControlKind.pose, ControlKind.canny, ControlKind.depth])
    config.control.kinds.remove(ControlKind.canny)  # nano has no ControlNet for edges
    config.control.source, config.keyframe.enabled = MapSource.draft, False
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=config))
    people = [np.full((18, 3), sure, np.float32) for sure in (0.9, 0.1, 0.9, 0.9)]
    people[0][:, :2] = np.random.default_rng(0).uniform(4, 28, (18, 2))
    seen = iter(people)
    context.models._loaded["pose_extractor"] = lambda picture: next(seen)
    text = prompt_embeddings.encode(config.shot, config, context)
    segment = next(motion.render(motion.ClipSources(prompt=text), config, context, 4, over=motion.DRAFT))
    node = draft_maps.read(segment, config, context)
    stored = context.folder.load(node)
    assert stored is not None
    assert {kind: array.shape for kind, array in stored.items()} == {"pose": (4, 18, 3), "depth": (4, 32, 32)}
    track = draft_maps.track(node, config, context)
    assert {kind: maps.shape for kind, maps in track.maps.items()} == dict.fromkeys(
        ("pose", "depth"), (4, tiny_networks.SIZE, tiny_networks.SIZE, 3)
    )
    assert [bool(picture.any()) for picture in track.maps["pose"]][:2] == [True, False]
    context.models._loaded["pose_extractor"] = lambda picture: pytest.fail("read again")
    assert draft_maps.read(segment, config, context) == node


def test_poses_are_drawn_of_smoothed_joints(tmp_path: Path, family: Path) -> None:
    config = tiny_networks.config()
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=config))
    joints = np.full((8, 18, 3), 0.9, np.float32)
    joints[..., :2] = np.random.default_rng(0).uniform(4, 28, (1, 18, 2))
    joints[3, :, 0] += 6
    node = context.folder.save(initial_noise.for_frames(0, 4, 0.0, context).node, {"pose": joints})
    drawn: dict[int, np.ndarray] = {}
    for window in (0, 5):
        config.control.draft_smooth = window
        drawn[window] = draft_maps.track(node, config, context).maps["pose"]
    assert not np.array_equal(drawn[0][3], drawn[0][2]) and np.array_equal(drawn[0][4], drawn[0][2])
    assert not np.array_equal(drawn[5][3], drawn[0][3]) and not np.array_equal(drawn[5][4], drawn[0][4])


def test_the_clip_follows_the_maps_of_its_segment(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    config.control = ControlConfig(kinds=[ControlKind.depth], source=MapSource.draft)
    config.keyframe.enabled = False
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=config))
    network = context.models.controlnet(ControlKind.depth)
    torch.nn.init.normal_(network.controlnet_mid_block.weight, std=0.5)
    torch.nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=5.0)
    text = prompt_embeddings.encode(config.shot, config, context)
    start = initial_noise.for_frames(0, 4, 0.0, context)
    asked: list[int] = []

    def tracks(index: int) -> ControlTrack:
        asked.append(index)
        maps = np.random.default_rng(index).integers(
            0, 255, (4, tiny_networks.SIZE, tiny_networks.SIZE, 3), np.uint8
        )
        return ControlTrack(maps={"depth": maps}, notes=(), node=start.node)

    segments: list[Segment] = []
    assert motion.frame_weights(Span(index=1, start=8, frames=4, known=0), 4, config).tolist() == [1.0] * 4
    denoiser = motion._SegmentNetworks(motion.ClipSources(prompt=text, keyframe=None), config, context)
    denoiser._steer(tracks(0))
    first = denoiser.controls
    denoiser._steer(denoiser.steered)
    assert denoiser.controls is first
    denoiser._steer(tracks(1))
    assert not torch.equal(first[0].hints[0].embedded, denoiser.controls[0].hints[0].embedded)
    assert controlnets.recorded(tracks(1), config)["source"] == "draft"
    assert not segments and asked == [0, 1, 1]


# Settings


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("control=none",), "draft with control=none"),
        (("control=pose", "motion=windows"), "windows with control.source=draft"),
        (("control=pose", "control.draft_steps=0"), "control.draft_steps"),
    ],
)
def test_what_a_draft_cannot_be_is_one_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose("video", ["control.source=draft", *overrides])
    assert said in str(refused.value)


def test_maps_of_a_keyframe_need_one_and_those_of_a_draft_do_not() -> None:
    with pytest.raises(ConfigError, match=r"control\.source=draft"):
        compose("video", ["keyframe.enabled=false", "control=pose"])
    config = compose("video", ["keyframe=none", *DRAFT])
    assert isinstance(config, VideoConfig) and draft_plan.wanted(config)


def test_a_draft_takes_few_steps_and_never_more_than_the_clip() -> None:
    for speed, expected in (("hq", 8), ("lcm", 6)):
        config = compose("video", [*DRAFT, f"speed={speed}"])
        assert isinstance(config, VideoConfig)
        assert draft_plan.settings(config).speed.steps == expected
        plain = compose("video", ["control=pose_depth", f"speed={speed}"])
        assert 1.05 < Job.of(config).flops(tiled=False) / Job.of(plain).flops(tiled=False) < 2.0


# A whole run


def test_the_draft_and_its_maps_are_in_the_record(run: Path) -> None:
    sketches, maps, clip = (steps(run, op) for op in ("draft", "draft_maps", "motion"))
    assert [step.params["generator"] for step in sketches] == [["draft", 0], ["draft", 1]]
    assert [step.parents for step in maps] == [(step.id,) for step in sketches]
    assert [maps[place].id in clip[place].parents for place in (0, 1)] == [True, True]
    assert not steps(run, "control") and not list(run.glob("control_*"))


def test_a_segment_that_is_made_again_is_made_under_the_same_maps(run: Path) -> None:
    assert [step.params["generator"] for step in steps(run, "motion")] == [["motion", 0], ["motion", 1, 1]]
    assert len(list((run / STAGES).glob("draft-*"))) == 2


def test_verification_finds_nothing_wrong(run: Path) -> None:
    assert honest_codes(run) == set()


def test_every_part_is_replayed_bit_by_bit(run: Path) -> None:
    report, _ = replay(run, ALL)
    names = " ".join(part.name for part in report.parts)
    assert names.count("draft_maps ") == 2 and names.count("draft ") == 2
    assert [part.exact for part in report.parts] == [True] * len(report.parts)
    assert report.verdict is Verdict.passed


def test_all_maps_are_replayed_whatever_the_nonce(run: Path) -> None:
    record = read_record(Folder(run, LIMITS), LIMITS)
    for nonce in range(5):
        assert [unit.kind for unit in choose(record, str(nonce), 1).units].count("draft_maps") == 2


def test_a_draft_needs_no_keyframe(tmp_path: Path) -> None:
    folder = replay_runs.rendered(tmp_path, "keyframe=none", *DRAFT, *QUIET, "motion.anchor=none")
    assert not steps(folder, "keyframe") and len(steps(folder, "draft_maps")) == 2
    assert honest_codes(folder) == set()
    report, _ = replay(folder, Question(nonce="7", nodes=4, wishes=Wishes()))
    assert report.verdict is Verdict.passed and all(part.exact for part in report.parts)


def test_a_run_that_was_stopped_twice_goes_on_to_the_same_clip(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del run  # its networks are loaded
    config = compose("video", [*replay_runs.SMALL, *DRAFT, *QUIET])
    assert isinstance(config, VideoConfig)
    whole = pipeline.render_video(config, tmp_path / "whole")
    told: list[str] = []
    stops = ["maps of segment 1", "segment 1/2"]  # of the draft and, the draft's being kept, of the clip
    step = Display.step

    def stopping(self: Display, detail: str = "") -> None:
        step(self, detail)
        told.append(detail)
        if stops and detail == stops[0]:
            raise Interrupted("INT-STOP", "Ctrl-C")

    monkeypatch.setattr(Display, "step", stopping)
    while stops:
        with pytest.raises(PokoraError, match="INT-STOP"):
            pipeline.render_video(config, tmp_path)
        stops.pop(0)
    told.clear()
    folder = pipeline.render_video(config, tmp_path)
    assert told.count("segment 1/2, kept") == 2 and told.count("maps of segment 2, kept") == 1
    assert (folder / "frames.json").read_bytes() == (whole / "frames.json").read_bytes()


# Forgeries


def test_maps_from_elsewhere_are_found_by_a_replay(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    node = forgery.of("draft_maps", 1)
    arrays = forgery.arrays(node)
    arrays["pose"][:, :, 0] += 5
    forgery.store(node, arrays)
    folder = forgery.seal()
    assert honest_codes(folder) == set()  # nothing tells who drew a map, but drawing it again
    report, _ = replay(folder, Question(nonce="0", nodes=1, wishes=Wishes()))
    failed = [part.name for part in report.parts if part.verdict is Verdict.failed]
    assert any(name.startswith("draft_maps") for name in failed)


def swap_maps(forgery: Forgery) -> None:
    maps = [forgery.of("draft_maps", place)["id"] for place in (0, 1)]
    clip = [forgery.of("motion", place) for place in (0, 1)]
    for node, name in zip(clip, reversed(maps), strict=True):
        node["parents"] = [name if parent in maps else parent for parent in node["parents"]]


def other_steps(forgery: Forgery) -> None:
    forgery.of("draft")["params"]["speed"]["steps"] = 1


def other_smoothing(forgery: Forgery) -> None:
    forgery.of("motion")["params"]["control"]["draft_smooth"] = 0


def other_frames(forgery: Forgery) -> None:
    node = forgery.of("draft_maps")
    forgery.store(node, {name: array[:-1] for name, array in forgery.arrays(node).items()})


def other_kinds(forgery: Forgery) -> None:
    node = forgery.of("draft_maps")
    forgery.store(node, {"depth": forgery.arrays(node)["depth"]})


def drawn_again(forgery: Forgery) -> None:
    forgery.of("draft", 1)["params"]["generator"] = ["draft", 1, 1]


def another_place(forgery: Forgery) -> None:
    forgery.of("draft_maps")["params"]["segment"] = 1


def jumping(forgery: Forgery) -> None:
    node = forgery.of("draft", 1)
    arrays: dict[str, Any] = forgery.arrays(node)
    arrays["latents"][:, 0] += 1
    forgery.store(node, arrays)


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (swap_maps, "POL-CHAIN"),
        (other_steps, "POL-PARAMS"),
        (other_smoothing, "POL-PARAMS"),
        (other_frames, "POL-ARRAYS"),
        (other_kinds, "POL-ARRAYS"),
        (drawn_again, "POL-PLACE"),
        (another_place, "POL-PLACE"),
        (jumping, "POL-KNOWN"),
    ],
)
def test_a_draft_that_no_run_makes_is_refused(
    forge: Any, code: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    forge(forgery)
    assert code in honest_codes(forgery.seal())


def test_grey_maps_are_as_far_apart_as_their_worst_frame() -> None:
    one = np.full((3, 16, 16), 100, np.uint8)
    other = one.copy()
    other[2, :8, :8] = 180
    found = figures(one, other)
    assert found is not None and (found.most, found.block) == (80.0, 80.0)
    assert figures(one, one[:2]) is None
