"""Honest runs to replay: nano at 64 pixels, two short segments or two stills, rendered once a session."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from pokora_anime.config.compose import compose
from pokora_anime.quality import joining
from pokora_anime.quality.joining import Steps
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import Question
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.schema.settings import StillsConfig, VideoConfig
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import Step, read_record
from support import once_per_session as once
from support.forged_run import Forgery, codes, sign

PICTURE = ("base=nano", "base.width=64", "base.height=64", "finish.width=64", "finish.height=64")
HERE = ("seed=3", "device.threads=1", "device.dtype=fp32")
SMALL = (
    *(*PICTURE, "shot.seconds=1", "speed.steps=2"),
    *("control=depth", "motion.frames=6", "motion.overlap=2", *HERE),
)
QUIET = ("quality.score=false", "quality.preview=false")
ALL = Question(nonce="7", nodes=99, wishes=Wishes())
GUARD = {"wanted": "auto", "level": "landlock", "landlock_abi": 7, "network": "closed", "details": {}}


@cache
def honest() -> Path:
    """The folder of the finished run, signed: read it, and edit copies."""
    return once.made("replayed", rendered)


@cache
def stills() -> Path:
    """The folder of a finished run of two stills, signed."""
    return once.made("stills", lambda root: pictured(root, "count=2"))


def pictured(root: Path, *overrides: str) -> Path:
    """A run of stills rendered in this process."""
    config = compose("stills", [*PICTURE, "speed.steps=2", *HERE, *overrides])
    assert isinstance(config, StillsConfig)
    return _signed(pipeline.render_stills(config, root, GUARD))


def rendered(root: Path, *overrides: str) -> Path:
    """A run rendered in this process, so that its networks serve the replay too."""
    config = compose("video", [*SMALL, *overrides])
    assert isinstance(config, VideoConfig)
    return _signed(pipeline.render_video(config, root, GUARD))


def made_twice(root: Path, *overrides: str) -> Path:
    """An honest run whose second segment is refused once, and made again if the overrides allow it."""
    refused: list[bool] = []

    def once(found: Steps, before: Sequence[Steps], *, joined: bool) -> float:
        del found, before
        refused.extend([True] * joined)
        return 2.0 * (joined and len(refused) == 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "failing", once)
        return rendered(root, *overrides)


def steps(folder: Path, op: str) -> list[Step]:
    """The nodes of one operation, in the record's order."""
    return [step for step in read_record(Folder(folder, LIMITS), LIMITS).steps if step.op == op]


def honest_codes(folder: Path) -> set[str]:
    """The findings of `pokora verify` that no honest run has, whatever its contest."""
    return {code for code in codes(folder) if code.startswith(("INT-", "POL-", "GATE-"))}


def _signed(folder: Path) -> Path:
    sign(folder)
    shutil.rmtree(folder / "logs")
    return folder


def forged(target: Path, monkeypatch: pytest.MonkeyPatch, source: Callable[[], Path] = honest) -> Forgery:
    """A copy of an honest run in the hands of a forger."""
    monkeypatch.setattr("support.forged_run.honest", source)
    return Forgery(target)
