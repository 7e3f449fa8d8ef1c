"""SDXL and SD2 under a choreography: tiny checkpoints of the published shapes, through joins to a replay.

Their pose extractor has random weights and finds nobody, so the keyframe is drawn again under the track.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from support import tiny_checkpoints
from support.forged_run import Forgery, sign
from support.replay_runs import ALL, GUARD, QUIET, honest_codes, steps

from pokora_anime.catalogue.hub.fetch_models import fetch
from pokora_anime.catalogue.needed_weights import needs
from pokora_anime.choreography import skeleton
from pokora_anime.config.compose import compose
from pokora_anime.errors import Interrupted, PokoraError
from pokora_anime.provenance.run_layout import array_name
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import replay
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.system.terminal.progress import Display
from pokora_anime.verify.verdict import Verdict

SIDE = 64
SMALL = (
    *(f"base.width={SIDE}", f"base.height={SIDE}", f"finish.width={SIDE}", f"finish.height={SIDE}"),
    *("speed.steps=2", "style=none", "shot.seconds=1", "motion.frames=6", "motion.overlap=2"),
    *("control.source=choreography", "device.threads=1", "device.dtype=fp32", "seed=3", *QUIET),
)
SDXL = ("base=sdxl", "speed=lcm", "control=pose_depth", *SMALL)
SD2 = ("base=sd2", "speed=hq", "control=pose", "motion.loop=true", *SMALL)


def composed(*overrides: str) -> VideoConfig:
    config = compose("video", [*overrides])
    assert isinstance(config, VideoConfig)
    return config


@pytest.fixture(scope="module")
def tiny_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Rows of the registry that name tiny weights, fetched from a hub on the loopback."""
    root = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch, tiny_checkpoints.on_loopback(root, patch):
        for overrides in (SDXL, SD2):
            config = composed(*overrides)
            unclear = [row.id for row in needs(config) if row.status.value == "review"]
            fetch(needs(config), config.base.family, accept=unclear, report=lambda line: None)
        yield


@pytest.fixture(scope="module")
def sdxl(tiny_registry: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two segments: poses of the track, depth of the keyframe."""
    return rendered(SDXL, tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def sd2(tiny_registry: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop under poses alone."""
    return rendered(SD2, tmp_path_factory.mktemp("sd2"))


def rendered(overrides: tuple[str, ...], root: Path) -> Path:
    folder = pipeline.render_video(composed(*overrides), root, GUARD)
    sign(folder)
    return folder


@pytest.mark.parametrize("family", ["sdxl", "sd2"])
def test_a_published_base_renders_verifies_and_replays_under_a_track(
    family: str, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(family)
    (planned,), clip = steps(run, "choreography"), steps(run, "motion")
    assert len(clip) > 1 and all(planned.id in step.parents for step in clip)
    assert honest_codes(run) == set()
    report, _ = replay(run, ALL)
    inexact = [part.name for part in report.parts if not part.exact]
    assert (inexact, report.verdict) == ([], Verdict.passed)


def test_poses_are_the_tracks_and_depth_is_the_keyframes(sdxl: Path) -> None:
    (mapped,), clip = steps(sdxl, "control"), steps(sdxl, "motion")
    assert set(load_file(sdxl / array_name("control", mapped.id))) == {"depth"}
    assert all(mapped.id in step.parents for step in clip)
    assert [step.params["control"]["kinds"] for step in clip] == [["depth", "pose"]] * len(clip)


def test_a_keyframe_that_shows_nobody_is_drawn_again_under_the_first_pose(sdxl: Path) -> None:
    (planned,), (first,), (again,) = (steps(sdxl, op) for op in ("choreography", "keyframe", "redrawn"))
    track = load_file(sdxl / array_name("choreography", planned.id))
    assert skeleton.read(track["figure"]) is None
    assert again.parents[2:] == (planned.id,) and again.parents[1] == first.parents[1]
    assert all(again.id in step.parents and first.id not in step.parents for step in steps(sdxl, "motion"))
    one, other = (load_file(sdxl / array_name(step.op, step.id))["latent"] for step in (first, again))
    assert (one != other).any()


def test_a_single_attempt_lets_no_other_picture_take_the_keyframes_place(
    tiny_registry: None, tmp_path: Path
) -> None:
    """As a clip from a still asks for: its picture is the keyframe, or nothing is rendered."""
    with pytest.raises(PokoraError, match=r"CFG-NOBODY: .*control=segment"):
        pipeline.render_video(composed(*SDXL, "control.attempts=1"), tmp_path, GUARD)
    assert not list(tmp_path.glob("video/*/stages/motion-*"))


def test_a_killed_run_goes_on_under_the_same_track(sdxl: Path, tmp_path: Path) -> None:
    told: list[str] = []
    step = Display.step

    def stopping(self: Display, detail: str = "") -> None:
        step(self, detail)
        told.append(detail)
        if detail == "segment 1/2":
            raise Interrupted("INT-STOP", "Ctrl-C")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "step", stopping)
        with pytest.raises(PokoraError, match="INT-STOP"):
            pipeline.render_video(composed(*SDXL), tmp_path)
    folder = pipeline.render_video(composed(*SDXL), tmp_path)
    assert (folder / "frames.json").read_bytes() == (sdxl / "frames.json").read_bytes()


def test_somebody_who_was_drawn_over_is_told(
    sdxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: sdxl)
    forgery = Forgery(tmp_path)
    node = forgery.of("choreography")
    arrays = forgery.arrays(node)
    arrays["figure"][:, 2] = 1
    forgery.store(node, arrays)
    assert "POL-CHAIN" in honest_codes(forgery.seal())
