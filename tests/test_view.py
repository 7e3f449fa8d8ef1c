"""Noise that moves with the camera."""

from __future__ import annotations

import numpy as np
import pytest

from pokora_anime.config import camera
from pokora_anime.config.compose import compose_video
from pokora_anime.provenance import view

SECONDS = (0.0, 0.7, 3.0, 9.0, 61.3)


@pytest.fixture(scope="module")
def canvas() -> view.Noise:
    return np.random.default_rng(0).standard_normal((64, 16, 32)).astype(np.float32)


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("move", view.MOVES)
def test_what_is_seen_is_noise_too(canvas: view.Noise, move: str, seconds: float) -> None:
    seen = view.seen(canvas, move, seconds)
    assert seen.shape == (64, 16, 16)
    assert abs(seen.std() - 1.0) < 0.03
    # A zoom reads between the canvas's cells, closer or wider than they lie.
    most = 0.05 if move.startswith("pan") else 0.35
    for near, far in ((seen[:, :, 1:], seen[:, :, :-1]), (seen[:, 1:], seen[:, :-1])):
        assert abs(np.corrcoef(near.ravel(), far.ravel())[0, 1]) < most


@pytest.mark.parametrize(("move", "way"), [("pan left", -1), ("pan right", 1)])
def test_a_pan_shows_the_canvas_further_along(canvas: view.Noise, move: str, way: int) -> None:
    three_cells = 3 / (view.PAN * 16)  # seconds
    found = view.seen(canvas, move, three_cells)
    assert np.abs(found - np.roll(canvas, -3 * way, axis=2)[:, :, :16]).max() < 1e-5
    half = view.seen(canvas, move, three_cells / 6)  # half a cell: as like the one as the other
    likeness = [
        np.corrcoef(half.ravel(), np.roll(canvas, -s * way, 2)[:, :, :16].ravel())[0, 1] for s in (0, 1)
    ]
    assert likeness == pytest.approx([2 / np.pi, 2 / np.pi], abs=0.03)


def test_a_zoom_in_brings_what_lies_about_the_pivot_apart(canvas: view.Noise) -> None:
    rows = np.cos(2 * np.pi * np.arange(32) / 8)[None, None].repeat(16, 1).astype(np.float32)

    def crests(move: str, seconds: float) -> float:
        spectrum = np.abs(np.fft.rfft(view.seen(rows, move, seconds)[0, 0], 512))
        return float(spectrum[1:].argmax())

    assert crests("zoom in", 9.0) < crests("zoom in", 0.0)
    assert crests("zoom out", 9.0) > crests("zoom out", 0.0)


@pytest.mark.parametrize(
    ("overrides", "move"),
    [
        (["shot.prompt=1girl, pan left"], "pan left"),
        (["shot.prompt=a girl in a city; the camera zooms out"], "zoom out"),
        (["motion.camera=zoom_in", "shot.prompt=1girl, red hair"], "zoom in"),
        (["motion.camera=static", "shot.prompt=1girl"], None),
        (["shot.prompt=1girl, standing"], None),
        (["shot.prompt=1girl, pan left", "motion.noise_share=0"], None),
    ],
)
def test_the_noise_of_a_clip_moves_as_it_is_asked_to(overrides: list[str], move: str | None) -> None:
    mix = camera.start(compose_video(["base=nano", *overrides]))
    assert (mix.camera.move if mix.camera else None) == move
    assert ("camera" in mix.derivation()) == (move is not None)


def test_published_adapters_share_no_noise_by_default() -> None:
    for base in ("sdxl", "sd2"):
        motion = compose_video([f"base={base}", "shot.prompt=a girl, pan left"]).motion
        assert (motion.noise_share, motion.step_share) == (0.0, 0.0)
