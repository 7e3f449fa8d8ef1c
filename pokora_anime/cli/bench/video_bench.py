"""Time, memory, repeatability and resume of `pokora video`, measured through the command line."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from pokora_anime.cli.bench.watched_process import Usage, pokora
from pokora_anime.devices.forecast.rates import processor
from pokora_anime.errors import MachineError
from pokora_anime.provenance import run_layout

DEFAULTS = ("base=nano", "speed=lcm", "control=pose_depth", "shot.seconds=8", "shot.fps=8")


def describe_machine() -> str:
    """Processor, cores and system, without names."""
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def speed(out: Path) -> dict[str, object]:
    """From typing the command to the finished MP4, twice: cold and warm caches of the system."""
    runs = [_render(out, DEFAULTS) for _ in range(2)]
    folder = _folder(runs[-1])
    marks = _marks(folder)
    return {
        "seconds": [round(run.seconds, 1) for run in runs],
        "seconds_to_first_step": marks["first step"],
        "peak_megabytes": round(max(run.peak_bytes for run in runs) / 2**20),
        "marks": marks,
    }


def repeat(out: Path) -> dict[str, object]:
    """The same command twice, afresh: the frame hashes must be the same."""
    hashes = [_hashes(_folder(_render(out, DEFAULTS))) for _ in range(2)]
    return {"frames": len(hashes[0]), "identical": hashes[0] == hashes[1]}


def resume(out: Path) -> dict[str, object]:
    """Kill a run in the middle of its motion (SIGKILL), go on, compare with an unbroken run."""
    folder = _folder(_render(out, DEFAULTS))
    unbroken = _hashes(folder)
    command = [sys.executable, "-m", "pokora_anime.cli", "video", *DEFAULTS, "--out", str(out)]
    child = subprocess.Popen([*command, "fresh=true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Its record goes first when it starts afresh; what is counted after that is its own.
    while child.poll() is None and ((folder / run_layout.RECORD).exists() or _stored(folder) < 3):
        time.sleep(0.05)
    if child.poll() is not None:
        raise MachineError("SYS-BENCH", "the run ended before it could be killed", fix="run the bench again")
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = _stored(folder)
    resumed = pokora(["video", *DEFAULTS, "--out", str(out)])
    return {
        "segments_kept": kept,
        "seconds_to_finish": round(resumed.seconds, 1),
        "identical": _hashes(_folder(resumed)) == unbroken,
    }


def memory(out: Path) -> dict[str, object]:
    """Peak memory and time a segment of a 64-segment run against a 4-segment run.

    12 new frames a segment at 8 fps: 4 segments are up to 6.4 s, 64 segments up to 96.4 s.
    """
    short, long = (_render(out, (*DEFAULTS, f"shot.seconds={seconds}")) for seconds in (6.4, 96.4))
    marks = [(name, at) for name, at in _marks(_folder(long)).items() if name.startswith("segment ")]
    seconds = [b - a for (_, a), (_, b) in zip(marks, marks[1:], strict=False)]
    return {
        "segments": [_segments(_folder(run)) for run in (short, long)],
        "peak_megabytes": [round(run.peak_bytes / 2**20) for run in (short, long)],
        "peak_ratio": round(long.peak_bytes / short.peak_bytes, 3),
        "seconds_a_segment": round(sum(seconds) / len(seconds), 3),
        "slope_over_run": round(_slope(seconds), 4),
    }


def clip_marks(out: Path, overrides: tuple[str, ...]) -> dict[str, float]:
    """When what happened in a clip that is rendered anew, in seconds from typing the command."""
    return _marks(_folder(_render(out, overrides)))


def _render(out: Path, overrides: tuple[str, ...]) -> Usage:
    return pokora(["video", *overrides, "fresh=true", "--out", str(out)])


def _folder(usage: Usage) -> Path:
    """The run folder: the command prints it last."""
    return Path(usage.output.strip().splitlines()[-1].strip())


def _hashes(folder: Path) -> list[str]:
    return json.loads((folder / run_layout.FRAMES).read_text())["rgb_sha256"]


def _marks(folder: Path) -> dict[str, float]:
    return dict(json.loads((folder / "logs" / "timeline.json").read_text()))


def _stored(folder: Path) -> int:
    return len(list(folder.glob("stages/motion-*")))


def _segments(folder: Path) -> int:
    return sum(name.startswith("segment ") for name in _marks(folder))


def _slope(seconds: list[float]) -> float:
    """Least-squares change of the time a segment takes from first to last, as a share of the mean."""
    count = len(seconds)
    middle, mean = (count - 1) / 2, sum(seconds) / count
    covariance = sum((i - middle) * (value - mean) for i, value in enumerate(seconds))
    variance = sum((i - middle) ** 2 for i in range(count))
    return covariance / variance * (count - 1) / mean
