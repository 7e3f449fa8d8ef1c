"""An honest run to replay: nano at 64 pixels, two short segments, rendered once per test session."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from sealed import Forgery, sign, zipped

from pokora_anime import pipeline
from pokora_anime.config.compose import compose
from pokora_anime.config.schema import VideoConfig

__all__ = ["Forgery", "forged", "honest", "rendered", "zipped"]

SMALL = (
    *("base=nano", "base.width=64", "base.height=64", "finish.width=64", "finish.height=64"),
    *("shot.seconds=1", "speed.steps=2", "control=depth", "motion.frames=6", "motion.overlap=2"),
    *("seed=3", "device.threads=1", "device.dtype=fp32"),
)
GUARD = {"level": "landlock", "network": "closed"}


@cache
def honest() -> Path:
    """The folder of the finished run, signed: read it, and edit copies."""
    root = Path(tempfile.mkdtemp(prefix="pokora-replay-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return rendered(root)


def rendered(root: Path, *overrides: str) -> Path:
    """A run rendered in this process, so that its networks serve the replay too."""
    config = compose("video", [*SMALL, *overrides])
    assert isinstance(config, VideoConfig)
    folder = pipeline.render_video(config, root, GUARD)
    sign(folder)
    shutil.rmtree(folder / "logs")
    return folder


def forged(target: Path, monkeypatch: pytest.MonkeyPatch) -> Forgery:
    """A copy of the honest run in the hands of a forger."""
    monkeypatch.setattr("sealed.honest", honest)
    return Forgery(target)
