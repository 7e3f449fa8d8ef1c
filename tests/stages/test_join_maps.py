"""`control.source=segment`: each segment under the maps of the frame that it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import replay_runs, tiny_networks
from support.forged_run import Forgery
from support.replay_runs import ALL, QUIET, honest_codes, steps

from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, Interrupted, PokoraError
from pokora_anime.provenance.run_layout import STAGES
from pokora_anime.provenance.stage_records import ControlTrack, Segment
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.replay.replay_parts import choose
from pokora_anime.schema.settings import ControlConfig, ControlKind, MapSource, VideoConfig
from pokora_anime.stages.control import control_maps, controlnets, join_maps
from pokora_anime.stages.control.control_maps import NobodyFound
from pokora_anime.stages.denoising import denoiser
from pokora_anime.stages.denoising.anchor import Anchor
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.noise_levels import NoiseFloor, NoiseLevels
from pokora_anime.stages.motion import segments
from pokora_anime.stages.picture import initial_noise as noise
from pokora_anime.stages.picture.decode import decode
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.submission.documents import prose
from pokora_anime.system.terminal.progress import Display
from pokora_anime.timeline import join_plan as joins
from pokora_anime.timeline.segment_plan import Span
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import read_record
from pokora_anime.verify.verdict import Verdict

JOINED = ("control=depth", "control.source=segment")


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of three segments, the second one made twice."""
    more = ("shot.seconds=1.5", "quality.reroll=1")
    return replay_runs.made_twice(tmp_path_factory.mktemp("joins"), *JOINED, *QUIET, *more)


def joined(*kinds: ControlKind) -> VideoConfig:
    config = tiny_networks.config()
    config.control = ControlConfig(kinds=[*kinds], source=MapSource.segment, fade_frames=4, fade_floor=0.0)
    return config


# Maps, and how strongly they steer


def test_maps_are_those_of_the_last_frame(family: Path, tmp_path: Path) -> None:
    config = joined(ControlKind.canny, ControlKind.depth)
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=config))
    start = noise.for_frames(0, 3, 0.0, context)
    segment = Segment(index=4, start=0, known=0, latents=start.values, node=start.node)
    with pytest.raises(PokoraError, match="join_maps"):  # maps of what is no segment
        join_maps.read(segment, config, context)
    text, span = (
        prompt_embeddings.encode(config.shot, config, context),
        Span(index=4, start=0, frames=3, known=0),
    )
    job = segments.SegmentJob(
        op="motion", span=span, attempt=0, control=None, noise=start, known=None, tail=None
    )
    made = segments._node(job, (text, start), config, context, context.execution.plan)
    segment = Segment(index=4, start=0, known=0, latents=start.values, node=made.made("0" * 64))
    track = join_maps.read(segment, config, context)
    picture = next(iter(decode(start.values[:, -1:], context)))
    for kind in config.control.kinds:
        assert np.array_equal(track.maps[kind.value], control_maps.read_map(kind, picture, config, context))
    assert track.node.params["segment"] == 5
    assert join_maps.read(segment, config, context).node == track.node
    other = Segment(index=4, start=0, known=0, latents=start.values.flip(1), node=segment.node)
    kept = join_maps.read(other, config, context)  # of the same node: read back, not read again
    assert np.array_equal(kept.maps["canny"], track.maps["canny"])


def test_a_frame_that_shows_nobody_steers_no_pose(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = joined(ControlKind.pose)
    context = tiny_networks.context(tmp_path, tiny_networks.models(family, settings=config))
    monkeypatch.setattr(control_maps, "read_map", lambda *_: NobodyFound(2))
    found = join_maps._map(ControlKind.pose, np.zeros((8, 8, 3), np.uint8), config, context)
    assert found.shape == (tiny_networks.SIZE, tiny_networks.SIZE, 3) and not found.any()
    node = noise.for_frames(0, 1, 0.0, context).node
    grey = np.full_like(found, 90)
    for maps, count in (({"depth": grey, "pose": found}, 1), ({"pose": found}, 0), ({"depth": grey}, 1)):
        track = ControlTrack(maps=maps, notes=(), node=node)
        assert len(controlnets.of(track, config, context)) == count
    config.control.source = MapSource.keyframe
    assert len(controlnets.of(track, config, context)) == 1


def test_the_weight_is_whole_at_the_frame_that_the_maps_show() -> None:
    config = joined(ControlKind.depth)
    later, first = Span(index=1, start=12, frames=16, known=4), Span(index=0, start=0, frames=16, known=1)
    assert segments.frame_weights(later, 16, config).tolist() == [0.0] * 3 + [1.0, 0.5] + [0.0] * 11
    assert segments.frame_weights(first, 16, config).tolist() == [1.0, 0.75, 0.5, 0.25] + [0.0] * 12
    config.control.fade_floor = 0.5
    assert segments.frame_weights(later, 6, config).tolist() == [0.0, 0.0, 0.0, 1.0, 0.75, 0.5]
    config.control.source, config.control.fade_floor = MapSource.keyframe, 0.0
    assert not segments.frame_weights(later, 16, config).any()


def test_maps_of_a_join_do_not_steer_the_keyframes_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[float]] = []

    def controls(given: Any, batch: Any, *others: Any) -> None:
        asked.append(others[-1].tolist())

    def unet(batch: Any, *others: Any, **more: Any) -> tuple[Any]:
        return (batch,)

    monkeypatch.setattr(denoiser, "control_residuals", controls)
    schedule: Any = type("Steps", (), {"timesteps": torch.tensor([9])})()
    levels = NoiseLevels(scheduler=schedule)
    latents = torch.zeros(1, 4, 2, 8, 8)
    anchor = Anchor(
        latent=latents[:, :, :1],
        frame=NoiseFloor(step=1, levels=levels),
        reference=None,
        ahead=0,
        levels=levels,
    )
    monkeypatch.setattr(NoiseLevels, "noised", lambda self, picture, noise, step: picture)
    condition: Any = Condition(embeds_BTD=torch.zeros(2, 1, 1), pooled_BD=None, time_ids_BD=None)
    config = joined(ControlKind.depth)
    later = Span(index=1, start=12, frames=16, known=4)
    whole = Span(index=0, start=0, frames=64, known=1)  # all windows of a clip
    for source, span in (
        (MapSource.segment, later),
        (MapSource.keyframe, later),
        (MapSource.segment, whole),
    ):
        config.control.source = source
        seen = segments._followed(anchor, span, config)
        assert seen is not None
        network: Any = unet
        SegmentDenoiser(
            unet=network,
            timesteps=schedule.timesteps,
            condition=condition,
            guidance=Guidance(scale=1.0),
            frame_weight_F=torch.tensor([0.5, 0.25]),
            anchor=seen,
        )(latents, 0, latents)
    assert [weights[0] for weights in asked] == [0.0, 1.0, 1.0]
    assert all(weights[1:] == [0.5, 0.25] for weights in asked)


# Settings


def test_maps_at_joins_are_one_word_away_and_published_bases_read_the_keyframe() -> None:
    asked = (["base=nano"], ["base=nano", "control=segment"], ["base=sdxl"])
    found = [compose("video", [*some, "shot.seconds=8"]) for some in asked]
    assert [isinstance(config, VideoConfig) and joins.mapped(config) for config in found] == [
        False,
        True,
        False,
    ]


def test_maps_at_joins_need_a_keyframe_for_the_first_segment() -> None:
    with pytest.raises(ConfigError, match="control maps come from the keyframe"):
        compose("video", ["keyframe.enabled=false", *JOINED])


def test_as_many_maps_as_joins() -> None:
    # 9, 17 and 65 frames in segments of 16, of which 12 are new
    for seconds, count in ((1, 0), (2, 1), (8, 5)):
        config = compose("video", ["control=segment", f"shot.seconds={seconds}"])
        assert isinstance(config, VideoConfig) and joins.count(config) == count
    windows = compose("video", ["control=segment", "motion=windows"])
    assert isinstance(windows, VideoConfig) and joins.count(windows) == 0


def test_the_report_says_what_guides_each_segment() -> None:
    config = compose("video", ["control=segment"])
    assert isinstance(config, VideoConfig)
    (told,) = prose._control(config)
    assert "the last frame that it shares" in told and "0.35 and 0.4" in told
    assert "4 frames" in told and "within 2" in told


# A whole run


def test_the_maps_are_in_the_record(run: Path) -> None:
    (keyframes,), maps, clip = (steps(run, op) for op in ("control", "join_maps", "motion"))
    assert [one.parents for one in maps] == [(clip[0].id,), (clip[1].id,)]
    used = [[one.id in segment.parents for one in (keyframes, *maps)] for segment in clip]
    assert used == np.eye(3, dtype=bool).tolist()


def test_a_segment_that_is_made_again_is_made_under_the_same_maps(run: Path) -> None:
    places = [["motion", 0], ["motion", 1, 1], ["motion", 2]]
    assert [step.params["generator"] for step in steps(run, "motion")] == places
    assert len(steps(run, "join_maps")) == len(list((run / STAGES).glob("join_maps-*"))) == 2


def test_verification_finds_nothing_wrong(run: Path) -> None:
    assert honest_codes(run) == set()


def test_every_part_is_replayed_bit_by_bit(run: Path) -> None:
    report, _ = replay(run, ALL)
    assert sum(part.name.startswith("join_maps ") for part in report.parts) == 2
    assert [part.exact for part in report.parts] == [True] * len(report.parts)
    assert report.verdict is Verdict.passed


def test_the_maps_are_replayed_whatever_the_nonce(run: Path) -> None:
    record = read_record(Folder(run, LIMITS), LIMITS)
    for nonce in range(5):
        assert [unit.kind for unit in choose(record, str(nonce), 1).units].count("join_maps") == 2


def test_a_run_that_was_stopped_goes_on_to_the_same_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose("video", [*replay_runs.SMALL, *JOINED, *QUIET])
    assert isinstance(config, VideoConfig)
    whole = pipeline.render_video(config, tmp_path / "whole")
    told: list[str] = []
    step = Display.step

    def stopping(self: Display, detail: str = "") -> None:
        step(self, detail)
        told.append(detail)
        if detail == "segment 2/2" and "segment 1/2, kept" not in told:
            raise Interrupted("INT-STOP", "Ctrl-C")

    monkeypatch.setattr(Display, "step", stopping)
    with pytest.raises(PokoraError, match="INT-STOP"):
        pipeline.render_video(config, tmp_path)
    (stopped,) = (tmp_path / "video").rglob("join_maps-*")
    read = stopped.stat().st_mtime_ns
    told.clear()
    folder = pipeline.render_video(config, tmp_path)
    assert "segment 1/2, kept" in told and stopped.stat().st_mtime_ns == read
    assert (folder / "frames.json").read_bytes() == (whole / "frames.json").read_bytes()


def test_a_loop_closes_under_its_own_maps(tmp_path: Path) -> None:
    folder = replay_runs.rendered(tmp_path, *JOINED, *QUIET, "motion.loop=true")
    assert len(steps(folder, "join_maps")) == len(steps(folder, "motion")) - 1
    assert honest_codes(folder) == set()


# Forgeries


def test_maps_from_elsewhere_are_found_by_a_replay(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    node = forgery.of("join_maps")
    arrays = forgery.arrays(node)
    arrays["depth"] = 255 - arrays["depth"]
    forgery.store(node, arrays)
    folder = forgery.seal()
    assert honest_codes(folder) == set()  # nothing tells who drew a map, but drawing it again
    report, _ = replay(folder, Question(nonce="0", nodes=1, wishes=Wishes()))
    failed = [part.name for part in report.parts if part.verdict is Verdict.failed]
    assert any(name.startswith("join_maps") for name in failed)


def given(forgery: Forgery, segment: int, old: str, new: str) -> None:
    """Another node in the place of one that a segment was made from."""
    node = forgery.of("motion", segment)
    node["parents"] = [new if name == old else name for name in node["parents"]]


def under_the_keyframes(forgery: Forgery) -> None:
    given(forgery, 1, forgery.of("join_maps")["id"], forgery.of("control")["id"])


def under_an_earlier_joins(forgery: Forgery) -> None:
    given(forgery, 2, forgery.of("join_maps", 1)["id"], forgery.of("join_maps")["id"])


def of_an_earlier_segment(forgery: Forgery) -> None:
    forgery.of("join_maps", 1)["parents"] = [forgery.of("motion", 0)["id"]]


def without(forgery: Forgery, *nodes: Any) -> None:
    for node in nodes:
        forgery.nodes.remove(node)


def one_for_two(forgery: Forgery) -> None:
    under_an_earlier_joins(forgery)
    without(forgery, forgery.of("join_maps", 1))


def no_joins(forgery: Forgery) -> None:
    """Every segment under the keyframe's maps, as another config would have it."""
    joins = [forgery.of("join_maps", place) for place in (0, 1)]
    for place, node in enumerate(joins, 1):
        given(forgery, place, node["id"], forgery.of("control")["id"])
    without(forgery, *joins)


def of_another_config(forgery: Forgery) -> None:
    forgery.record["summary"]["config"]["control"]["source"] = "keyframe"
    for place in range(3):
        forgery.of("motion", place)["params"]["control"]["source"] = "keyframe"


def no_map_of_the_keyframe(forgery: Forgery) -> None:
    """The first segment under no maps, though they were found."""
    forgery.store(forgery.of("control"), {})
    forgery.record["pictures"].pop("control_depth.png")
    (forgery.folder / "control_depth.png").unlink()
    node = forgery.of("motion", 0)
    node["params"]["control"]["kinds"] = []
    node["weights"] = {role: value for role, value in node["weights"].items() if role != "controlnet_depth"}


def another_attempt(forgery: Forgery) -> None:
    no_map_of_the_keyframe(forgery)
    forgery.of("control")["params"]["last_attempt"] = True


def other_fading(forgery: Forgery) -> None:
    forgery.of("motion", 1)["params"]["control"]["join_frames"] = 9


def other_kinds(forgery: Forgery) -> None:
    node = forgery.of("join_maps")
    forgery.store(node, {"canny": forgery.arrays(node)["depth"]})


def none_at_all(forgery: Forgery) -> None:
    forgery.store(forgery.of("join_maps"), {})


def another_size(forgery: Forgery) -> None:
    node = forgery.of("join_maps")
    forgery.store(node, {"depth": forgery.arrays(node)["depth"][:32]})


def another_place(forgery: Forgery) -> None:
    forgery.of("join_maps")["params"]["segment"] = 0


def kinds_not_asked_for(forgery: Forgery) -> None:
    forgery.of("join_maps")["params"]["kinds"] = ["depth", "pose"]


def other_extractor(forgery: Forgery) -> None:
    del forgery.of("join_maps")["weights"]["depth_extractor"]


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (under_the_keyframes, "POL-CHAIN"),
        (under_an_earlier_joins, "POL-CHAIN"),
        (of_an_earlier_segment, "POL-CHAIN"),
        (one_for_two, "POL-CHAIN"),
        (no_joins, "POL-CHAIN"),
        (of_another_config, "POL-CHAIN"),
        (no_map_of_the_keyframe, "POL-ARRAYS"),
        (another_attempt, "POL-PARAMS"),
        (other_fading, "POL-PARAMS"),
        (other_kinds, "POL-ARRAYS"),
        (none_at_all, "POL-ARRAYS"),
        (another_size, "POL-ARRAYS"),
        (another_place, "POL-PLACE"),
        (kinds_not_asked_for, "POL-PARAMS"),
        (other_extractor, "POL-WEIGHTS"),
    ],
)
def test_maps_that_no_run_makes_are_refused(
    forge: Any, code: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    forge(forgery)
    assert code in honest_codes(forgery.seal())


@pytest.mark.parametrize("op", ["prompt", "noise", "keyframe", "control", "join_maps", "motion"])
@pytest.mark.parametrize("arrays", [{}, {"other": np.zeros(3, np.float32)}])
def test_a_node_that_stores_something_else_is_one_finding_and_no_crash(
    op: str, arrays: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    forgery.store(forgery.of(op), arrays)
    assert "POL-ARRAYS" in honest_codes(forgery.seal())


@pytest.mark.parametrize(("op", "name"), [("keyframe", "latent"), ("motion", "latents"), ("noise", "noise")])
def test_arrays_of_other_axes_are_one_finding_and_no_crash(
    op: str, name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    node = forgery.of(op)
    forgery.store(node, {**forgery.arrays(node), name: np.zeros(3, np.float32)})
    assert {"POL-ARRAYS", "POL-NOISE"} & honest_codes(forgery.seal())
