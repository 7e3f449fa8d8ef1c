"""Draws one character in 24 captioned pictures: what `pokora data add` and `pokora train lora` begin with.

python examples/draw_character.py FOLDER [--hair-color green] [--eye-color gold] ...

The pictures are drawn by nano's world, from nothing but numbers. Who she is stays the same in all of them,
and no caption says it: a training learns what captions leave out as always so.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

TOLD = ("action", "background", "expression", "shot")  # what changes, and is in the captions
WHO = {"hair_color": "green", "hair_style": "twintails", "eye_color": "blue", "outfit": "kimono",
       "outfit_color": "yellow"}  # fmt: skip
# Closed lids hide the eyes: a fifth of the pictures is enough of them.
VALUES = {**ATTRIBUTES, "expression": ("smile", "open mouth", "smile", "open mouth", "closed eyes")}
BODY = ("leg_length", "arm_length", "head_size", "skin_tone", "hair_length", "hair_width", "fringe", "iris",
        "ribbon_hue")  # fmt: skip


def scenes(who: dict[str, str], count: int, seed: int) -> list[Scene]:
    """The same girl in as many scenes, each place and action about equally often."""
    rng = np.random.default_rng(seed)
    her = sample_scene(rng, **who)
    body = {name: getattr(her, name) for name in BODY}
    orders = {name: rng.permutation(count) for name in TOLD}
    found: list[Scene] = []
    for index in range(count):
        told = {name: VALUES[name][int(orders[name][index]) % len(VALUES[name])] for name in TOLD}
        scene = sample_scene(rng, **who, **told, camera="static", style="plain")
        found.append(replace(scene, **body))
    return found


def caption(scene: Scene) -> str:
    """What is in the picture besides her."""
    return ", ".join(["1girl", *(str(getattr(scene, name)) for name in TOLD)])


def main() -> None:
    """Draw, and write PNG and text files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    for name, value in WHO.items():
        parser.add_argument(f"--{name.replace('_', '-')}", choices=ATTRIBUTES[name], default=value)
    typed = vars(parser.parse_args())
    folder: Path = typed["folder"]
    folder.mkdir(parents=True, exist_ok=True)
    for index, scene in enumerate(scenes({name: typed[name] for name in WHO}, typed["count"], typed["seed"])):
        drawn = draw_frame(scene, 0.1 * index, typed["size"]).rgb
        cv2.imwrite(str(folder / f"{index:02d}.png"), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        (folder / f"{index:02d}.txt").write_text(f"{caption(scene)}\n", encoding="utf-8")
    print(f"{typed['count']} drawings in {folder}")


if __name__ == "__main__":
    main()
