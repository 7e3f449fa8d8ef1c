"""keyframe.identity=adapter on SDXL: tiny checkpoints in the published layout, from a render to a replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from support import tiny_checkpoints
from support.forged_run import sign
from support.hub_server import Hub, reach, serving
from support.replay_runs import ALL, GUARD, QUIET, honest_codes, steps

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.hub.fetch_models import fetch
from pokora_anime.catalogue.needed_weights import needs
from pokora_anime.config.compose import compose
from pokora_anime.provenance.run_layout import array_name
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import replay
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.verify.verdict import Verdict

SIDE = 64
SMALL = (
    *("base=sdxl", "speed=lcm", "style=none", "control=none", "speed.steps=2", "seed=3"),
    *(f"base.width={SIDE}", f"base.height={SIDE}", f"finish.width={SIDE}", f"finish.height={SIDE}"),
    *("shot.seconds=1", "motion.frames=6", "motion.overlap=2", "device.threads=1", "device.dtype=fp32"),
    *QUIET,
)
ADAPTED = (*SMALL, "keyframe.identity=adapter")


def composed(*overrides: str) -> VideoConfig:
    config = compose("video", [*overrides])
    assert isinstance(config, VideoConfig)
    return config


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Rows of the registry that name tiny weights, fetched from a hub on the loopback."""
    root = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "memory"))
        patch.setenv("POKORA_DATA", str(root / "data"))
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            patch.setattr(f"huggingface_hub.constants.{name}", str(root / "hub"))
        published = Hub()
        for repo, folder in tiny_checkpoints.write(root / "published").items():
            published.add(repo, folder)
        rows = tiny_checkpoints.named(registry.shipped(), published)
        patch.setattr(registry, "shipped", lambda: rows)
        with serving(published) as running:
            reach(patch, running.url)
            config = composed(*ADAPTED)
            fetch(needs(config), config.base.family, report=lambda line: None)
            yield running


def rendered(overrides: tuple[str, ...], root: Path) -> Path:
    folder = pipeline.render_video(composed(*overrides), root, GUARD)
    sign(folder)
    return folder


@pytest.fixture(scope="module")
def run(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two segments that see the keyframe through the adapter."""
    return rendered(ADAPTED, tmp_path_factory.mktemp("adapted"))


@pytest.fixture(scope="module")
def plain(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clip with the anchor alone."""
    return rendered(SMALL, tmp_path_factory.mktemp("plain"))


def latents(folder: Path) -> list[np.ndarray]:
    return [load_file(folder / array_name("motion", one.id))["latents"] for one in steps(folder, "motion")]


def test_an_adapted_clip_renders_verifies_and_replays(run: Path) -> None:
    (shown,), (first,), clip = steps(run, "image_embedding"), steps(run, "keyframe"), steps(run, "motion")
    assert shown.parents == (first.id,)
    assert len(clip) == 2 and all(shown.id in step.parents and "ip_adapter" in step.weights for step in clip)
    tokens = load_file(run / array_name("image_embedding", shown.id))
    assert {name: one.shape for name, one in tokens.items()} == {
        "tokens": (4, 32), "negative_tokens": (4, 32)
    }  # fmt: skip
    assert honest_codes(run) == set()
    report, _ = replay(run, ALL)
    inexact = [part.name for part in report.parts if not part.exact]
    assert (inexact, report.verdict) == ([], Verdict.passed)
    assert any(part.name.startswith("image_embedding") for part in report.parts)
