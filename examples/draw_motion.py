"""Draws clips of one camera move: what `pokora train lora --role motion` begins with.

python examples/draw_motion.py FOLDER --move pan-left [--count 24]

Each clip is a folder of numbered frames at 8 a second, drawn by nano's world from nothing but numbers:
another girl, place and action in each, and the same move in all of them. No caption says the move: a training
learns what captions leave out as always so.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pokora_anime.nano.sizes import FPS, FRAMES
from pokora_anime.nano.world.caption import full_caption
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene

# By move how the world's camera goes, and how many times as fast as the world has it.
WORLD = {"pan-left": ("pan left", 2.0), "pan-right": ("pan right", 2.0),
         "zoom-in": ("zoom in", 4.0), "zoom-out": ("zoom out", 4.0)}  # fmt: skip
DRIFT = 1.25  # how much larger a picture is drawn than the window that drifts over it


def drawn(scene: Scene, move: str, start: float, number: int, size: int) -> np.ndarray:
    """Frame `number` of a clip, uint8 [size, size, 3]."""
    time = start + number / FPS
    if move in WORLD:
        return draw_frame(scene, time, size).rgb
    large = draw_frame(scene, time, round(size * DRIFT)).rgb
    room = (len(large) - size) * number / (FRAMES - 1)
    shift = np.float32([[1, 0, -room], [0, 1, -room / 2]])
    return cv2.warpAffine(large, shift, (size, size), flags=cv2.INTER_LANCZOS4)


def clip_scene(rng: np.random.Generator, move: str) -> Scene:
    """Anyone anywhere, under a camera that makes the move."""
    camera, speed = WORLD.get(move, ("static", 1.0))
    scene = sample_scene(rng, camera=camera, style="plain")
    return replace(scene, camera_speed=scene.camera_speed * speed)


def main() -> None:
    """Draw, and write a folder of PNG files and a caption a clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--move", choices=[*WORLD, "drift"], default="pan-left")
    parser.add_argument("--count", type=int, default=24, help="clips")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each clip")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    typed = parser.parse_args()
    rng = np.random.default_rng(typed.seed)
    for index in range(typed.count):
        scene, start = clip_scene(rng, typed.move), float(rng.uniform(0.0, 2.0))
        folder: Path = typed.folder / f"{typed.move}-{index:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(typed.frames):
            frame = drawn(scene, typed.move, start, number, typed.size)
            cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        told = full_caption(replace(scene, camera="static"))
        (folder / "caption.txt").write_text(f"{told}\n", encoding="utf-8")
    print(f"{typed.count} clips in {typed.folder}")


if __name__ == "__main__":
    main()
