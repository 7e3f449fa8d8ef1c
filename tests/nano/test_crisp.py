"""nano's frames three times as large: the network, its lines, its place between frames, its record."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from support import replay_runs
from support.forged_run import codes

import pokora_anime
from benchmarks.nano import nano_large
from pokora_anime.catalogue import finishing_networks
from pokora_anime.catalogue.needed_weights import needs
from pokora_anime.config import gate
from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose, compose_video
from pokora_anime.errors import ConfigError
from pokora_anime.nano.crisp import SCALE, Crisp, bicubic, steepened
from pokora_anime.nano.recipe import make_recipe
from pokora_anime.nano.train import copy_family
from pokora_anime.nano.train.members.train_crisp import train_crisp
from pokora_anime.nano.train.training_loop import Place
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.line_sharpness import line_width
from pokora_anime.replay.examine_replay import replay
from pokora_anime.stages.delivery import interpolate
from pokora_anime.verify.examine_run import examine

WEIGHTS = Path(pokora_anime.__file__).parent / "nano" / "weights"
LARGE = ("finish.width=192", "finish.height=192")


def scene(seed: int = 3, **fixed: str) -> Scene:
    fixed = {"action": "waving", "shot": "upper body", "camera": "static", "style": "plain"} | fixed
    return sample_scene(np.random.default_rng(seed), **fixed)


@cache
def drawn(seed: int, side: int = 256, time: float = 0.2) -> Image:
    return draw_frame(scene(seed), time, side, lines_of=256).rgb


@cache
def shipped() -> Crisp:
    return Crisp.from_pretrained(WEIGHTS / "crisp").requires_grad_(False)


@cache
def decoded(seed: int) -> Image:
    """A drawing as the shipped autoencoder gives it back."""
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae", torch_dtype=torch.float32).eval()
    with torch.no_grad():
        given = torch.from_numpy(drawn(seed)).permute(2, 0, 1)[None] / 127.5 - 1
        made = vae.decode(vae.encode(given).latent_dist.mean).sample[0]
    return (made * 127.5 + 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


# The network


@pytest.mark.parametrize("size", [(64, 64), (40, 56), (33, 47)])
def test_untrained_it_is_the_bicubic_enlargement(size: tuple[int, int]) -> None:
    frame = drawn(3)[: size[0], : size[1]]
    made = Crisp().larger(frame)
    assert made.shape == (SCALE * size[0], SCALE * size[1], 3) and made.dtype == np.uint8
    assert np.array_equal(made, bicubic(frame))


def test_unfolding_a_frame_is_what_pixel_shuffle_does() -> None:
    torch.manual_seed(0)
    network, frame = Crisp(8, 1), drawn(3)[:32, :48]
    torch.nn.init.normal_(network.layers[-1].weight, std=0.05)
    margin = network.margin
    framed = np.pad(frame, ((margin, margin), (margin, margin), (0, 0)), "edge")
    with torch.no_grad():
        lacking = network(torch.from_numpy(framed).permute(2, 0, 1)[None].float() / 255)[0] * 255
    wanted = np.clip(np.rint(bicubic(frame) + lacking.permute(1, 2, 0).numpy()), 0, 255)
    assert np.abs(network.larger(frame) - wanted).max() <= 1  # a half may round to either side


def test_a_frame_is_drawn_alike_wherever_it_is_cut() -> None:
    """Nothing but its surroundings decide about a place, so no seam and no grid shows."""
    frame, margin = decoded(3), shipped().margin
    whole, part = shipped().larger(frame), shipped().larger(frame[64:192, 64:192])
    inner = slice(SCALE * margin, SCALE * (128 - margin))
    again = whole[SCALE * 64 : SCALE * 192, SCALE * 64 : SCALE * 192]
    assert np.abs(again.astype(int) - part)[inner, inner].max() <= 1


@pytest.mark.parametrize("seed", [3, 11])
def test_lines_become_as_sharp_as_drawn_ones(seed: int) -> None:
    truth = line_width(drawn(seed, 768))
    crisp, soft = line_width(shipped().enlarged(decoded(seed))), line_width(nano_large.lanczos(decoded(seed)))
    assert truth and crisp and soft
    assert soft > 2.2 * truth
    assert crisp < 1.45 * truth


def test_steepened_edges_have_no_rings() -> None:
    soft = cv2.GaussianBlur(drawn(3, 768), (0, 0), 1.5)
    made, around = steepened(soft), np.ones((3, 3), np.uint8)
    assert (made <= cv2.dilate(soft, around)).all() and (made >= cv2.erode(soft, around)).all()
    before, after = line_width(soft), line_width(made)
    assert before and after and after < 0.85 * before


@pytest.mark.parametrize("seed", [3, 11])
def test_it_comes_closer_to_the_drawing_without_a_shift_of_colour(seed: int) -> None:
    truth = drawn(seed, 768).astype(np.float32)
    crisp, soft = (f(decoded(seed)).astype(np.float32) for f in (shipped().larger, nano_large.lanczos))
    assert np.square(crisp - truth).mean() < np.square(soft - truth).mean()
    crisp = shipped().enlarged(decoded(seed)).astype(np.float32)
    assert np.abs(crisp.mean((0, 1)) - soft.mean((0, 1))).max() < 1.0
    blurred = cv2.GaussianBlur(crisp - soft, (0, 0), 24)
    assert np.abs(blurred).max() < 16  # levels: nor in any part of the picture


def test_a_small_training_writes_a_network_and_its_record(tmp_path: Path) -> None:
    copy_family(WEIGHTS, tmp_path / "family")
    train_crisp(make_recipe("small").crisp, Place(tmp_path, previews=False))
    made = Crisp.from_pretrained(tmp_path / "family" / "crisp")
    assert any((p != q).any() for p, q in zip(made.parameters(), shipped().parameters(), strict=True))
    assert (tmp_path / "family" / "crisp" / "training.json").exists()


# The measure of lines


@pytest.mark.parametrize("seed", [3, 11])
def test_the_width_of_lines_tells_blur_and_nothing_else(seed: int) -> None:
    sharp = drawn(seed, 768)
    width = line_width(sharp)
    assert width is not None and width < 1.6
    last = width
    for sigma in (0.7, 1.5, 3.0):
        softer = line_width(cv2.GaussianBlur(sharp, (0, 0), sigma))
        assert softer is not None and softer > 1.4 * last
        last = softer
    for other in ((sharp * 0.7 + 40).astype(np.uint8), 255 - sharp, np.ascontiguousarray(sharp[:, ::-1])):
        assert line_width(other) == pytest.approx(width, rel=0.06)


def test_a_picture_without_outlines_has_no_width() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    assert line_width(ramp) is None
    assert line_width(np.full((64, 64, 3), 90, np.uint8)) is None


def test_the_bench_tells_lines_and_flicker_of_a_clip() -> None:
    made = np.stack([decoded(3)] * 3)
    still = np.zeros((256, 256), np.bool_)
    still[:64] = True
    row = nano_large.large_row(made, still, shipped())
    assert row["flicker_crisp"] == row["flicker_lanczos"] == 0.0  # a still picture stays one
    row |= {"drawn_width": nano_large.drawn_width(scene(3), [0.2] * 3)}
    trembling = {**row, "flicker_crisp": 1.2, "flicker_lanczos": 1.0}
    sharp, calm = nano_large.lines([trembling])
    assert sharp.met is (sharp.value <= nano_large.WIDTH_BAR) and sharp.details["lanczos"] > 2.2
    assert calm.met is False and calm.value == pytest.approx(1.2)
    assert nano_large.lines([{"flow": 1.0}]) == []  # a family without the network


# Between frames


def test_frames_are_enlarged_once_and_moved_large() -> None:
    clip = [drawn(3, 96, k / 8) for k in range(9)]
    seen: list[int] = []

    def larger(frame: Image) -> Image:
        seen.append(next(k for k, one in enumerate(clip) if one is frame))
        return bicubic(frame)

    made = list(interpolate.retimed(iter(clip), 8, 24, 24, larger=larger))
    assert seen == list(range(9))
    assert {frame.shape for frame in made} == {(288, 288, 3)}
    small = list(interpolate.retimed(iter(clip), 8, 24, 24))
    for index, (large, plain) in enumerate(zip(made, small, strict=True)):
        if index % 3 == 0:
            assert np.array_equal(large, bicubic(plain))
        else:
            assert np.abs(large.astype(int) - bicubic(plain)).mean() < 2.0


def test_frames_moved_large_are_closer_to_the_drawing_than_enlarged_ones() -> None:
    small, large = ({k: drawn(3, side, (3 + k) / 24) for k in range(4)} for side in (128, 384))
    sharp = {id(small[0]): large[0], id(small[3]): large[3]}
    pair = interpolate.FramePair(
        small[0], small[3], interpolate.make_flow(), larger=lambda frame: sharp[id(frame)]
    )
    plain = interpolate.FramePair(small[0], small[3], interpolate.make_flow())
    for k in (1, 2):
        moved, enlarged = pair.at(k / 3), nano_large.lanczos(plain.at(k / 3))
        errors = [np.square(made.astype(float) - large[k]).mean() for made in (moved, enlarged)]
        assert errors[0] < 0.8 * errors[1]


def test_a_cut_shows_the_nearest_large_frame() -> None:
    one, other = np.full((32, 32, 3), 20, np.uint8), np.full((32, 32, 3), 220, np.uint8)
    pair = interpolate.FramePair(one, other, interpolate.make_flow(), larger=bicubic)
    assert np.array_equal(pair.at(0.3), bicubic(one)) and np.array_equal(pair.at(0.6), bicubic(other))


# What is asked for


@pytest.mark.parametrize(
    ("words", "crisp"),
    [
        ([], True),
        (["finish.upscale=lanczos"], False),
        (["finish=hires"], False),
        (["base=sdxl"], False),
        (["finish.width=256", "finish.height=256"], False),
        (["finish.width=256", "finish.height=256", "finish.zoom=1.5"], True),
        (["finish.width=256", "finish.height=256", "finish.camera=pan_left"], True),
    ],
)
def test_nano_is_drawn_crisp_where_it_is_delivered_larger(words: list[str], crisp: bool) -> None:
    config = compose_video(words)
    assert finishing_networks.crisp(config) is crisp
    assert ("nano-crisp" in {row.id for row in needs(config)}) is crisp


@pytest.mark.parametrize("command", ["video", "stills"])
def test_another_base_cannot_be_drawn_crisp(command: str) -> None:
    with pytest.raises(ConfigError, match=r"finish\.upscale=crisp; expected lanczos.*fix: finish\.upscale"):
        check(compose(command, ["base=sdxl", "finish.upscale=crisp"]))


def test_it_is_more_than_the_scaling_that_a_contest_allows() -> None:
    found = gate.examine(compose_video(["base=nano"]))
    (line,) = [one.line() for one in found if one.code == "RULE-UPSCALE"]
    assert "fix: finish.upscale=lanczos" in line
    shown = gate.examine(compose_video(["base=nano", "contest=showcase"]))
    assert not [one for one in shown if one.code == "RULE-UPSCALE"]  # there it is part of the base


# The record


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replay_runs.rendered(tmp_path_factory.mktemp("crisp"), *LARGE, "control=none")


@pytest.fixture
def forgery(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> replay_runs.Forgery:
    return replay_runs.forged(tmp_path, monkeypatch, lambda: finished)


def test_a_crisp_clip_verifies_and_replays_to_the_bit(finished: Path) -> None:
    told = {finding.code for finding in examine(finished).policy}
    assert not {code for code in told if code.startswith("POL-")}, told
    report, _ = replay(finished, replay_runs.ALL)
    assert [part.name for part in report.parts if not part.to_plain()["bit_equal"]] == []
    assert sum(part.name.startswith("frames") for part in report.parts) == 2


def test_its_finish_names_the_network(forgery: replay_runs.Forgery) -> None:
    node = forgery.of("finish")
    assert set(node["weights"]) == {"vae", "crisp"}
    assert node["params"]["finish"]["upscale"] == "crisp"
    del node["weights"]["crisp"]
    assert "POL-WEIGHTS" in codes(forgery.seal())


def test_a_record_that_hides_the_network_is_found(forgery: replay_runs.Forgery) -> None:
    forgery.record["summary"]["config"]["finish"]["upscale"] = "lanczos"
    forgery.of("finish")["params"]["finish"]["upscale"] = "lanczos"
    assert "POL-WEIGHTS" in codes(forgery.seal())


def test_a_crisp_still_is_recorded_and_replayed(tmp_path: Path) -> None:
    folder = replay_runs.pictured(tmp_path, *LARGE)
    assert not [f for f in examine(folder).policy if f.code.startswith("POL-")]
    report, _ = replay(folder, replay_runs.ALL)
    assert [part.name for part in report.parts if not part.to_plain()["bit_equal"]] == []
    still = next(part for part in report.parts if part.name.startswith("still"))
    assert still.to_plain()["bit_equal"]
