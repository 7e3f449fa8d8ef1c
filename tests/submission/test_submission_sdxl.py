"""An honest entry in SDXL's shape: tiny weights behind the real rows, injected in Python."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import replay_runs, submission_checkout, tiny_checkpoints
from support.forged_run import sign
from support.submission_checkout import WORDS

from pokora_anime.catalogue.hub.fetch_models import fetch
from pokora_anime.catalogue.needed_weights import needs
from pokora_anime.config.compose import compose
from pokora_anime.findings import Severity
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import replay
from pokora_anime.rules import contest_limits
from pokora_anime.schema.settings import Family, FrameSize, RunConfig, StillsConfig, VideoConfig
from pokora_anime.submission import build
from pokora_anime.submission.check import opened_runs
from pokora_anime.submission.check.examine_bundle import examine_and_show
from pokora_anime.submission.documents import typst_pdf
from pokora_anime.verify.verdict import Verdict

SIDE = 64
SMALL = (
    *("base=sdxl", f"base.width={SIDE}", f"base.height={SIDE}", f"finish.width={SIDE}", "speed=lcm"),
    *(f"finish.height={SIDE}", "speed.steps=4", "style=pastel", "device.threads=1", "device.dtype=fp32"),
)


@pytest.fixture
def tiny_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Rows of the registry that name tiny weights, fetched from a hub on the loopback; small limits."""
    small = replace(
        contest_limits.load("cs492c"),
        sizes=[FrameSize(width=SIDE, height=SIDE)],
        video_lines=SIDE,
        min_seconds=1.0,
    )
    monkeypatch.setattr(contest_limits, "load", lambda name: small)
    with tiny_checkpoints.on_loopback(tmp_path, monkeypatch):
        fetch(needs(compose("video", [*SMALL, "control=depth"])), Family.sdxl, report=lambda line: None)
        yield


def judged(config: RunConfig) -> RunConfig:
    return replace(config, contest=contest_limits.load("cs492c"))


def entered(root: Path, clip: RunConfig) -> Path:
    """The bundle of an entry with this clip and a still: nothing bars it, and it verifies."""
    submission_checkout.checkout(root)
    stills = judged(compose("stills", [*SMALL]))
    assert isinstance(clip, VideoConfig) and isinstance(stills, StillsConfig)
    sign(pipeline.render_video(clip, root / "outputs", replay_runs.GUARD))
    sign(pipeline.render_stills(stills, root / "outputs", replay_runs.GUARD))
    built = build.build(root, WORDS)
    bars = [one.line() for one in built.findings if one.severity is Severity.block or one.ineligible]
    assert (bars, built.path is None) == ([], False)
    assert built.path is not None
    report, _ = examine_and_show(built.path, pictures=False)
    assert [one.line() for one in report.findings if one.severity is Severity.block] == []
    assert report.entry in ("eligible", "eligible after review")
    return built.path


def test_an_honest_sdxl_entry_is_written_and_verifies(tmp_path: Path, tiny_registry: None) -> None:
    clip = judged(compose("video", [*SMALL, "control=depth", "shot.seconds=1", "shot.fps=8"]))
    path = entered(tmp_path / "work", clip)
    with zipfile.ZipFile(path) as opened:
        inside = {name.partition("/")[2] for name in opened.namelist()}
        writeup = typst_pdf.read(opened.read(f"{path.stem}/entry/writeup.pdf"))
    assert not any(name.endswith(".safetensors") and name.startswith("source/") for name in inside)
    links = [row.link for row in needs(clip)]
    assert len(links) >= 6
    assert writeup.lacking(links) == []
    assert writeup.lacking(["DRAFT", "nano"]) == ["DRAFT", "nano"]


@pytest.mark.apart
def test_a_list_of_shots_is_an_entry_too_and_replays(tmp_path: Path, tiny_registry: None) -> None:
    first = "{prompt:'1girl, \"smile\", it\\'s her',seconds:0.5}"
    shots = f"shots=[{first},{{prompt:'1girl, waving',seconds:0.5,seed:9}}]"
    clip = judged(compose("video", [*SMALL, "control=depth", "shot.fps=8", shots, "motion.anchor=attention"]))
    path = entered(tmp_path / "work", clip)
    with zipfile.ZipFile(path) as opened:
        writeup = typst_pdf.read(opened.read(f"{path.stem}/entry/writeup.pdf"))
    assert writeup.lacking(["it's her", "waving", "2 shots with cuts"]) == []
    (run,) = (tmp_path / "work" / "outputs" / "video").iterdir()
    ops = [node.op for node in read_run(run).nodes]
    assert (ops.count("finish"), ops.count("likeness"), ops.count("keyframe")) == (2, 1, 2)
    with opened_runs.opened(path) as runs:
        (inside,) = [folder for name, folder in runs.items() if "video" in name]
        report, _ = replay(inside, replay_runs.ALL)
    assert [part.name for part in report.parts if not part.exact] == []
    assert report.verdict is Verdict.passed and len(report.parts) >= len(ops) - 2
