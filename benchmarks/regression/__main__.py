"""CPU-seconds of this commit against those of the commit before: `python -m benchmarks.regression`.

Both trees do the same work in turns, so that what else the machine does meets both; each case is told by the
median of its pairs. Exit status 1 where one takes more than the bar.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
BAR = 1.15  # of the other commit's CPU-seconds
SMALL = ("base.width=64", "base.height=64", "finish.width=64", "finish.height=64", "device.threads=1")
CASES: Mapping[str, tuple[str, ...]] = {
    "help": ("--help",),
    "estimate": ("estimate", "video"),
    "start of a run": ("video", "shot.seconds=1", "speed.steps=1", "quality.score=false", *SMALL),
    "clip": ("video", "experiment=preview", "shot.seconds=2", "device.threads=1"),
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print a line a case; 1 where one is over the bar."""
    parser = argparse.ArgumentParser(prog="benchmarks.regression", description=__doc__)
    parser.add_argument("--against", default="HEAD~1", help="the other commit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bar", type=float, default=BAR)
    parser.add_argument("--cases", nargs="*", choices=[*CASES], default=[*CASES], metavar="CASE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        unpack(options.against, before)
        worst = 0.0
        print(f"CPU-seconds, medians of {options.rounds} pairs against {options.against}")
        print(f"{'case':16} {'before':>8} {'now':>8} {'ratio':>6}")
        for name in options.cases:
            pairs = [paired(CASES[name], before, Path(folder), round_) for round_ in range(options.rounds)]
            ratio = median(now / then for then, now in pairs)
            then, now = (median(column) for column in zip(*pairs, strict=True))
            print(f"{name:16} {then:8.2f} {now:8.2f} {ratio:6.2f}", flush=True)
            worst = max(worst, ratio)
    print(f"at most {options.bar:.2f}: {'kept' if worst <= options.bar else 'MISSED'}")
    return int(worst > options.bar)


def unpack(commit: str, folder: Path) -> None:
    """A commit's files, without touching this checkout."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", commit], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def paired(words: Sequence[str], before: Path, folder: Path, round_: int) -> tuple[float, float]:
    """CPU-seconds of the other commit and of this one; each goes first in every other round."""
    trees = (before, ROOT)
    found = {
        tree: measured(tree, words, folder / f"{tree.name}-{round_}")
        for tree in (trees if round_ % 2 == 0 else trees[::-1])
    }
    return found[before], found[ROOT]


def measured(tree: Path, words: Sequence[str], folder: Path) -> float:
    """CPU-seconds of one command of a tree and of all processes that it starts."""
    folder.mkdir(parents=True, exist_ok=True)
    renders = words[0] in ("video", "stills")
    line = [sys.executable, "-m", "pokora_anime.cli", *words, *(("--out", str(folder)) if renders else ())]
    own = {**os.environ, "POKORA_DATA": str(folder / "data"), "OMP_NUM_THREADS": "1"}
    fresh = ["fresh=true"] if renders else []
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*line, *fresh], cwd=tree, env=own, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
