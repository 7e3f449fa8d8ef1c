"""Draws captioned pictures in one style: what `pokora train lora --role style` begins with.

python examples/draw_style.py FOLDER --style pastel [--count 192]

The pictures are drawn by nano's world, from nothing but numbers: everything in them changes, but for the
style. Captions say what is to be seen; half of them name the style too, so that it comes with its word and
without.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pokora_anime.nano.train.drawn_data import STYLES, scene_and_time
from pokora_anime.nano.world.caption import full_caption
from pokora_anime.nano.world.draw import draw_frame


def main() -> None:
    """Draw, and write PNG and text files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--style", choices=[name.replace("_", "-") for name in STYLES], default="pastel")
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    typed = parser.parse_args()
    folder: Path = typed.folder
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(typed.count):
        scene, time = scene_and_time(typed.style.replace("-", "_"), index, typed.seed)
        scene = replace(scene, camera="static")
        drawn = draw_frame(scene, time, typed.size).rgb
        named = scene if index % 2 else replace(scene, style="plain")
        words = full_caption(named).split(", ")
        order = np.random.default_rng((typed.seed, index)).permutation(len(words) - 1)
        caption = ", ".join([words[0], *(words[1 + int(place)] for place in order)])
        cv2.imwrite(str(folder / f"{index:03d}.png"), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        (folder / f"{index:03d}.txt").write_text(f"{caption}\n", encoding="utf-8")
    print(f"{typed.count} drawings in {folder}")


if __name__ == "__main__":
    main()
