"""What `best_of=4` brings: prompts that no training saw, each rendered from one keyframe and from the best of
four with the same seed. `python -m benchmarks.choice.best_of --out FOLDER` prints the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.nano.nano_prompts import asked
from pokora_anime.config.compose import compose_video
from pokora_anime.quality.metrics.metric_table import STAGES
from pokora_anime.quality.overall import overall
from pokora_anime.render import pipeline

FIRST = 500  # index of the first prompt
SHORT = (  # three segments of 16 frames
    *("shot.seconds=4", "speed.steps=4", "finish.fps=8", "finish.interpolation=none"),
    "quality.preview=false",
    *("finish.width=256", "finish.height=256", "finish.upscale=lanczos", "device.threads=1"),
)
Row = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the pairs that `--out` does not hold yet, and print what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--best-of", type=int, default=4)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [_pair(index, options.best_of, options.out) for index in range(FIRST, FIRST + options.prompts)]
    print(table(rows, options.best_of))


def _pair(index: int, best_of: int, out: Path) -> Row:
    """Scores and CPU seconds of one prompt's two clips; kept as JSON, so that a stopped bench goes on."""
    path = out / f"pair-{index}.json"
    if path.exists():
        found: Row = json.loads(path.read_text(encoding="utf-8"))
        return found
    row = {"index": index, "one": _clip(index, 1, out), "best": _clip(index, best_of, out)}
    path.write_text(json.dumps(row), encoding="utf-8")
    return row


def _clip(index: int, best_of: int, out: Path) -> Row:
    words = [*SHORT, f"shot.prompt={asked(index).text}", f"seed={index}", f"best_of={best_of}"]
    started = time.process_time()
    folder = pipeline.render_video(compose_video(words), out)
    card: dict[str, Any] = json.loads((folder / "reports" / "scorecard.json").read_text(encoding="utf-8"))
    scores = {f"{stage} {name}": value for stage in STAGES for name, value in card[stage]["values"].items()}
    return {"cpu": time.process_time() - started, "overall": overall(card), **scores}


def table(rows: Sequence[Row], best_of: int) -> str:
    """Means of both arms, their paired difference with its standard error, and the ratio of CPU seconds."""
    lines = [
        f"| {len(rows)} prompts | one keyframe | best of {best_of} | gain | standard error |",
        "|---|---|---|---|---|",
    ]
    for name in ("overall", "final prompt_adherence", "final subject_consistency", "final flicker"):
        pairs = np.array([[row[arm][name] for arm in ("one", "best")] for row in rows], float)
        gains = pairs[:, 1] - pairs[:, 0]
        error = gains.std(ddof=1) / len(gains) ** 0.5
        one, best = pairs.mean(0)
        lines.append(f"| {name} | {one:.4f} | {best:.4f} | {gains.mean():+.4f} | {error:.4f} |")
    one, best = (sum(row[arm]["cpu"] for row in rows) for arm in ("one", "best"))
    return "\n".join([*lines, "", f"CPU seconds: {one:.0f} and {best:.0f}, {best / one:.2f} times"])


if __name__ == "__main__":
    main()
