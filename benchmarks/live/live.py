"""`pokora bench live`: what a live clip makes a second, how long a typed action takes, gaps and memory.

    pokora bench live                              # steps 1 to 4 at 256 px, torch and, where it is, OpenVINO
    pokora bench live --sizes 256,384 --steps 2 --runtimes openvino --seconds 600
    pokora bench live --levers                     # flicker against responsiveness, a row a setting

Each row is a session of its own, shown at its 24 frames a second with nobody's browser beside it. Every four
seconds another action is typed; it counts as visible with the first frame on the display that was made for
it. A gap is the time between two frames on the display. Memory is that of the process that generates.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import psutil

from pokora_anime.cli.bench import video_bench
from pokora_anime.cli.parser import OneLineParser
from pokora_anime.config.compose import compose
from pokora_anime.devices import openvino_runtime
from pokora_anime.live import live_settings
from pokora_anime.live.live_session import LiveSession
from pokora_anime.live.live_settings import LiveConfig
from pokora_anime.live.take import session_words
from pokora_anime.schema.settings import VideoConfig

PROMPT = "1girl, blue hair, twintails, white dress, {}, cherry blossoms"
ACTIONS = ("dancing", "waving", "walking", "jumping", "arms up", "standing")
EVERY = 4.0  # seconds between two typed actions
_STARTING = 600.0  # seconds that the first frame may take: networks are converted once


@dataclass(slots=True)
class Measured:
    """What a session showed."""

    waits: list[float] = field(default_factory=list[float])
    gaps: list[float] = field(default_factory=list[float])
    memory: list[int] = field(default_factory=list[int])
    starting: float = 0.0
    rate: float = 0.0
    cpu: float = 0.0
    clip: float = 0.0  # seconds of the clip that were shown in a second


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and write it as JSON; returns the exit status."""
    parser = OneLineParser(prog="pokora bench live", description=__doc__)
    parser.add_argument("--steps", default="1,2,3,4", help="denoising steps (default: 1,2,3,4)")
    parser.add_argument("--sizes", default="256", help="sides of a frame (default: 256)")
    frames = str(LiveConfig().frames)
    parser.add_argument("--frames", default=frames, help=f"frames of a segment (default: {frames})")
    parser.add_argument("--runtimes", default="", help="torch, openvino (default: those that are installed)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a session (default: 60)")
    parser.add_argument(
        "--levers", action="store_true", help="noise, feedback and smoothing, not in real time"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder for the results")
    options = parser.parse_args(arguments)
    runtimes = options.runtimes or ("torch,openvino" if openvino_runtime.installed() else "torch")
    rows: list[dict[str, object]] = []
    if options.levers:
        from benchmarks.live import levers

        rows = [*levers.rows()]
    settings = _settings(options.steps, options.sizes, options.frames, runtimes)
    for live in settings if not options.levers else []:
        rows.append(row(live, session(live, options.seconds)))
        print(json.dumps(rows[-1]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / ("live-levers.json" if options.levers else "live.json")
    path.write_text(json.dumps({"machine": video_bench.describe_machine(), "rows": rows}, indent=1) + "\n")
    _table(rows)
    print(f"-> {path}")
    return 0


def _settings(steps: str, sizes: str, frames: str, runtimes: str) -> list[LiveConfig]:
    """All sessions to measure. Raises ConfigError for what `pokora live` would not take."""
    every = product(runtimes.split(","), sizes.split(","), frames.split(","), steps.split(","))
    names = ("runtime", "size", "frames", "steps")
    return [
        live_settings.read([f"live.{name}={value}" for name, value in zip(names, one, strict=True)])
        for one in every
    ]


def session(live: LiveConfig, seconds: float) -> Measured:
    """A session of so many seconds from its first frame on."""
    found = Measured()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        shown = LiveSession(_config(ACTIONS[1], live), live, Path(folder))
        try:
            while shown.after(0, 1.0) is None:
                if shown.over or time.monotonic() - begun > _STARTING:
                    raise shown.error or TimeoutError("no frame came")
            found.starting = time.monotonic() - begun
            _watch(shown, live, seconds, found)
        finally:
            shown.close()
    return found


def _watch(shown: LiveSession, live: LiveConfig, seconds: float, found: Measured) -> None:
    begun = last = time.monotonic()
    number, typed, asked = 0, 1, dict[int, float]()
    first, processor = shown.after(0, 1.0), _processor()
    made = shown.frames_made
    while (now := time.monotonic()) - begun < seconds:
        if now - begun > typed * EVERY:
            asked[shown.follow(_config(ACTIONS[typed % len(ACTIONS)], live))] = now
            typed += 1
            found.memory.append(shown.memory())
        frame = shown.after(number, 1.0)
        if frame is None:
            if shown.over:
                raise shown.error or RuntimeError("the session is over")
            continue
        now = time.monotonic()
        found.gaps.append(now - last)
        last, number = now, frame.number
        for one in [one for one in asked if one <= frame.words]:
            found.waits.append(now - asked.pop(one))
    assert first is not None
    found.rate = shown.made_a_second
    found.cpu = (_processor() - processor) / max(1, shown.frames_made - made)
    found.clip = (shown.position - first.position) / 8 / seconds


def _processor() -> float:
    """Processor seconds of this process and of those that it started."""
    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _config(action: str, live: LiveConfig) -> VideoConfig:
    words = [f"shot.prompt={PROMPT.format(action)}", f"seed={live.seed}", *session_words(live)]
    words += [f"motion.frames={live.frames}", f"device.runtime={live.runtime.value}"]
    found = compose("video", words)
    assert isinstance(found, VideoConfig)
    return found


def row(live: LiveConfig, found: Measured) -> dict[str, object]:
    """A session as a row of the table."""
    memory = found.memory[1:] or found.memory
    return {
        "runtime": live.runtime.value,
        "size": live.size,
        "frames": live.frames,
        "steps": live.steps,
        "new frames a second": round(found.rate, 1),
        "processor seconds a frame": round(found.cpu, 3),
        "clip seconds a second": round(found.clip, 2),
        "wait for an action, median s": part(found.waits, 50),
        "wait for an action, p95 s": part(found.waits, 95),
        "display gap, p99 ms": round(1000 * float(np.percentile(found.gaps, 99))),
        "display gap, most ms": round(1000 * max(found.gaps)),
        "memory, GB": round(max(memory, default=0) / 1e9, 2),
        "memory, last tenth to first": growth(memory),
        "first frame, s": round(found.starting, 1),
    }


def part(values: Sequence[float], percent: float) -> float | None:
    """A percentile of seconds; None where there are none."""
    return round(float(np.percentile(values, percent)), 2) if values else None


def growth(memory: Sequence[int]) -> float | None:
    """What the last tenth takes by what the first one took."""
    tenth = max(1, len(memory) // 10)
    return round(float(np.mean(memory[-tenth:]) / np.mean(memory[:tenth])), 3) if memory else None


def _table(rows: Sequence[dict[str, object]]) -> None:
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for one in rows:
        print("| " + " | ".join(str(one[name]) for name in names) + " |")
