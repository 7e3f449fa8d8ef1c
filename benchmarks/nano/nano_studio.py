"""A weights folder at work for the nano bench: stills in batches, clips by the pipeline, the extractors.

Shapes: N pictures of a batch, latents [N,4,32,32], clips [frames,height,width,3].
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from pokora_anime.catalogue import registry
from pokora_anime.config.compose import compose_video
from pokora_anime.devices.machine import Machine, settle
from pokora_anime.nano.crisp import Crisp
from pokora_anime.nano.probe import AttributeProbe
from pokora_anime.networks.loader import Models
from pokora_anime.networks.placement import place
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.schema.settings import ControlKind, Family, LoraConfig, VideoConfig
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.delivery.resample import sized
from pokora_anime.stages.delivery.settled_frames import Shown, settled
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.guidance import combine
from pokora_anime.stages.picture.decode import decode
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline import camera_choice

Pictures = NDArray[np.uint8]

SETTINGS = (
    "base=nano", "style=none", "finish.interpolation=none",
    "shot.seconds=2", "shot.fps=8", "finish.fps=8",
)  # fmt: skip
PROBE, CRISP = "probe", "crisp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A ControlNet's maps float32 [N,height,width,3] in 0..1, one a picture."""

    kind: ControlKind
    maps: NDArray[np.float32]
    scale: float = 1.0


class _Kept(Models):
    """Networks that stay: the bench renders clip after clip with the same ones.

    They take more arguments than a run's: the bench steers stills by control maps too.
    """

    def free(self, *names: str) -> None:
        del names

    def _placed(self, network: Any) -> Any:
        return place(network, self.device, self.dtype, self._plan, self._turns)


class _Quiet:
    """A progress display that shows nothing."""

    def stage(self, name: str, total: int = 0, detail: str = "") -> None:
        del name, total, detail

    def step(self, detail: str = "") -> None:
        del detail

    def note(self, message: str) -> None:
        del message


class Studio:
    """Everything that a weights folder can make, with networks kept by (speed, style)."""

    def __init__(self, weights: Path, threads: int = 0) -> None:
        self.weights = weights
        self.config = _config("lcm")
        if threads:
            self.config.device.threads = threads
        self.machine: Machine = settle(self.config.device)
        self._models: dict[tuple[str, str | None], Models] = {}
        self._texts: dict[str, tuple[Tensor, Tensor]] = {}

    def has_style(self, role: str) -> bool:
        """Whether a style LoRA is registered for nano and lies in the folder."""
        row = registry.find_style(role, Family.nano)
        return row is not None and row.packaged and (self.weights / row.folder).is_dir()

    def crisp(self) -> Crisp | None:
        """What draws the family's frames three times as large, where it has that."""
        return self.models().crisp() if (self.weights / CRISP / "config.json").exists() else None

    def models(self, speed: str = "lcm", style: str | None = None) -> Models:
        """The networks at a speed mode, with one style LoRA at weight 1 merged in or none."""
        key = (speed, style)
        if key not in self._models:
            config, machine = _config(speed), self.machine
            loras = [LoraConfig(id=style, weight=1.0)] if style else []
            self._models[key] = _Kept(
                config.base, config.speed, loras, machine.device, machine.dtype, folders=self._folders()
            )
        return self._models[key]

    def forget(self, speed: str, style: str | None = None) -> None:
        """Drops the networks of a mode that is no longer needed."""
        self._models.pop((speed, style), None)

    def _folders(self) -> dict[str, Path]:
        ours = [row for row in registry.rows() if Family.nano in row.families and row.packaged]
        return {row.id: self.weights / row.folder for row in ours}

    @torch.inference_mode()
    def stills(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        speed: str = "lcm",
        style: str | None = None,
        negative: str | None = None,
        control: Control | None = None,
    ) -> Pictures:
        """Pictures [N,256,256,3] of prompts, each from the noise of its own seed.

        Equal seeds start from equal noise at every speed. `negative` None: the default one.
        """
        models, config = self.models(speed, style), _config(speed)
        context = self._context(models, Path(), 0)
        with context.autocast():
            asked = [self._text(text) for text in prompts]
            refused = [self._text(config.shot.negative if negative is None else negative)] * len(prompts)
            latents = _denoise(models, config, refused, asked, seeds, control)
        pictures = decode(latents.transpose(0, 1), context)
        return np.stack(list(pictures))

    def clip(self, prompt: str, seed: int, speed: str = "lcm") -> Pictures:
        """One segment as `pokora video` makes it: uint8 [16,256,256,3]."""
        return self.steered(prompt, seed, speed)[0]

    def steered(
        self, prompt: str, seed: int, speed: str = "lcm", more: tuple[str, ...] = ()
    ) -> tuple[Pictures, NDArray[np.float32] | None]:
        """One segment as `pokora video` makes it (keyframe, its control maps, motion, camera) under `more`
        settings: uint8 [16,256,256,3], and the joints float32 [16,18,3] that steered its frames if any did.
        """
        from benchmarks.nano.planned_poses import steering
        from pokora_anime.render.pipeline import clip_segments

        config = _config(speed, more)
        finish = replace(config.finish, width=config.base.width, height=config.base.height)
        config = replace(config, seed=seed, shot=replace(config.shot, prompt=prompt), finish=finish)
        camera_choice.settle(config)
        with tempfile.TemporaryDirectory() as folder:
            context = self._context(self.models(speed), Path(folder), seed)
            segments = list(clip_segments(config, context))
            posed, decoded = segments[0].posed, decode(segments[0].latents, context)
            shown = (Shown.of(frame, posed, index, config) for index, frame in enumerate(decoded))
            frames = list(sized(settled(shown, config), config, context))
            track = next(steering(segments[0], config, context), None)
            context.folder.close()
        return np.stack(frames), track

    @contextmanager
    def open(self, speed: str, seed: int) -> Iterator[RunContext]:
        """What the stages of a run need; what they store is thrown away at the end."""
        with tempfile.TemporaryDirectory() as folder:
            context = self._context(self.models(speed), Path(folder), seed)
            try:
                yield context
            finally:
                context.folder.close()

    def round_trip(self, rgb: Pictures) -> Pictures:
        """Pictures [N,H,W,3] encoded and decoded by the autoencoder.

        A run's own autoencoder refuses to encode, so this one is loaded beside it.
        """
        context = self._context(self.models(), Path(), 0)
        vae: Any = AutoencoderKL.from_pretrained(self.weights / "vae", torch_dtype=torch.float32)
        vae.to(self.machine.device).eval()
        parts: list[Pictures] = []
        for start in range(0, len(rgb), 16):
            some = torch.from_numpy(np.ascontiguousarray(rgb[start : start + 16])).to(vae.device)
            with torch.inference_mode(), context.autocast():
                given = (some.permute(0, 3, 1, 2).float() / 127.5 - 1).to(vae.dtype)
                posterior = vae.encode(given)
                latents: Tensor = posterior.latent_dist.mean * vae.config["scaling_factor"]
            parts += list(decode(latents.float().transpose(0, 1), context))
        return np.stack(parts)

    def joints(self, rgb: Pictures) -> NDArray[np.float32]:
        """Joints [N,18,3] in pixels by the pose extractor."""
        read = self.models().pose_extractor()
        return np.stack([read(picture) for picture in rgb])

    def depth(self, rgb: Pictures) -> list[NDArray[np.float32]]:
        """Relative depth [h,w] of each picture by the depth extractor."""
        read = self.models().depth_extractor()
        return [read(picture) for picture in rgb]

    def probe(self) -> AttributeProbe:
        """The folder's own judge."""
        return AttributeProbe.from_pretrained(self.weights / PROBE).to(self.machine.device)

    def _text(self, text: str) -> tuple[Tensor, Tensor]:
        """Hidden states [77,channels] and pooled [channels]; both speeds share the encoders."""
        if text not in self._texts:
            stack = self.models().text_stack()
            hidden, pooled = stack.encode(
                [[stack.tokens(text, k)[:75]] for k in range(len(stack.tokenizers))]
            )
            assert pooled is not None
            self._texts[text] = hidden[0], pooled
        return self._texts[text]

    def _context(self, models: Models, folder: Path, seed: int) -> RunContext:
        machine = self.machine
        stored: Any = RunFolder.open(folder, "bench", "clip", "0" * 64, fresh=False) if folder.name else None
        return RunContext(
            folder=stored,
            models=models,
            progress=_Quiet(),
            device=machine.device,
            dtype=machine.dtype,
            threads=machine.threads,
            seed=seed,
        )


@cache
def _config(speed: str, more: tuple[str, ...] = ()) -> VideoConfig:
    return compose_video([*SETTINGS, f"speed={speed}", *more])


def _denoise(
    models: Models,
    config: VideoConfig,
    refused: list[tuple[Tensor, Tensor]],
    asked: list[tuple[Tensor, Tensor]],
    seeds: Sequence[int],
    control: Control | None,
) -> Tensor:
    """Latents float32 [N,4,h,w] by the speed mode's scheduler and guidance."""
    scheduler = models.scheduler()
    steps, guidance = config.speed.steps, Guidance.of(config.speed)
    scheduler.set_timesteps(steps, device=models.device)
    shape = (1, int(models.unet().config["in_channels"]), *models.latent_size)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    noise = torch.cat([torch.randn(shape, generator=g) for g in generators])
    latents = noise.to(models.device) * scheduler.init_noise_sigma
    given = _Conditions(models, config, refused, asked, control)
    for step, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(latents, timestep).to(models.dtype)
        guided = guidance.on(step, steps)
        predicted = given.predict(scaled, timestep, guided=guided)
        if guided:
            predicted = combine(*predicted.chunk(2), guidance.scale)
        latents = scheduler.step(predicted, timestep, latents, generator=generators, return_dict=False)[0]
    return latents.float().cpu()


class _Conditions:
    """What the UNet is told: rows of the negative prompts, then rows of the prompts, and maybe maps."""

    def __init__(
        self,
        models: Models,
        config: VideoConfig,
        refused: list[tuple[Tensor, Tensor]],
        asked: list[tuple[Tensor, Tensor]],
        control: Control | None,
    ) -> None:
        rows, size = [*refused, *asked], [config.base.height, config.base.width]
        device, dtype = models.device, models.dtype
        self.unet, self.count = models.unet(), len(asked)
        self.text = torch.stack([text for text, _ in rows]).to(device, dtype)
        self.pooled = torch.stack([pooled for _, pooled in rows]).to(device, dtype)
        self.sizes = torch.tensor([[*size, 0, 0, *size]] * len(rows)).to(device, dtype)
        self.source: ControlSource | None = None
        if control is not None:
            maps = torch.from_numpy(control.maps).permute(0, 3, 1, 2).to(device, dtype)
            network = models.controlnet(control.kind)
            self.source = ControlSource(network, maps, scale=control.scale, start=0.0, end=1.0, dtype=dtype)

    def predict(self, latents: Tensor, timestep: Tensor, *, guided: bool) -> Tensor:
        """The UNet's prediction float32 [N,4,h,w], or [2N,4,h,w] with the unguided rows first."""
        rows = slice(0 if guided else self.count, 2 * self.count)
        given = latents.repeat(2 if guided else 1, 1, 1, 1)
        added = {"text_embeds": self.pooled[rows], "time_ids": self.sizes[rows]}
        residuals: dict[str, Any] = {}
        if self.source is not None:
            weight = torch.ones(len(given), device=given.device)
            *down, middle = self.source.residuals(given, timestep, self.text[rows], added, weight)
            residuals = {
                "down_block_additional_residuals": tuple(down),
                "mid_block_additional_residual": middle,
            }
        return self.unet(
            given,
            timestep,
            encoder_hidden_states=self.text[rows],
            added_cond_kwargs=added,
            return_dict=False,
            **residuals,
        )[0].float()
