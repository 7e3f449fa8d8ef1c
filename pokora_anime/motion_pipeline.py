"""`PokoraMotionPipeline`: the denoising loop of `pokora video` for a script of one's own.

It takes SDXL or SD2 checkpoints in diffusers' layout, AnimateDiff's motion adapter and ControlNets, and
hands back frames and latents; the last latents of one call may be the first of the next. A script is no
run: it writes no record, and nothing vouches for the pictures that it passes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DiffusionPipeline,
    MotionAdapter,
    SchedulerMixin,
    UNet2DConditionModel,
    UNetMotionModel,
)
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from diffusers.utils import BaseOutput
from PIL import Image as Pictures
from PIL.Image import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pokora_anime.errors import ConfigError
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.networks.text_encoders import CHUNK, TextStack
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.sampler_loop import sample
from pokora_anime.system.typed_tensors import from_array, split

OUTPUTS = ("pil", "np", "latent")
_SCALE = 8  # pixels a side for one latent


@dataclass
class PokoraMotionOutput(BaseOutput):
    """`frames`: PIL pictures, or uint8 [frames, height, width, 3], or None. `latents` [4, frames, h, w]."""

    frames: list[Image] | npt.NDArray[np.uint8] | None
    latents: Tensor


class PokoraMotionPipeline(DiffusionPipeline, StableDiffusionXLLoraLoaderMixin):
    """Text, and ControlNet maps if wanted, to one segment of frames."""

    model_cpu_offload_seq = "text_encoder->text_encoder_2->unet->vae"
    _optional_components = ["text_encoder_2", "tokenizer_2", "motion_adapter", "controlnet"]  # noqa: RUF012

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel | UNetMotionModel,
        scheduler: SchedulerMixin,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: CLIPTokenizer | None = None,
        motion_adapter: MotionAdapter | None = None,
        controlnet: ControlNetModel | Sequence[ControlNetModel] | MultiControlNetModel | None = None,
        force_zeros_for_empty_prompt: bool = True,
    ) -> None:
        """A 2D `unet` needs a `motion_adapter`; saved again, the two are one motion UNet."""
        super().__init__()
        if isinstance(unet, UNet2DConditionModel):
            if motion_adapter is None:
                raise ConfigError(
                    "CFG-PIPELINE", "a 2D UNet without motion", expected="motion_adapter=MotionAdapter(...)"
                )
            unet = build_motion_unet(unet, motion_adapter)
        if isinstance(controlnet, list | tuple):
            networks: Any = controlnet  # diffusers says a tuple of one
            controlnet = MultiControlNetModel(networks)
        cast(Any, self).register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            motion_adapter=None,
            controlnet=controlnet,
        )
        cast(Any, self).register_to_config(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)

    @torch.inference_mode()
    def __call__(
        self,
        prompt: str,
        negative_prompt: str = "",
        *,
        width: int = 768,
        height: int = 768,
        num_frames: int = 16,
        num_inference_steps: int = 25,
        guidance_scale: float = 6.0,
        guidance_batched: bool = True,
        control_images: Sequence[Image | npt.NDArray[np.uint8]] = (),
        controlnet_conditioning_scale: float | Sequence[float] = 1.0,
        control_guidance_end: float = 1.0,
        known_latents: Tensor | None = None,
        latents: Tensor | None = None,
        generator: torch.Generator | None = None,
        decode_chunk_size: int = 4,
        output_type: str = "pil",
        callback_on_step_end: Callable[[Tensor], None] = lambda _: None,
    ) -> PokoraMotionOutput:
        """Denoise one segment.

        `control_images`: one map for each ControlNet, for all frames. `known_latents` [4, K, h, w]: the
        first K frames, as they came out of the segment before. `latents` [4, frames, h, w]: the noise to
        start from; otherwise `generator` (on the CPU) draws it. Raises ConfigError CFG-PIPELINE.
        """
        self._refuse(width, height, num_frames, control_images, known_latents, output_type)
        device = self._execution_device
        shape = (1, 4, num_frames, height // _SCALE, width // _SCALE)
        generator = generator or torch.Generator("cpu")
        noise = torch.randn(shape, generator=generator) if latents is None else latents[None].float()
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        self.scheduler.set_begin_index(0)
        controls = self._controls(control_images, controlnet_conditioning_scale, control_guidance_end, device)
        denoiser = SegmentDenoiser(
            unet=self.unet,
            timesteps=self.scheduler.timesteps,
            condition=self._condition(prompt, negative_prompt, (height, width), device),
            guidance=Guidance(scale=guidance_scale, batched=guidance_batched),
            frame_weight_F=torch.ones(num_frames, device=device),
            controls=controls,
        )
        known = None if known_latents is None else known_latents[None].float().to(device)
        denoised = sample(denoiser, self.scheduler, noise.to(device), known, generator, callback_on_step_end)[
            0
        ]
        frames = None if output_type == "latent" else self._decoded(denoised, decode_chunk_size)
        self.maybe_free_model_hooks()
        if frames is not None and output_type == "pil":
            frames = [Pictures.fromarray(frame) for frame in frames]
        return PokoraMotionOutput(frames=frames, latents=denoised.cpu())

    def _networks(self) -> list[Any]:
        found = self.controlnet
        if found is None:
            return []
        return list(found.nets) if isinstance(found, MultiControlNetModel) else [found]

    def _refuse(
        self,
        width: int,
        height: int,
        frames: int,
        maps: Sequence[object],
        known: Tensor | None,
        output_type: str,
    ) -> None:
        networks = len(self._networks())
        longest = self.unet.config.motion_max_seq_length
        wrong = (
            (width % _SCALE or height % _SCALE, f"{width}x{height} pixels", f"multiples of {_SCALE}"),
            (not 1 <= frames <= longest, f"num_frames={frames}", f"1 to {longest}"),
            (len(maps) != networks, f"{len(maps)} control_images", f"one for each of {networks} ControlNets"),
            (output_type not in OUTPUTS, f"output_type={output_type!r}", " or ".join(OUTPUTS)),
            (
                known is not None and (known.ndim != 4 or known.shape[1] >= frames),
                f"known_latents of shape {None if known is None else tuple(known.shape)}",
                f"[4, fewer than {frames}, height / {_SCALE}, width / {_SCALE}]",
            ),
        )
        for is_wrong, got, expected in wrong:
            if is_wrong:
                raise ConfigError("CFG-PIPELINE", got, expected=expected)

    def _condition(
        self, prompt: str, negative: str, size: tuple[int, int], device: torch.device
    ) -> Condition:
        pairs = ((self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2))
        there = [pair for pair in pairs if pair[1] is not None]
        encoders = [encoder for _, encoder in there]
        stack = TextStack([tokenizer for tokenizer, _ in there], lambda: encoders, zero_empty=False)
        ids = [[stack.tokens(text, which) for which in range(len(there))] for text in (negative, prompt)]
        length = max(1, *(-(-len(tokens) // CHUNK) for row in ids for tokens in row))
        found = [
            stack.encode([[tokens[i * CHUNK :][:CHUNK] for i in range(length)] for tokens in row])
            for row in ids
        ]
        if not negative and self.config["force_zeros_for_empty_prompt"] and len(there) == 2:
            found[0] = (torch.zeros_like(found[0][0]), _zeros(found[0][1]))
        embeds = torch.stack([hidden.flatten(0, 1) for hidden, _ in found]).to(device, self.unet.dtype)
        pooled = [one for _, one in found if one is not None]
        if not pooled:
            return Condition(embeds_BTD=embeds, pooled_BD=None, time_ids_BD=None)
        time_ids = torch.tensor([[*size, 0, 0, *size]] * 2)
        return Condition(
            embeds_BTD=embeds,
            pooled_BD=torch.stack(pooled).to(device, self.unet.dtype),
            time_ids_BD=time_ids.to(device, self.unet.dtype),
        )

    def _controls(
        self,
        maps: Sequence[Image | npt.NDArray[np.uint8]],
        scale: float | Sequence[float],
        end: float,
        device: torch.device,
    ) -> list[ControlSource]:
        scales = [scale] * len(maps) if isinstance(scale, int | float) else list(scale)
        found: list[ControlSource] = []
        for network, picture, weight in zip(self._networks(), maps, scales, strict=True):
            hint = from_array(np.array(picture, np.uint8)).permute(2, 0, 1).float() / 255
            dtype = self.unet.dtype
            found.append(
                ControlSource(network, hint.to(device), scale=weight, start=0.0, end=end, dtype=dtype)
            )
        return found

    def _decoded(self, latents: Tensor, chunk: int) -> npt.NDArray[np.uint8]:
        """Pictures uint8 [frames, height, width, 3]."""
        made: list[Tensor] = []
        for part in split(latents.transpose(0, 1), chunk):
            scaled = (part / self.vae.config["scaling_factor"]).to(self.vae.dtype)
            pictures = self.vae.decode(scaled, return_dict=False)[0].float()
            made.append((pictures * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).cpu())
        return torch.cat(made).permute(0, 2, 3, 1).contiguous().numpy()


def _zeros(pooled: Tensor | None) -> Tensor | None:
    return None if pooled is None else torch.zeros_like(pooled)
