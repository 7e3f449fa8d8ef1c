"""What `pokora bench gpu` times: diffusers' AnimateDiffSDXLPipeline and this package's loop.

All arms share one set of weights and the same noise. Needs torch and diffusers, nothing else of a run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AnimateDiffSDXLPipeline,
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    EulerDiscreteScheduler,
    MotionAdapter,
    UNet2DConditionModel,
)
from torch import Tensor

import pokora_anime
from benchmarks.gpu import full_size
from pokora_anime.devices import openvino_runtime
from pokora_anime.devices.compiled_blocks import compile_blocks
from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.devices.memory_layout import laid_out
from pokora_anime.networks.converted.converted_network import ConvertedNetwork, Converting
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.networks.placement import Turns, place
from pokora_anime.provenance.hashing import Json, file_hash, text_hash
from pokora_anime.schema.settings import Compile, DeviceKind
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.conditioning import Condition, Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.sampler_loop import sample

NANO = Path(pokora_anime.__file__).parent / "nano" / "weights"
FRAMES, STEPS, OVERLAP, CHUNK = 16, 6, 4, 4
GUIDED = 6.0
EXACT, STOCK, APPROXIMATE = "exact", "stock", "approximate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every arm computes: where, in which format, how large, how many segments."""

    device: torch.device
    dtype: torch.dtype
    side: int
    segments: int

    def autocast(self) -> AbstractContextManager[object]:
        """On a CPU the weights stay fp32 and bf16 comes by autocast, for all arms alike."""
        if self.device.type == "cpu" and self.dtype == torch.bfloat16:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()

    @property
    def weights(self) -> torch.dtype:
        """The weights' own format."""
        return torch.float32 if self.device.type == "cpu" else self.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of making the same segments; `baseline` names the arm whose time it is compared with."""

    name: str
    kind: str
    baseline: str
    make: Callable[[], Callable[[], None]]  # its networks; what that returns makes all segments once


class Studio:
    """The networks and inputs that arms share."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.first = 0.0  # seconds until the first segment was decoded, of the latest run that tells
        torch.manual_seed(0)
        unet, adapter, self.vae, controls, self.tiny = (
            _nano() if setting.device.type == "cpu" else _random_sdxl(setting)
        )
        self.stock_unet: Any = self._ready(build_motion_unet(unet, adapter))
        self.stock_vae: Any = self._ready(self.vae)
        # Ours are held as a run holds them; what diffusers' pipeline computes with is left as it was loaded.
        self.motion: Any = self._placed(copy.deepcopy(self.stock_unet))
        self.vae = laid_out(copy.deepcopy(self.stock_vae), DeviceKind(setting.device.type), "VAE")
        self.controls = [self._placed(control) for control in controls]
        latent = setting.side // 8
        told = unet.config
        width = told["cross_attention_dim"]
        pooled = told["projection_class_embeddings_input_dim"] - 6 * told["addition_time_embed_dim"]
        size = [setting.side, setting.side]
        self.noise = torch.randn(setting.segments, 1, 4, FRAMES, latent, latent).to(setting.device)
        self.maps = torch.rand(2, 3, setting.side, setting.side, device=setting.device)
        to = {"device": setting.device, "dtype": setting.weights}
        self.condition = Condition(
            embeds_BTD=torch.randn(2, 77, width).to(**to),
            pooled_BD=torch.randn(2, pooled).to(**to),
            time_ids_BD=torch.tensor([[*size, 0, 0, *size]] * 2).to(**to),
        )

    def _ready(self, network: Any) -> Any:
        return network.to(self.setting.device, self.setting.weights).eval().requires_grad_(False)

    def _placed(self, network: Any) -> Any:
        device = self.setting.device
        return place(network, device, self.setting.weights, Plan(), Turns(device))

    def stock(self, scale: float, *, flags: bool = False, compiled: bool = False) -> Callable[[], None]:
        """diffusers' pipeline, one clip a segment, its conversion repaired; `flags`: all documented."""
        unet: Any = copy.deepcopy(self.stock_unet) if flags else self.stock_unet
        vae: Any = copy.deepcopy(self.stock_vae) if flags else self.stock_vae
        if flags:
            vae.enable_slicing()
            unet.to(memory_format=torch.channels_last)
            unet.fuse_qkv_projections()
            if compiled:
                unet.compile(fullgraph=True)
        absent: Any = dict.fromkeys(
            ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "motion_adapter")
        )
        pipe: Any = AnimateDiffSDXLPipeline(**absent, vae=vae, unet=unet, scheduler=scheduler())
        pipe.set_progress_bar_config(disable=True)
        told: Any = self.condition

        def run() -> None:
            for noise in self.noise:
                with self.setting.autocast():
                    pipe(
                        prompt_embeds=told.embeds_BTD[1:],
                        negative_prompt_embeds=told.embeds_BTD[:1],
                        pooled_prompt_embeds=told.pooled_BD[1:],
                        negative_pooled_prompt_embeds=told.pooled_BD[:1],
                        latents=noise.to(self.setting.weights),
                        height=self.setting.side,
                        width=self.setting.side,
                        num_frames=FRAMES,
                        num_inference_steps=STEPS,
                        guidance_scale=scale,
                        output_type="pt",
                    )

        return run

    def ours(
        self,
        scale: float,
        *,
        controls: int = 0,
        control_end: float = 1.0,
        known: int = 0,
        tiny: bool = False,
        fp8: bool = False,
        compiled: bool = False,
        openvino: bool = False,
    ) -> Callable[[], None]:
        """This package's loop and its decoding in chunks; `known` frames are carried over."""
        setting, unet = self.setting, self.motion
        if fp8:
            unet = place(
                copy.deepcopy(unet), setting.device, setting.weights, Plan(fp8=True), Turns(setting.device)
            )
        if compiled:
            unet = compile_blocks(copy.deepcopy(unet), Compile["default"])
        if openvino:
            unet = self._converted(unet)
        vae = self._ready(self.tiny) if tiny else self.vae

        def run() -> None:
            with torch.inference_mode(), setting.autocast():
                sources = [
                    ControlSource(net, hint, scale=0.5, start=0.0, end=control_end, dtype=setting.weights)
                    for net, hint in zip(self.controls[:controls], self.maps, strict=False)
                ]
                carried: Tensor | None = None
                self.first, began = 0.0, time.perf_counter()
                for noise in self.noise:
                    latents = self._segment(unet, noise, carried, scale, sources)
                    carried = latents[:, :, -known:] if known else None
                    self._decode(vae, latents[0])
                    self.first = self.first or time.perf_counter() - began

        return run

    def _converted(self, unet: Any) -> ConvertedNetwork:
        """nano's motion UNet as OpenVINO computes it, converted for the first bench with these weights."""
        files = [path for part in ("unet", "motion_adapter") for path in (NANO / part).glob("*.safetensors")]
        runtime = Converting(
            group=openvino_runtime.folder() / text_hash("bench")[:16],
            dtype=self.setting.dtype,
            threads=torch.get_num_threads(),
            note=print,
        )
        weights: dict[str, Json] = {path.name: file_hash(path) for path in sorted(files)}
        return ConvertedNetwork("UNetMotionModel", lambda: unet, weights, lambda: runtime)

    def _segment(
        self, unet: Any, noise: Tensor, known: Tensor | None, scale: float, controls: Sequence[ControlSource]
    ) -> Tensor:
        euler = scheduler()
        euler.set_timesteps(STEPS, device=self.setting.device)
        euler.set_begin_index(0)
        denoiser = SegmentDenoiser(
            unet=unet,
            timesteps=euler.timesteps,
            condition=self.condition,
            guidance=Guidance(scale=scale),
            frame_weight_F=torch.ones(FRAMES, device=self.setting.device),
            controls=controls,
        )
        return sample(denoiser, euler, noise, known, torch.Generator("cpu"))

    def _decode(self, vae: Any, latents: Tensor) -> None:
        for part in latents.transpose(0, 1).split(CHUNK):
            made = vae.decode((part / vae.config["scaling_factor"]).to(self.setting.weights)).sample.float()
            (made * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def scheduler() -> Any:
    """Euler, which draws no noise: every arm must come to the same latents."""
    return EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear")


def arms(studio: Studio, *, compiled: bool, openvino: bool = False) -> list[Arm]:
    """Every arm, the stock ones first. On a CPU the fp8 arm is left out: nothing there computes faster so.

    `openvino`: also what it computes, on a CPU.
    """
    off, on = "CFG off", "CFG on"
    cuda = studio.setting.device.type == "cuda"
    half = {"controls": 2, "control_end": 0.5}
    found = [
        Arm(name=f"stock, {off}", kind=STOCK, baseline="", make=lambda: studio.stock(1.0)),
        Arm(
            name=f"stock with its flags, {off}",
            kind=STOCK,
            baseline=f"stock, {off}",
            make=lambda: studio.stock(1.0, flags=True, compiled=compiled),
        ),
        Arm(name=f"ours, {off}", kind=EXACT, baseline=f"stock, {off}", make=lambda: studio.ours(1.0)),
        Arm(name=f"stock, {on}", kind=STOCK, baseline="", make=lambda: studio.stock(GUIDED)),
        Arm(name=f"ours, {on}", kind=EXACT, baseline=f"stock, {on}", make=lambda: studio.ours(GUIDED)),
        Arm(
            name=f"ours, {OVERLAP} frames carried over, {off}",
            kind=EXACT,
            baseline=f"stock, {off}",
            make=lambda: studio.ours(1.0, known=OVERLAP),
        ),
        Arm(
            name=f"ours, two ControlNets, {off}",
            kind=EXACT,
            baseline="",
            make=lambda: studio.ours(1.0, controls=2),
        ),
        Arm(
            name=f"ours, two ControlNets to half of the steps, tiny VAE, {off}",
            kind=APPROXIMATE,
            baseline=f"ours, two ControlNets, {off}",
            make=lambda: studio.ours(1.0, **half, tiny=True),
        ),
    ]
    if compiled:
        found.append(
            Arm(
                name=f"ours, compiled, {off}",
                kind=EXACT,
                baseline=f"stock with its flags, {off}",
                make=lambda: studio.ours(1.0, compiled=True),
            )
        )
    if openvino and not cuda:
        for scale, guided in ((1.0, off), (GUIDED, on)):
            make = partial(studio.ours, scale, openvino=True)
            name, against = f"ours with OpenVINO, {guided}", f"ours, {guided}"
            found.append(Arm(name=name, kind=APPROXIMATE, baseline=against, make=make))
    if cuda:
        found.append(
            Arm(
                name=f"ours, fp8 weights, {off}",
                kind=APPROXIMATE,
                baseline=f"ours, {off}",
                make=lambda: studio.ours(1.0, fp8=True),
            )
        )
    return found


def _nano() -> tuple[UNet2DConditionModel, MotionAdapter, AutoencoderKL, list[ControlNetModel], Any]:
    """The packaged family."""
    return (
        UNet2DConditionModel.from_pretrained(NANO / "unet"),
        MotionAdapter.from_pretrained(NANO / "motion_adapter"),
        AutoencoderKL.from_pretrained(NANO / "vae"),
        [ControlNetModel.from_pretrained(NANO / f"controlnet_{kind}") for kind in ("pose", "depth")],
        AutoencoderTiny.from_pretrained(NANO / "vae_tiny"),
    )


def _random_sdxl(
    setting: Setting,
) -> tuple[UNet2DConditionModel, MotionAdapter, AutoencoderKL, list[ControlNetModel], Any]:
    """SDXL at full size with random weights, made where they are used."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(setting.dtype)
    try:
        with torch.device(setting.device):
            nets = full_size.build("sdxl")
            return (
                nets.unet,
                nets.adapter,
                nets.vae,
                [nets.controlnet(), nets.controlnet()],
                AutoencoderTiny(),
            )
    finally:
        torch.set_default_dtype(before)
