"""Drawn pictures, rendered once into the work folder as memory maps."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.recipe import Data
from pokora_anime.nano.sizes import FPS, FRAMES, PICTURE
from pokora_anime.nano.train.posed_clips import STILL_ACTION, draw_clip
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene, sample_scene

Chunk = tuple[Path, str, int, int, int]  # folder, kind, first and last item, seed

LONGEST = 7.0  # seconds of scene time that training sees: zooms keep their direction for 9 s
CHUNK = 64
HELD_OUT_SHARE = 8
OFFSETS = {
    "stills": 0,
    "clips": 1_000_000,
    "held_out": 2_000_000,
    "pastel": 3_000_000,
    "flat_color": 4_000_000,
    "posed": 5_000_000,
}
STYLES = {"pastel": "pastel", "flat_color": "flat color"}
TWINS = {f"plain_{style}": style for style in STYLES}  # the same scenes, drawn plain
# Closed eyes hide a colour and far faces are small: both are drawn more rarely than the rest.
EXPRESSIONS = {"smile": 0.5, "open mouth": 0.32, "closed eyes": 0.18}
SHOTS = {"upper body": 0.6, "full body": 0.4}
# The motion adapter learns what she does; a run moves the camera itself (finish.camera).
PINNED = {"clips": {"camera": "static"}, "posed": {"camera": "static", "action": STILL_ACTION}}
MOVING = ("clips", "posed")


@dataclass(frozen=True, slots=True)
class Drawn:
    """rgb uint8 [n,256,256,3] (MOVING: [n,16,256,256,3]), joints [n,18,3], depth uint8 [n,256,256]."""

    rgb: NDArray[np.uint8]
    joints: NDArray[np.float32] | None
    depth: NDArray[np.uint8] | None
    scenes: list[Scene]


def scene_and_time(kind: str, index: int, seed: int) -> tuple[Scene, float]:
    """Scene and start time in seconds of the index-th still, clip or held-out picture of a kind."""
    rng = np.random.default_rng((seed, OFFSETS[TWINS.get(kind, kind)] + index))
    while True:
        scene = sample_scene(
            rng,
            style=STYLES.get(kind, "plain"),
            expression=_pick(rng, EXPRESSIONS),
            shot=_pick(rng, SHOTS),
            **PINNED.get(kind, {}),
        )
        if kind == "held_out" or not is_held_out(scene):
            return scene, float(rng.uniform(0.0, LONGEST))


def is_held_out(scene: Scene) -> bool:
    """Whether training never sees this combination of hair, outfit and background: one in eight.

    What is measured on such scenes cannot have been learnt by heart.
    """
    words = (scene.hair_color, scene.hair_style, scene.outfit, scene.background)
    return zlib.crc32("|".join(words).encode()) % HELD_OUT_SHARE == 0


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def render(work: Path, data: Data, seed: int, processes: int) -> None:
    """Draws everything that is not in the work folder yet."""
    folder = work / "data"
    stamp = {**asdict(data), "pinned": PINNED, "seed": seed, "size": PICTURE}
    done = folder / "done.json"
    if done.exists() and json.loads(done.read_text()) == stamp:
        return
    folder.mkdir(parents=True, exist_ok=True)
    jobs: list[Chunk] = []
    for kind, count in asdict(data).items():
        frames = (count, FRAMES) if kind in MOVING else (count,)
        _create(folder / f"{kind}_rgb.npy", np.uint8, (*frames, PICTURE, PICTURE, 3))
        _create(folder / f"{kind}_joints.npy", np.float32, (*frames, 18, 3))
        if kind not in MOVING:
            _create(folder / f"{kind}_depth.npy", np.uint8, (count, PICTURE, PICTURE))
        step = max(1, CHUNK // FRAMES) if kind in MOVING else CHUNK
        jobs += [(folder, kind, i, min(i + step, count), seed) for i in range(0, count, step)]
    for number, _ in enumerate(_drawn(jobs, processes), 1):
        if number % 25 == 0 or number == len(jobs):
            print(f"data: {number}/{len(jobs)} chunks drawn", flush=True)
    done.write_text(json.dumps(stamp))


def load(work: Path, kind: str, seed: int) -> Drawn:
    """The rendered pictures of a kind, memory-mapped."""
    folder = work / "data"

    def array(name: str) -> NDArray[np.uint8] | None:
        path = folder / f"{kind}_{name}.npy"
        return np.load(path, mmap_mode="r") if path.exists() else None

    rgb = array("rgb")
    if rgb is None:
        raise ValueError("no drawn pictures in the work folder; train the member 'data' first")
    joints = array("joints")
    scenes = [scene_and_time(kind, i, seed)[0] for i in range(len(rgb))]
    return Drawn(rgb, joints, array("depth"), scenes)  # type: ignore[arg-type]


def _create(path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _drawn(jobs: list[Chunk], processes: int) -> Iterator[None]:
    if processes == 1:
        _one_thread()
        yield from map(_draw_chunk, jobs)
        return
    # spawned: OpenCV's threads do not outlive a fork, and the child of a process that used them would wait on
    with ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
        yield from pool.map(_draw_chunk, jobs)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)  # the processes already fill the cores


def _draw_chunk(job: Chunk) -> None:
    folder, kind, start, stop, seed = job
    rgb = np.load(folder / f"{kind}_rgb.npy", mmap_mode="r+")
    joints = np.load(folder / f"{kind}_joints.npy", mmap_mode="r+")
    depth = None if kind in MOVING else np.load(folder / f"{kind}_depth.npy", mmap_mode="r+")
    for i in range(start, stop):
        scene, time = scene_and_time(kind, i, seed)
        if depth is not None:
            frame = draw_frame(scene, time, PICTURE)
            rgb[i], joints[i], depth[i] = frame.rgb, frame.joints, np.rint(frame.depth * 255)
        elif kind == "posed":
            rgb[i], joints[i] = draw_clip(scene, time, np.random.default_rng((seed, OFFSETS[kind] + i, 1)))
        else:
            _draw_acted(scene, time, rgb[i], joints[i])


def _draw_acted(scene: Scene, time: float, rgb: NDArray[np.uint8], joints: NDArray[np.float32]) -> None:
    for k in range(FRAMES):
        frame = draw_frame(scene, time + k / FPS, PICTURE)
        rgb[k], joints[k] = frame.rgb, frame.joints
