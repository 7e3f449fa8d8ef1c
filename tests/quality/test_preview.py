"""The preview grows with the clip, stays small and cheap, and leaves the clip alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from support import replay_runs
from torch import Tensor

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.run_layout import REPORTS
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality import preview
from pokora_anime.quality.preview import MOST_FRAMES, PREVIEW, Preview
from pokora_anime.schema.settings import Family

CPU = torch.device("cpu")


def made(path: Path) -> Preview:
    found = Preview.of(Family.nano, path, 8, CPU)
    assert found is not None
    return found


def shown(path: Path) -> list[Image]:
    with Pictures.open(path) as picture:
        frames: list[Image] = []
        for index in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(index)
            frames.append(np.asarray(picture.convert("RGB")))
        assert picture.info["duration"] == 125
        return frames


@pytest.fixture(scope="module")
def drawn() -> list[Image]:
    scene = sample_scene(np.random.default_rng(3), action="waving", camera="static", style="plain")
    return [draw_frame(scene, index / 8, 128).rgb for index in range(6)]


@pytest.fixture(scope="module")
def latents(drawn: list[Image]) -> Tensor:
    """[4, 6, 16, 16] of the drawn frames, by the tiny VAE's own encoder."""
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny.from_pretrained(preview.NANO)
    pixels = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        return vae.encode(pixels, return_dict=False)[0].transpose(0, 1)


def test_it_shows_the_frames_that_the_latents_are(
    tmp_path: Path, drawn: list[Image], latents: Tensor
) -> None:
    made(tmp_path / PREVIEW).show(0, latents)
    frames = shown(tmp_path / PREVIEW)
    assert len(frames) == 6
    for frame, wanted in zip(frames, drawn, strict=True):
        assert 10 * np.log10(255**2 / ((frame.astype(float) - wanted) ** 2).mean()) > 18


def test_it_grows_and_shared_frames_are_shown_once(
    tmp_path: Path, latents: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "SHARE", 1e9)
    growing = made(tmp_path / PREVIEW)
    counts: list[int] = []
    for start in (0, 4, 8):
        growing.show(start, latents)
        counts.append(len(shown(tmp_path / PREVIEW)))
    assert counts == [6, 10, 14]


def test_a_step_soon_after_waits_and_is_not_lost(
    tmp_path: Path, latents: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(preview, "monotonic", lambda: clock[0])
    growing = made(tmp_path / PREVIEW)
    growing.show(0, latents)
    growing._next = 200.0  # pyright: ignore[reportPrivateUsage]
    growing.show(6, latents)
    assert len(shown(tmp_path / PREVIEW)) == 6
    clock[0] = 201.0
    growing.show(12, latents)
    assert len(shown(tmp_path / PREVIEW)) == 18


def test_it_takes_a_small_share_of_the_time(
    tmp_path: Path, latents: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 3.0])  # begun, written
    monkeypatch.setattr(preview, "monotonic", lambda: next(ticks))
    growing = made(tmp_path / PREVIEW)
    growing.show(0, latents)
    assert growing._next == pytest.approx(3.0 + 3.0 / preview.SHARE)  # pyright: ignore[reportPrivateUsage]


def test_a_long_clip_keeps_its_latest_frames(tmp_path: Path, latents: Tensor) -> None:
    long = latents[:, :1].repeat(1, MOST_FRAMES + 4, 1, 1)
    long = torch.where(torch.arange(long.shape[1]).view(1, -1, 1, 1) % 2 == 0, long, -long)
    made(tmp_path / PREVIEW).show(0, long[:, :, :4, :4])
    assert len(shown(tmp_path / PREVIEW)) == MOST_FRAMES


def test_what_cannot_be_written_stops_nothing(tmp_path: Path, latents: Tensor) -> None:
    (tmp_path / "file").write_bytes(b"")
    made(tmp_path / "file" / PREVIEW).show(0, latents)


def test_a_base_without_a_tiny_vae_has_none(tmp_path: Path) -> None:
    assert Preview.of(Family.sd2, tmp_path / PREVIEW, 8, CPU) is None


def test_a_render_is_watched_and_the_preview_goes_when_the_clip_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (replay_runs.honest() / REPORTS / PREVIEW).exists()
    monkeypatch.setattr(Preview, "remove", lambda self: None)
    folder = replay_runs.rendered(tmp_path, "control=none", "shot.seconds=0.5")
    assert len(shown(folder / REPORTS / PREVIEW)) == 6
