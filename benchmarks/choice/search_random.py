"""A search against random trials, as many of both: `python -m benchmarks.choice.search_random --out FOLDER`.

Three repetitions with fixed seeds; the best overall score of each, and the means.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pokora_anime.cli.render import search

FIXED = (
    *("sweep=search", "search.prune=false", "quality.preview=false", "device.threads=1"),
    *("shot.seconds=1", "finish.fps=8", "finish.interpolation=none", "finish.upscale=lanczos"),
    *("base.width=128", "base.height=128", "finish.width=256", "finish.height=256"),
)
SPACE = (
    *("speed.steps=range(2,9)", "speed.guidance_scale=interval(1,2)", "motion.step_share=interval(0,1)"),
    *("motion.deflicker=interval(0,0.6)", "motion.hold=interval(0,2)"),
    "motion.anchor_weight=interval(0.5,8)",
)
REPETITIONS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Search and draw at random, and print what both came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=12)
    options = parser.parse_args(arguments)
    best: dict[str, list[float]] = {"tpe": [], "random": []}
    for seed in range(REPETITIONS):
        for sampler, found in best.items():
            root = options.out / f"{sampler}-{seed}"
            if len(_scores(root)) < options.trials:  # those that are finished are read from their folders
                asked = [f"search.trials={options.trials}", f"search.seed={seed}"]
                search.run("video", [*FIXED, *SPACE, *asked, f"search.sampler={sampler}"], root)
            found.append(max(_scores(root)))
    print("| sampler | best overall score of each repetition | mean |\n|---|---|---|")
    for sampler, found in best.items():
        told = " ".join(f"{one:.4f}" for one in found)
        print(f"| {sampler} | {told} | {sum(found) / len(found):.4f} |")


def _scores(root: Path) -> list[float]:
    results: list[dict[str, Any]] = [json.loads(path.read_text()) for path in root.glob("sweep/*/job-*.json")]
    return [one["scores"]["overall"] for one in results if "scores" in one]


if __name__ == "__main__":
    main()
