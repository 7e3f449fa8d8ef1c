"""The base that a LoRA is trained for: its UNet, its text, its autoencoder and its noise schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.needed_weights import check_available, locate
from pokora_anime.config.compose import compose
from pokora_anime.devices.machine import Machine, settle
from pokora_anime.networks.loader import Models
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system.typed_tensors import from_array, pretrained
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.text_layers import TextLayers

CHUNK = 75  # tokens of a caption that are read


@dataclass(frozen=True, slots=True)
class Told:
    """What a UNet is told: text [B, 77, channels]; SDXL also pooled text [B, channels] and sizes [B, 6]."""

    text: Tensor
    pooled: Tensor | None
    sizes: Tensor | None

    def of_clips(self, frames: int) -> Told:
        """For a motion UNet: the text of each frame, pooled text and sizes of each clip."""
        return Told(self.text.repeat_interleave(frames, 0), self.pooled, self.sizes)

    def arguments(self) -> dict[str, object]:
        """Keyword arguments of a UNet."""
        added = None if self.pooled is None else {"text_embeds": self.pooled, "time_ids": self.sizes}
        return {"encoder_hidden_states": self.text, "added_cond_kwargs": added, "return_dict": False}


class _Scheduled(Protocol):
    prediction_type: str


class _Trained(Protocol):
    """What a training needs of a scheduler of diffusers."""

    alphas_cumprod: Tensor
    config: _Scheduled


class TrainingBase:
    """A base on this machine's device. Raises WeightsError WGT-MISSING for what is not here.

    `words` are more keys of `pokora video`; `folders` override, by row id, where weights are looked for;
    `moving`: with its motion adapter.
    """

    def __init__(
        self,
        family: str,
        words: Sequence[str] = (),
        folders: Mapping[str, Path] | None = None,
        *,
        moving: bool = False,
    ) -> None:
        told = [f"base={family}", "style=none", "speed=hq", *words]
        self.config: RunConfig = compose("stills", told)
        if moving:
            check_available(compose("video", [*told, "control=none"]), folders)
        check_available(self.config, folders)
        self.machine: Machine = settle(self.config.device)
        self.folders = dict(folders or {})
        self.models = self.networks(self.config)
        self.text_layers: TextLayers | None = None
        self._speaker: Models | None = None
        self._texts: dict[str, tuple[Tensor, Tensor | None]] = {}
        scheduler = cast(_Trained, self.models.scheduler())
        self.alphas: Tensor = scheduler.alphas_cumprod.to(self.device, torch.float32)
        self.prediction = str(scheduler.config.prediction_type)

    def networks(self, config: RunConfig) -> Models:
        """The networks of a composition of this base."""
        machine = self.machine
        return Models(config.base, config.speed, (), machine.device, machine.dtype, folders=self.folders)

    @property
    def device(self) -> torch.device:
        return self.machine.device

    @property
    def side(self) -> int:
        """Pixels a side of a square picture."""
        return round((self.config.base.width * self.config.base.height) ** 0.5)

    def autocast(self) -> AbstractContextManager[object]:
        """What the networks compute in."""
        if self.machine.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.machine.dtype)

    def told(self, captions: Sequence[str], size: tuple[int, int]) -> Told:
        """Captions and the pictures' width and height in pixels, as the base is told them."""
        text, pooled = self._read(captions)
        text = text.to(self.device, self.models.dtype)
        if pooled is None:
            return Told(text, None, None)
        width, height = size
        ids = torch.tensor([[height, width, 0, 0, height, width]] * len(captions), dtype=torch.float32)
        told = pooled.to(self.device, self.models.dtype)
        return Told(text, told, ids.to(self.device, self.models.dtype))

    def _read(self, captions: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Text and pooled text; anew each time while the encoders are trained."""
        if self.text_layers is not None:
            with self.autocast():
                return self.text_layers.read(captions)
        texts = [self._text(caption) for caption in captions]
        pooled = [one for _, one in texts if one is not None]
        return torch.stack([hidden for hidden, _ in texts]), torch.stack(pooled) if pooled else None

    def _text(self, caption: str) -> tuple[Tensor, Tensor | None]:
        if caption not in self._texts:
            stack = (self._speaker or self.models).text_stack()
            chunks = [[stack.tokens(caption, which)[:CHUNK]] for which in range(len(stack.tokenizers))]
            hidden, pooled = stack.encode(chunks)
            if stack.zero_empty and not caption:
                hidden = torch.zeros_like(hidden)
                pooled = None if pooled is None else torch.zeros_like(pooled)
            # They were made in inference mode, which autograd takes nothing from.
            self._texts[caption] = hidden[0].clone(), None if pooled is None else pooled.clone()
        return self._texts[caption]

    def forget_text(self) -> None:
        """The text encoders are not needed any more: every caption has been read, or training is over."""
        self.text_layers = None
        self.models.free_text()

    def learn_text(self, settings: LoraSettings) -> TextLayers:
        """From now on captions are read by encoders that are trained, until `forget_text`."""
        self.text_layers = TextLayers(self.models.text_stack(), settings)
        return self.text_layers

    def speak(self, models: Models | None) -> None:
        """From now on these networks read captions, as a LoRA changes their encoders; None: the base's."""
        self._speaker = models
        self._texts.clear()

    def tokens(self, caption: str) -> int:
        """How many tokens a caption has; 75 are read."""
        return len(self.models.text_stack().tokens(caption))

    @torch.no_grad()
    def encoded(self, pictures: Sequence[Image]) -> list[Tensor]:
        """Latents [channels, height, width] of pictures, as the UNet knows them.

        A run's own autoencoder refuses to encode, so this one is loaded beside it, and dropped.
        """
        base = self.config.base
        row = registry.get(base.vae or base.weights, base.family)
        folder = self.folders.get(row.id) or locate(row)
        assert folder is not None
        part = folder if base.vae else folder / "vae"
        vae: Any = pretrained(
            AutoencoderKL, part, variant=row.variant, use_safetensors=True, local_files_only=True
        )
        vae = vae.to(self.device, torch.float32).eval()
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        found: list[Tensor] = []
        for picture in pictures:
            given = from_array(np.array(picture)).to(self.device).permute(2, 0, 1)[None]
            mean = vae.encode(given.float() / 127.5 - 1).latent_dist.mean
            found.append(((mean - shift) * vae.config.scaling_factor)[0].float().cpu())
        return found
