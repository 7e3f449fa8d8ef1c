"""The autoencoder, and the cache of its latents."""

from __future__ import annotations

import json

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.nano import family, sizes
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import drawn_data, training_workers
from pokora_anime.nano.train.training_loop import Dice, Place, Preview, begin, train, write_record

CROP = 128
EDGE_WEIGHT, TINT_WEIGHT = 0.5, 2.0
KL_WEIGHT = 3e-5
ENCODE_BATCH = 16
KINDS = ("stills", "clips", *drawn_data.STYLES, *drawn_data.TWINS, "posed")


def to_tensor(rgb: NDArray[np.uint8], device: str) -> Tensor:
    """Pictures uint8 [B,H,W,3] to [B,3,H,W] in -1..1."""
    return torch.from_numpy(np.array(rgb)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_rgb(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures [B,3,H,W] in -1..1 to uint8 [B,H,W,3]."""
    scaled = (pictures.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().permute(0, 2, 3, 1).cpu().numpy()


def picture_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """L1 of colours, of their differences between neighbours and of their means in 8x8 cells.

    The differences keep outlines crisp; without the means the tints of large areas come very late.
    """
    difference = (found - wanted).float()
    tint = functional.avg_pool2d(difference, 8).abs().mean()
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return difference.abs().mean() + EDGE_WEIGHT * (across + down) / 2 + TINT_WEIGHT * tint


def train_vae(training: Training, place: Place) -> None:
    """Trains the autoencoder and writes it with unit-variance latents."""
    torch.manual_seed(place.seed)
    drawn = drawn_data.load(place.work, "stills", place.seed)
    vae = family.make_vae().to(place.device)
    before = begin(vae, place, "vae")

    def loss_of(dice: Dice) -> Tensor:
        pictures = to_tensor(_crops(drawn, dice.numpy, training.batch), place.device)
        posterior = vae.encode(pictures).latent_dist
        noise = dice.normal(*posterior.mean.shape).to(place.device)
        latents = posterior.mean + posterior.std * noise
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return picture_loss(vae.decode(latents).sample, pictures) + KL_WEIGHT * kl

    def preview(step: int) -> None:
        rgb = np.asarray(drawn_data.load(place.work, "held_out", place.seed).rgb[:6])
        with torch.no_grad(), place.autocast():
            found = vae.decode(vae.encode(to_tensor(rgb, place.device)).latent_dist.mean).sample
        rows = [np.concatenate(list(r), 1) for r in (rgb, to_rgb(found))]
        path = place.work / "previews" / f"vae-{step:05d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
        print(f"vae: step {step} PSNR {psnr(found, to_tensor(rgb, place.device)):.2f} dB", flush=True)

    shown = Preview(show=preview, every=400)
    progress = train("vae", training, list(vae.named_parameters()), loss_of, place, shown, before)
    vae.requires_grad_(False)
    standardise(vae, _latents(vae, drawn.rgb[:256], place))
    score = held_out_psnr(vae, place)
    print(f"vae: held-out PSNR {score:.2f} dB", flush=True)
    vae.save_pretrained(place.family / "vae")
    write_record("vae", training, progress, place, {"psnr_db": score})


def _crops(drawn: drawn_data.Drawn, rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Random crops [count,128,128,3]; half of them contain the face, where detail matters most."""
    crops: list[NDArray[np.uint8]] = []
    limit = sizes.PICTURE - CROP
    for index in rng.integers(len(drawn.rgb), size=count):
        x, y = (int(v) for v in rng.integers(limit + 1, size=2))
        if rng.random() < 0.5 and drawn.joints is not None:
            nose = drawn.joints[index, 0, :2] - rng.uniform(0.25, 0.75, size=2) * CROP
            x, y = (int(v) for v in np.clip(nose, 0, limit))
        crops.append(drawn.rgb[index, y : y + CROP, x : x + CROP])
    return np.stack(crops)


@torch.no_grad()
def standardise(vae: AutoencoderKL, latents: NDArray[np.float16]) -> None:
    """Folds mean and deviation of the latents [n,4,32,32] into the 1x1 convolutions beside them."""
    sample = torch.from_numpy(latents.astype(np.float32)).to(vae.device)
    mean, deviation = sample.mean((0, 2, 3)), sample.std((0, 2, 3))
    quant, post = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    # The first half of quant_conv gives the means, the second the log variances.
    quant.weight[:channels] /= deviation[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2 * deviation.log()
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight *= deviation[None, :, None, None]


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKL, place: Place) -> float:
    """Mean PSNR in dB over the held-out pictures, from the mean latents, in float32."""
    rgb = drawn_data.load(place.work, "held_out", place.seed).rgb
    scores: list[float] = []
    for start in range(0, len(rgb), 8):
        wanted = to_tensor(rgb[start : start + 8], place.device)
        found = vae.decode(vae.encode(wanted).latent_dist.mean).sample.clamp(-1, 1)
        errors = (found - wanted).square().mean((1, 2, 3)) / 4
        scores += (-10 * errors.log10()).tolist()
    return float(np.mean(scores))


def psnr(found: Tensor, wanted: Tensor) -> float:
    """dB, pictures in -1..1."""
    return float(-10 * (functional.mse_loss(found.float().clamp(-1, 1), wanted) / 4).log10())


def load_vae(place: Place) -> AutoencoderKL:
    """The trained autoencoder, frozen."""
    vae = AutoencoderKL.from_pretrained(place.family / "vae")
    return vae.to(place.device).eval().requires_grad_(False)


@torch.no_grad()
def _latents(vae: AutoencoderKL, rgb: NDArray[np.uint8], place: Place) -> NDArray[np.float16]:
    """Mean latents [n,4,32,32] of pictures [n,256,256,3]."""
    parts: list[NDArray[np.float16]] = []
    for start in range(0, len(rgb), ENCODE_BATCH):
        with place.autocast():
            mean = vae.encode(to_tensor(rgb[start : start + ENCODE_BATCH], place.device)).latent_dist.mean
        parts.append(mean.float().cpu().numpy().astype(np.float16))
    return np.concatenate(parts)


def encode_latents(place: Place) -> None:
    """Writes the latents of all stills and clips once."""
    # Encoding is a third quicker in this layout on CPU; training is not.
    vae = load_vae(place).to(memory_format=torch.channels_last)
    for kind in KINDS:
        encode_kind(kind, vae, place)


def encode_kind(kind: str, vae: AutoencoderKL, place: Place) -> None:
    """Writes the latents of the stills or of the clips unless they are there."""
    path, done = (place.work / "latents" / f"{kind}{end}" for end in (".npy", ".json"))
    if done.exists():
        return
    path.parent.mkdir(exist_ok=True)
    rgb = drawn_data.load(place.work, kind, place.seed).rgb
    cells = (*rgb.shape[:-3], 4, sizes.LATENT, sizes.LATENT)
    if training_workers.rank() == 0:
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=cells)
    training_workers.wait()
    out = np.lib.format.open_memmap(path, mode="r+")
    block = 16 if kind in drawn_data.MOVING else 256
    for start in range(training_workers.rank() * block, len(rgb), training_workers.count() * block):
        part = rgb[start : start + block]
        flat = part.reshape(-1, *part.shape[-3:])
        out[start : start + block] = _latents(vae, flat, place).reshape(-1, *cells[1:])
        print(f"latents: {kind} {min(start + block, len(rgb))}/{len(rgb)}", flush=True)
    out.flush()
    training_workers.wait()
    done.write_text(json.dumps({"shape": list(cells)}))


def load_latents(place: Place, kind: str) -> NDArray[np.float16]:
    """Latents of a kind, memory-mapped: [n,4,32,32], clips [n,16,4,32,32]."""
    path = place.work / "latents" / f"{kind}.npy"
    if not path.exists():
        raise ValueError("no latents in the work folder; train the member 'latents' first")
    return np.load(path, mmap_mode="r")
