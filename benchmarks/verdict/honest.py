"""Honest runs over the option groups, stills, drafts, sweeps and bundles: none may be warned of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SMALL = (
    *("base.width=64", "base.height=64", "finish.width=64", "finish.height=64"),
    *("shot.seconds=2", "speed.steps=2", "device.threads=1", "control=none"),
)
MOTIONS = (
    *("anchor_attention", "anchor_both", "anchor_frame", "carried_start", "color_lock"),
    *("last_latent", "overlap_2", "overlap_4", "overlap_8", "shared_noise", "windows"),
)
CAMERAS = (
    *("zoom_in", "zoom_out", "pan_left", "pan_right", "tilt_up", "tilt_down"),
    *("rolling_clockwise", "rolling_anticlockwise", "static"),
)
PROMPTS = (
    "1girl, {red|blue|green} hair, waving",
    "0: 1girl, standing, 8: 1girl, waving",
    "1girl, (blue hair:1.3), [kimono], BREAK night sky",
    "소녀, 파란 머리, 벚꽃",
    'a dragon 🐉, "quoted", it\'s 100% fine',
    "1girl, <lora:pastel:0.8>, beach",
)
GROUPS: tuple[tuple[str, ...], ...] = (
    *((f"motion={name}",) for name in MOTIONS),
    *((f"motion.camera={name}",) for name in CAMERAS),
    *((f"shot.prompt={prompt}",) for prompt in PROMPTS),
    *((f"style={name}",) for name in ("pastel", "flat_color")),
    *((f"negative={name}",) for name in ("anime", "contest", "none")),
    *((f"finish.interpolation={name}",) for name in ("none", "flow")),
    *((f"encode.crf={crf}",) for crf in (0, 10, 23)),
    *((f"encode.preset={name}",) for name in ("ultrafast", "slow")),
    *((f"finish.zoom={zoom}",) for zoom in (1.2, 1.5)),
    *((f"shot.fps={fps}",) for fps in (6, 12)),
    *((f"shot.seconds={seconds}",) for seconds in (1, 3.5, 5)),
    ("control=depth", "control.source=segment"),
    ("control=depth", "control.source=keyframe"),
    ("motion=loop", "shot.seconds=3"),
    ("keyframe=none",),
    ("speed=hq", "speed.steps=3"),
    ("finish=hires",),
    ("quality.reroll=1",),
    ("quality.score=false", "quality.preview=false"),
    ("finish.width=96", "finish.height=64"),
    ("finish.fps=30",),
    ("device.dtype=fp32",),
    ("motion.deflicker=0.1", "motion.hold=0.1"),
    ("contest=cs492c",),
)
FIGURES: tuple[tuple[str, ...], ...] = (  # at the size in which a figure is found
    ("experiment=preview",),
    ("experiment=preview", "control.source=draft"),
    ("experiment=preview", "control.source=choreography"),
    ("experiment=preview", "control.source=keyframe"),
)
STILLS: tuple[tuple[str, ...], ...] = (("count=1",), ("count=3", "seed=9"), ("style=pastel",))
SWEEPS = ("seed=1,2", "speed.steps=1,2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Honest:
    """A run or a bundle as the command line left it, and what was typed."""

    path: Path
    typed: str


def render(work: Path) -> Iterator[Honest]:
    """Renders what is not there yet; each run once it is."""
    for number, words in enumerate(GROUPS):
        yield from rendered(work, f"video-{number:02}", "video", *smaller(words), *words)
    for number, words in enumerate(FIGURES):
        yield from rendered(work, f"figure-{number:02}", "video", *words, "speed.steps=2", "device.threads=1")
    small = [word for word in SMALL if not word.startswith(("shot.", "control"))]
    for number, words in enumerate(STILLS):
        yield from rendered(work, f"stills-{number:02}", "stills", *small, *words)
    yield from rendered(
        work, "sweep", "video", *(w for w in SMALL if w != "speed.steps=2"), "--multirun", *SWEEPS
    )


def bundles(work: Path) -> Iterator[Honest]:
    """Drafts of five submissions: a clip and stills, each with other options."""
    small = [word for word in SMALL if not word.startswith(("shot.", "control"))]
    options = ("seed=1", "style=pastel", "motion=windows", "encode.crf=23", "control=depth")
    for number, option in enumerate(options):
        yield bundle(
            work / f"bundle-{number}",
            ("video", *smaller([option]), option),
            ("stills", *small, f"count={1 + number % 3}"),
        )


def smaller(words: Iterable[str]) -> tuple[str, ...]:
    """What makes a clip small, but for the keys that `words` set."""
    keys = {word.partition("=")[0] for word in words}
    return tuple(word for word in SMALL if word.partition("=")[0] not in keys)


def rendered(work: Path, name: str, *words: str) -> Iterator[Honest]:
    place = work / name
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            pokora(work, *words, "--out", str(place))
        except RuntimeError as error:
            print(f"not rendered: {error}", flush=True)
            return
        (place / "done").touch()
    for record in sorted(place.rglob("record.json")):
        yield Honest(path=record.parent, typed=" ".join(words))


def bundle(place: Path, *runs: tuple[str, ...]) -> Honest:
    """A draft of a submission with these runs, built in a checkout of its own; the one that is there."""
    if not list(place.glob("submission/dist/*.zip")):
        shutil.rmtree(place, ignore_errors=True)
        _checkout(place)
        for words in (*runs, ("submission", "build", "--draft")):
            pokora(place.with_name("home"), *words, cwd=place)
    return Honest(
        path=next(place.glob("submission/dist/*.zip")), typed=f"draft of {' + '.join(map(' '.join, runs))}"
    )


def _checkout(place: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=place, check=True)


def pokora(home: Path, *words: str, cwd: Path = ROOT, allowed: tuple[int, ...] = (0,)) -> str:
    """Runs the command line in a home of its own; what it printed. Raises RuntimeError where it fails."""
    environment = {
        **os.environ,
        "XDG_CONFIG_HOME": str(home / "config"),
        "POKORA_DATA": str(home / "data"),
        "PYTHONPATH": str(cwd),
    }
    line = [sys.executable, "-m", "pokora_anime.cli", *words]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=environment, timeout=1200)
    if done.returncode not in allowed:
        raise RuntimeError(f"pokora {' '.join(words)}: {done.stderr.strip()[-600:]}")
    return done.stdout
