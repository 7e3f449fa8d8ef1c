"""What the attribute probe learns from: drawn pictures, decoded ones and whole clips, all jittered."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.nano.probe import INPUT, STILL, labels_of
from pokora_anime.nano.sizes import FPS, FRAMES, PICTURE
from pokora_anime.nano.train import drawn_data
from pokora_anime.nano.train.members.train_extractors import MIRROR
from pokora_anime.nano.train.members.train_vae import load_vae, to_rgb, to_tensor
from pokora_anime.nano.train.training_loop import Dice, Place
from pokora_anime.nano.world.scene import Scene

SHARES = {"stills": 0.55, "pastel": 0.15, "flat_color": 0.15, "clips": 0.15}
DECODED, DECODED_CLIPS = 800, 50  # pictures and whole clips that go through the autoencoder
THROUGH_VAE = 0.35  # share of a batch
LATENT_NOISE = 0.35


@dataclass(frozen=True, slots=True)
class Kind:
    """Pictures uint8 [n,256,256,3] with labels [n,9] and joints [n,18,3], positions as shares."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int64]
    joints: NDArray[np.float32]

    @classmethod
    def load(cls, kind: str, place: Place) -> Kind:
        drawn = drawn_data.load(place.work, kind, place.seed)
        frames = FRAMES if kind == "clips" else 1
        scenes, times = zip(*moments(kind, range(len(drawn.rgb)), frames, place.seed), strict=True)
        found = labels_of(scenes, times)
        joints = np.array(drawn.joints, np.float32).reshape(-1, 18, 3)
        joints[..., :2] /= PICTURE
        rgb = drawn.rgb.reshape(-1, *drawn.rgb.shape[-3:])
        return cls(rgb, np.stack([found[name] for name in STILL], 1), joints)


def moments(kind: str, indices: range, frames: int, seed: int) -> list[tuple[Scene, float]]:
    """Scene and time of every frame."""
    starts = [drawn_data.scene_and_time(kind, i, seed) for i in indices]
    return [(scene, time + k / FPS) for scene, time in starts for k in range(frames)]


class Pictures:
    """Batches of pictures with labels, some of them decoded from noisy latents, all jittered."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.kinds = {kind: Kind.load(kind, place) for kind in SHARES}
        self.decoded, self.origin = self._decode()

    def __call__(self, dice: Dice, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures [B,3,128,128] in 0..1, labels [B,9] and joints [B,18,3]."""
        rng, names = dice.numpy, list(SHARES)
        pictures: list[NDArray[np.uint8]] = []
        sources: list[tuple[str, int]] = []
        for _ in range(count):
            if rng.random() < THROUGH_VAE:
                k = int(rng.integers(len(self.decoded)))
                pictures.append(self.decoded[k])
                sources.append((names[self.origin[k, 0]], int(self.origin[k, 1])))
                continue
            name = str(rng.choice(names, p=list(SHARES.values())))
            index = int(rng.integers(len(self.kinds[name].rgb)))
            pictures.append(shrunk(self.kinds[name].rgb[index]))
            sources.append((name, index))
        labels = np.stack([self.kinds[name].labels[i] for name, i in sources])
        joints = np.stack([self.kinds[name].joints[i] for name, i in sources])
        tensor = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        given, joints = moved(tensor, joints, rng)
        device = self.place.device
        return (
            _jittered(given, dice).to(device),
            torch.from_numpy(labels).to(device),
            torch.from_numpy(joints).to(device),
        )

    def clips(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Decoded clips [n,16,128,128,3] and the indices of their scenes."""
        frames = np.flatnonzero(self.origin[:, 0] == list(SHARES).index("clips"))
        index = self.origin[frames, 1].reshape(-1, FRAMES)[:, 0] // FRAMES
        return self.decoded[frames].reshape(-1, FRAMES, INPUT, INPUT, 3), index

    def _decode(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pictures [n,128,128,3] that went through the autoencoder, and (kind, index) of each."""
        path = self.place.work / "probe" / "decoded.npz"
        if path.exists():
            stored = np.load(path)
            return stored["rgb"], stored["origin"]
        rng = np.random.default_rng((self.place.seed, 7))
        vae = load_vae(self.place).to(memory_format=torch.channels_last)
        parts: list[NDArray[np.uint8]] = []
        origin: list[tuple[int, int]] = []
        for number, (kind, drawn) in enumerate(self.kinds.items()):
            chosen = self._chosen(kind, rng)
            origin += [(number, int(i)) for i in chosen]
            for start in range(0, len(chosen), FRAMES):
                some = np.stack([drawn.rgb[i] for i in chosen[start : start + FRAMES]])
                strength = max(0.0, float(rng.uniform(-LATENT_NOISE / 3, LATENT_NOISE)))
                decoded = through_vae(some, vae, self.place, strength, rng)
                parts.append(np.stack([shrunk(rgb) for rgb in decoded]))
            print(f"probe: {len(origin)} pictures decoded", flush=True)
        rgb, table = np.concatenate(parts), np.array(origin)
        path.parent.mkdir(exist_ok=True)
        np.savez(path.with_suffix(".part.npz"), rgb=rgb, origin=table)
        path.with_suffix(".part.npz").replace(path)
        return rgb, table

    def _chosen(self, kind: str, rng: np.random.Generator) -> NDArray[np.int64]:
        """Indices of stills, or of all frames of some clips."""
        total = len(self.kinds[kind].rgb)
        if kind != "clips":
            share = SHARES[kind] / (1 - SHARES["clips"])
            return rng.integers(total, size=min(total, round(DECODED * share)))
        clips = rng.permutation(total // FRAMES)[:DECODED_CLIPS]
        return (clips[:, None] * FRAMES + np.arange(FRAMES)).reshape(-1)


@torch.no_grad()
def through_vae(
    rgb: NDArray[np.uint8],
    vae: AutoencoderKL,
    place: Place,
    strength: float = 0.0,
    rng: np.random.Generator | None = None,
) -> NDArray[np.uint8]:
    """Pictures uint8 [n,H,W,3] encoded and decoded, with noise of that strength on their latents."""
    parts: list[NDArray[np.uint8]] = []
    for start in range(0, len(rgb), FRAMES):
        with place.autocast():
            mean = vae.encode(to_tensor(rgb[start : start + FRAMES], place.device)).latent_dist.mean
            if rng is not None:
                noise = rng.standard_normal(mean.shape, np.float32)
                mean = mean + strength * torch.from_numpy(noise).to(mean.device)
            parts.append(to_rgb(vae.decode(mean).sample))
    return np.concatenate(parts)


def shrunk(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture at the probe's input size."""
    return np.asarray(cv2.resize(np.asarray(rgb), (INPUT, INPUT), interpolation=cv2.INTER_AREA), np.uint8)


def moved(
    pictures: Tensor, joints: NDArray[np.float32], rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.float32]]:
    """Random mirror, zoom and shift of pictures and joints together; no attribute changes by it."""
    count = len(pictures)
    turn = np.where(rng.random(count) < 0.5, -1.0, 1.0).astype(np.float32)
    zoom = rng.uniform(0.9, 1.1, size=count).astype(np.float32)
    shift = rng.uniform(-0.05, 0.05, size=(count, 2)).astype(np.float32)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = turn / zoom, 1 / zoom
    theta[:, 0, 2], theta[:, 1, 2] = -2 * turn * shift[:, 0] / zoom, -2 * shift[:, 1] / zoom
    grid = functional.affine_grid(torch.from_numpy(theta), list(pictures.shape), align_corners=False)
    shifted = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    joints = np.where((turn < 0)[:, None, None], joints[:, MIRROR], joints)
    center = (joints[..., :2] - 0.5) * zoom[:, None, None]
    center[..., 0] *= turn[:, None]
    joints[..., :2] = center + shift[:, None] + 0.5
    joints[..., 2] *= ((joints[..., :2] >= 0) & (joints[..., :2] < 1)).all(-1)
    return shifted, joints


def _jittered(pictures: Tensor, dice: Dice) -> Tensor:
    """A tint, blur in a third of them, and noise."""
    rng, count = dice.numpy, len(pictures)

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, size=(count, channels, 1, 1)).astype(np.float32))

    pictures = pictures * draw(0.92, 1.08, 3) + draw(-0.035, 0.035, 3)
    blurred = torch.from_numpy(np.flatnonzero(rng.random(count) < 0.33))
    size = int(rng.integers(56, 112))
    small = functional.interpolate(pictures[blurred], size=size, mode="area")
    pictures[blurred] = functional.interpolate(small, size=INPUT, mode="bilinear")
    return (pictures + draw(0.0, 0.05) * dice.normal(*pictures.shape)).clamp(0, 1)
