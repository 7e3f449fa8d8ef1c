"""The tiny autoencoder: the big one's latents, at a fraction of the cost."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pokora_anime.nano import family
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import data
from pokora_anime.nano.train.loop import Dice, Place, train, write_record
from pokora_anime.nano.train.vae import load_latents, picture_loss, psnr, to_tensor

CROP = 16  # latent cells
LATENT_WEIGHT = 0.2


def train_vae_tiny(training: Training, place: Place) -> None:
    """Decoder from the latents to the drawn pictures, encoder to the latents."""
    torch.manual_seed(place.seed)
    tiny = family.make_vae_tiny().to(place.device)
    drawn = data.load(place.work, "stills", place.seed)
    latents = np.asarray(load_latents(place, "stills"))

    def loss_of(dice: Dice) -> Tensor:
        index = dice.numpy.integers(len(latents), size=training.batch)
        corner = dice.numpy.integers(family.LATENT - CROP + 1, size=(len(index), 2))
        rgb = np.stack([_crop(drawn.rgb[i], 8 * y, 8 * x) for i, (y, x) in zip(index, corner, strict=True)])
        cells = [latents[i, :, y : y + CROP, x : x + CROP] for i, (y, x) in zip(index, corner, strict=True)]
        pictures = to_tensor(rgb, place.device)
        wanted = torch.from_numpy(np.stack(cells).astype(np.float32)).to(place.device)
        decoded = picture_loss(tiny.decode(wanted).sample, pictures)
        encoded = functional.l1_loss(tiny.encode(pictures).latents.float(), wanted)
        return decoded + LATENT_WEIGHT * encoded

    progress = train("vae_tiny", training, list(tiny.named_parameters()), loss_of, place)
    score = _psnr(tiny.eval(), drawn, latents, place)
    print(f"vae_tiny: decoder PSNR {score:.2f} dB", flush=True)
    tiny.save_pretrained(place.family / "vae_tiny")
    write_record("vae_tiny", training, progress, place, {"psnr_db": score})


def _crop(rgb: np.ndarray, y: int, x: int) -> np.ndarray:
    return rgb[y : y + 8 * CROP, x : x + 8 * CROP]


@torch.no_grad()
def _psnr(tiny: torch.nn.Module, drawn: data.Drawn, latents: np.ndarray, place: Place) -> float:
    """Over the last 32 stills, which training has seen rarely."""
    wanted = to_tensor(np.asarray(drawn.rgb[-32:]), place.device)
    cells = torch.from_numpy(latents[-32:].astype(np.float32)).to(place.device)
    return float(
        np.mean([psnr(tiny.decode(c[None]).sample, w[None]) for c, w in zip(cells, wanted, strict=True)])
    )
