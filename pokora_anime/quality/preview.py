"""A small growing picture of a clip while it is rendered, outside what the run's record seals."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Self

import numpy as np

from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.clip_scorer import reduced
from pokora_anime.quality.metrics.scorer_backends import fetched
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.atomic_files import write_atomic
from pokora_anime.system.files.installed_package import NANO_WEIGHTS
from pokora_anime.system.terminal.progress import is_watched

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pokora_anime.system.typed_tensors import Vae

PREVIEW = "preview.webp"
SHARE = 0.03  # of the render's time that it may take
WATCHED_SHARE = 0.12  # where somebody looks on
MOST_FRAMES = 96  # the latest ones are shown: memory must not grow with the clip
SIDE = 192  # pixels of the shorter side
NANO = NANO_WEIGHTS / "vae_tiny"


class Preview:
    """Shows what is denoised so far as an animated picture, decoded by the base's tiny VAE.

    Writes as often as it can without taking more than `share` of the time. What it shows never comes back
    into the clip.
    """

    def __init__(self, path: Path, vae: Vae, fps: int, share: float = SHARE) -> None:
        self._path, self._vae, self._fps, self._share = path, vae, fps, share
        self._waiting: dict[int, Tensor] = {}
        self._frames: dict[int, Image] = {}
        self._next = 0.0

    @classmethod
    def of(cls, family: Family, path: Path, fps: int, device: torch.device) -> Self | None:
        """With the base's tiny VAE; None where it is not here."""
        found = fetched("preview_vae", family)
        folder = NANO if family is Family.nano else found[0] if found is not None else None
        if folder is None or not (folder / "config.json").is_file():
            return None
        from pokora_anime.quality import tiny_vae

        share = WATCHED_SHARE if is_watched() else SHARE
        return cls(path, tiny_vae.load(folder, device), fps, share)

    def show(self, start: int, latents: Tensor) -> None:
        """Latents [channels, frames, height, width] as they stand, frame 0 being the clip's frame `start`."""
        self._waiting[start] = latents
        begun = monotonic()
        if begun < self._next:
            return
        for first, waiting in self._waiting.items():
            left_out = max(0, waiting.shape[1] - MOST_FRAMES)
            for index, picture in enumerate(self._decoded(waiting[:, left_out:]), first + left_out):
                self._frames[index] = picture
        self._waiting.clear()
        self._frames = {index: self._frames[index] for index in sorted(self._frames)[-MOST_FRAMES:]}
        with suppress(OSError):  # a preview that cannot be written is no reason to stop
            self._path.parent.mkdir(exist_ok=True)
            write_atomic(self._path, animated([*self._frames.values()], self._fps))
        now = monotonic()
        self._next = now + (now - begun) / self._share

    def remove(self) -> None:
        """Take it away: the clip is there."""
        self._path.unlink(missing_ok=True)

    def _decoded(self, latents: Tensor) -> Iterator[Image]:
        from pokora_anime.quality import tiny_vae

        for picture in tiny_vae.pictures(self._vae, latents):
            yield np.array(reduced(picture, SIDE))


def animated(frames: Sequence[Image], fps: int) -> bytes:
    """Frames [h,w,3] as an animated WebP that starts over at its end."""
    from PIL import Image as Pictures

    first, *others = [Pictures.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        loop=0,
        quality=70,
        method=0,
    )
    return buffer.getvalue()
