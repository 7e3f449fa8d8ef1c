"""One training of a LoRA from its settings to its file: resumed where a kill left it, looked at meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pokora_anime.devices.forecast import estimate
from pokora_anime.errors import MachineError, TrainingError
from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.untrusted.png_pictures import Image, encode_jpeg
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.training import (
    latent_cache,
    lora_adapter,
    lora_state,
    training_forecast,
    training_page,
)
from pokora_anime.workshop.training.latent_cache import Example
from pokora_anime.workshop.training.lora_loop import SAVE_SECONDS, LoraLoop
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.sample_pictures import denoised, stills
from pokora_anime.workshop.training.training_base import TrainingBase

SAMPLES = 4
SAMPLE_STEPS = 12  # of denoising: enough to see what is learnt
REPORT_SECONDS = 15.0


class LoraTraining:
    """A training in a folder: `run` makes the rest of its steps and writes the file."""

    Loop = LoraLoop

    def __init__(self, settings: LoraSettings, data: Stored, base: TrainingBase, work: Path) -> None:
        self.settings, self.base, self.work = settings, base, work
        examples = self.examples(data)
        self.held = _spread(examples, settings.held_out)
        self.seen = [one for one in examples if one not in self.held]
        self.prompts = [one.caption or "1girl" for one in _spread(examples, self.looked_at()[0])]
        self.prior = self._own_pictures(examples)
        for caption in ("", self._negative(), *(one.caption for one in (*examples, *self.prior))):
            base.told([caption], (base.side, base.side))
        base.forget_text()
        self.loop = self.Loop(settings, base, work)
        self.unet = self.loop.unet

    @property
    def file(self) -> Path:
        """What comes of it."""
        return self.work / f"{self.settings.id}.safetensors"

    def examples(self, data: Stored) -> list[Example]:
        """What is learnt from, by name; encoded, or read where it has been."""
        return latent_cache.examples(data, self.settings, self.base, self.work)

    def looked_at(self) -> tuple[int, int]:
        """How many samples are made at each look, in how many steps."""
        return SAMPLES, SAMPLE_STEPS

    def run(self, tell: Callable[[str], None]) -> Path:
        """Trains to the end; the LoRA's path. Raises TrainingError TRN-NAN, MachineError SYS-*."""
        standing, there = self.loop.standing, estimate.here(self.base.config.device).hardware
        way = training_forecast.chosen(self.settings, self.base.config.base, there)
        tell(f"forecast: {way.line(self.settings, there)}")
        if not way.fits(there):
            tell("that leaves little room or none: it may run out of memory")
        self.loop.begin(way)
        if standing.step:
            tell(f"goes on at step {standing.step} of {self.settings.steps}")
        try:
            self._steps(tell)
        except TrainingError as error:
            self._keep_last_good(error, tell)
            raise
        self.loop.settle()
        if standing.kept:
            tell(training_page.ended_early(standing))
        self._write()
        training_page.write(self.work, self.settings, standing)
        return self.file

    def _write(self) -> None:
        text = self.loop.text.kohya() if self.loop.text is not None else None
        lora_adapter.save_lora(self.unet, self.settings, self.file, text)

    def _steps(self, tell: Callable[[str], None]) -> None:
        standing = self.loop.standing
        if not standing.held_out and not standing.step:
            self.loop.look(self.held, self._show)
        saved = reported = time.monotonic()
        while not self.loop.ended:
            self.loop.advance(self.seen, self.prior)
            now, step = time.monotonic(), standing.step
            if step % self.settings.every == 0 or step == self.settings.steps:
                self.loop.look(self.held, self._show)
                saved = time.monotonic()
            elif now - saved > SAVE_SECONDS:
                self.loop.save()
                training_page.write(self.work, self.settings, standing)
                saved = time.monotonic()
            if now - reported > REPORT_SECONDS or step == self.settings.steps:
                tell(self._line())
                reported = now

    def _keep_last_good(self, error: TrainingError, tell: Callable[[str], None]) -> None:
        """The LoRA as it was when the training was last saved, and a page that says why it ended."""
        if not self.loop.path.exists():
            return
        kept = lora_state.resume(self.loop.path, self.settings.key, self.loop.trained, self.loop.optimiser)
        self._write()
        tell(f"kept: {self.file}, as it was at step {kept.step}")
        training_page.write(self.work, self.settings, replace(kept, stopped=error.line()))

    def _line(self) -> str:
        standing, total = self.loop.standing, self.settings.steps
        speed = standing.step / max(standing.seconds, 1e-9)
        recent = standing.losses[-50:]
        held = f"  held out {standing.held_out[-1][1]:.4f}" if standing.held_out else ""
        return (
            f"step {standing.step}/{total}  loss {sum(recent) / max(1, len(recent)):.4f}{held}"
            f"  {speed:.2f} steps/s  {(total - standing.step) / max(speed, 1e-9):.0f} s left"
        )

    def _show(self, step: int) -> None:
        """Samples of this step, and the page."""
        sheet = encode_jpeg(self.sample(), 88)
        folder = self.work / training_page.SAMPLES
        with writing(folder, len(sheet)):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / f"step-{step:05d}.jpg", sheet)
        training_page.write(self.work, self.settings, self.loop.standing)

    def sample(self) -> Image:
        """A picture of each prompt."""
        prompts = self.prompts
        pictures = stills(self.base, self.base.models, self.sampled(), prompts, range(len(prompts)))
        return contact_sheet(list(pictures), len(pictures))

    def sampled(self) -> RunConfig:
        """What samples are made with."""
        config = self.base.config
        return replace(
            config, speed=replace(config.speed, steps=min(self.looked_at()[1], config.speed.steps))
        )

    def _negative(self) -> str:
        return self.base.config.shot.negative

    def _own_pictures(self, examples: Sequence[Example]) -> list[Example]:
        """Pictures of the base's own, which it is to keep making (prior preservation, arXiv 2208.12242)."""
        count = self.settings.prior
        if not count:
            return []
        bare = replace(self.settings, trigger="")
        trigger = self.settings.trigger
        captions = [one.caption.removeprefix(f"{trigger}, ").removeprefix(trigger) for one in examples]
        prompts = [latent_cache.captioned(captions[i % len(captions)], bare) for i in range(count)]
        latents = denoised(
            self.base, self.base.models, self.sampled(), prompts, range(10_000, 10_000 + count)
        )
        width, height = self.base.config.base.width, self.base.config.base.height
        bucket = latent_cache.Bucket(width=width, height=height)
        return [
            Example(
                name=f"prior {i}",
                caption=prompt,
                bucket=bucket,
                latents=(latent.cpu(),),
                details=(torch.ones_like(latent[:1].cpu()),),
            )
            for i, (prompt, latent) in enumerate(zip(prompts, latents, strict=True))
        ]


def _spread(examples: Sequence[Example], count: int) -> list[Example]:
    """So many of them, evenly spaced."""
    if not count:
        return []
    places = np.linspace(0, len(examples) - 1, min(count, len(examples))).round().astype(int)
    return [examples[int(index)] for index in dict.fromkeys(places.tolist())]


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """A picture uint8 [height, width, 3] as a PNG. Raises MachineError SYS-*."""
    made, data = cv2.imencode(".png", picture[..., ::-1])
    if not made:
        raise MachineError("SYS-IO", f"{path} could not be encoded", fix="free some memory")
    with writing(path.parent, data.nbytes):
        write_atomic(path, data.tobytes())


Folders = Mapping[str, Path]
