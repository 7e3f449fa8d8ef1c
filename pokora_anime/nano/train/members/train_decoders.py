"""Decoders for latents that are settled: the big one's second training, and the tiny autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.nano import family, sizes
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import drawn_data
from pokora_anime.nano.train.members.train_vae import (
    held_out_psnr,
    load_latents,
    load_vae,
    picture_loss,
    psnr,
    to_tensor,
)
from pokora_anime.nano.train.training_loop import Dice, Place, begin, train, went_before, write_record

CROP = 16  # latent cells
RECORD = "training_decoder.json"  # beside the autoencoder's own
LATENT_WEIGHT = 0.2
DECODER_NOISE = 0.1
# Shares of the batches: a decoder that has seen plain drawings alone turns pastel black into green, and no
# style LoRA can mend that; the latents keep the colours.
SHARES = {"stills": 0.6, "pastel": 0.25, "flat_color": 0.15}
# Of a style's pictures, the share that lies between it and plain, as a LoRA of less weight draws them.
BLENDED = 0.6

Corner = tuple[int, NDArray[np.int64]]  # a drawing, and the row and column of a crop's first latent cell


@dataclass(frozen=True, slots=True)
class Source:
    """Drawings of a kind and their latents [n,4,32,32]; of a style also the same scenes, plain."""

    drawn: drawn_data.Drawn
    latents: NDArray[np.float16]
    plain: Source | None = None


def train_vae_tiny(training: Training, place: Place) -> None:
    """Decoder from the latents to the drawn pictures, encoder to the latents."""
    torch.manual_seed(place.seed)
    tiny = family.make_vae_tiny().to(place.device)
    before = begin(tiny, place, "vae_tiny")
    sources = _sources(place)

    def loss_of(dice: Dice) -> Tensor:
        wanted, pictures = _pairs(_one_of(sources, dice), dice, training.batch, place)
        decoded = picture_loss(tiny.decode(wanted).sample, pictures)
        encoded = functional.l1_loss(tiny.encode(pictures).latents.float(), wanted)
        return decoded + LATENT_WEIGHT * encoded

    progress = train("vae_tiny", training, list(tiny.named_parameters()), loss_of, place, before=before)
    score = _psnr(tiny.eval(), sources["stills"].drawn, sources["stills"].latents, place)
    print(f"vae_tiny: decoder PSNR {score:.2f} dB", flush=True)
    tiny.save_pretrained(place.family / "vae_tiny")
    write_record("vae_tiny", training, progress, place, {"psnr_db": score})


def train_decoder(training: Training, place: Place) -> None:
    """Trains the autoencoder's decoder on, with a little noise on the latents.

    The encoder stays, so everything that was trained on its latents stays valid; the noise teaches
    the decoder to forgive a generator's small mistakes.
    """
    torch.manual_seed(place.seed)
    vae = load_vae(place)
    sources = _sources(place)
    named = [(n, p) for n, p in vae.named_parameters() if n.startswith(("decoder.", "post_quant_conv."))]
    for _, parameter in named:
        parameter.requires_grad_(True)

    def loss_of(dice: Dice) -> Tensor:
        cells, pictures = _pairs(_one_of(sources, dice), dice, training.batch, place)
        noise = dice.normal(*cells.shape).to(place.device)
        strength = DECODER_NOISE * torch.rand(len(cells), 1, 1, 1, generator=dice.torch)
        return picture_loss(vae.decode(cells + strength.to(place.device) * noise).sample, pictures)

    before = went_before(place.family / "vae" / RECORD, "decoder")
    progress = train("decoder", training, named, loss_of, place, before=before)
    score = held_out_psnr(vae, place)
    print(f"decoder: held-out PSNR {score:.2f} dB", flush=True)
    vae.save_pretrained(place.family / "vae")
    write_record("decoder", training, progress, place, {"psnr_db": score}, "vae", RECORD)


def _sources(place: Place) -> dict[str, Source]:
    """Drawings and latents of every kind that a decoder is shown."""
    twins = {style: _source(twin, place) for twin, style in drawn_data.TWINS.items()}
    return {kind: _source(kind, place, twins.get(kind)) for kind in SHARES}


def _source(kind: str, place: Place, plain: Source | None = None) -> Source:
    drawn = drawn_data.load(place.work, kind, place.seed)
    return Source(drawn, np.asarray(load_latents(place, kind)), plain)


def _one_of(sources: dict[str, Source], dice: Dice) -> Source:
    """The kind that a batch is of."""
    return sources[str(dice.numpy.choice(list(SHARES), p=list(SHARES.values())))]


def _pairs(source: Source, dice: Dice, count: int, place: Place) -> tuple[Tensor, Tensor]:
    """Crops of cached latents [B,4,16,16] and their pictures [B,3,128,128]; half contain the face.

    Of a style many are blends of a scene's latents in it and without it, with the same blend of the
    pictures: what lies between black and grey would else be green.
    """
    drawn, latents = source.drawn, source.latents
    index = dice.numpy.integers(len(latents), size=count)
    limit = sizes.LATENT - CROP
    corner = dice.numpy.integers(limit + 1, size=(count, 2))
    for k in np.flatnonzero(dice.numpy.random(count) < 0.5):
        assert drawn.joints is not None
        nose = drawn.joints[index[k], 0, 1::-1] / 8 - dice.numpy.uniform(0.25, 0.75, size=2) * CROP
        corner[k] = np.clip(nose, 0, limit).astype(int)
    places = list(zip(index, corner, strict=True))
    cells, pictures = _cropped(source, places, place)
    if source.plain is not None:
        plain_cells, plain_pictures = _cropped(source.plain, places, place)
        shares = dice.numpy.random(count) * (dice.numpy.random(count) < BLENDED)
        plain = torch.from_numpy(shares.astype(np.float32)).to(place.device)[:, None, None, None]
        cells, pictures = cells.lerp(plain_cells, plain), pictures.lerp(plain_pictures, plain)
    return cells, pictures


def _cropped(source: Source, places: Sequence[Corner], place: Place) -> tuple[Tensor, Tensor]:
    size = 8 * CROP
    rgb = [source.drawn.rgb[i][8 * y : 8 * y + size, 8 * x : 8 * x + size] for i, (y, x) in places]
    cells = np.stack([source.latents[i, :, y : y + CROP, x : x + CROP] for i, (y, x) in places])
    return (
        torch.from_numpy(cells.astype(np.float32)).to(place.device),
        to_tensor(np.stack(rgb), place.device),
    )


@torch.no_grad()
def _psnr(tiny: torch.nn.Module, drawn: drawn_data.Drawn, latents: np.ndarray, place: Place) -> float:
    """Over the last 32 stills, which training has seen rarely."""
    wanted = to_tensor(np.asarray(drawn.rgb[-32:]), place.device)
    cells = torch.from_numpy(latents[-32:].astype(np.float32)).to(place.device)
    return float(
        np.mean([psnr(tiny.decode(c[None]).sample, w[None]) for c, w in zip(cells, wanted, strict=True)])
    )
