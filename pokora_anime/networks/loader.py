"""All networks of one run, loaded when first asked for."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    ControlNetUnionModel,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from pokora_anime.catalogue import needed_weights, registry, weight_hashes
from pokora_anime.catalogue.lora.lora_merge import Lora, merge_into_encoder, merge_into_unet
from pokora_anime.catalogue.registry import Row
from pokora_anime.catalogue.weights_advice import absent, refuse_blocked, reinstall_or_fetch
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.devices import openvino_runtime
from pokora_anime.devices.compiled_blocks import compile_blocks
from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.devices.machine import give_back, give_back_memory
from pokora_anime.devices.memory_layout import laid_out
from pokora_anime.devices.out_of_memory import is_out_of_memory
from pokora_anime.errors import WeightsError
from pokora_anime.nano.crisp import Crisp
from pokora_anime.networks import ip_adapter
from pokora_anime.networks.converted.converted_network import ConvertedNetwork, Converting
from pokora_anime.networks.extraction import extractors, picture_judge
from pokora_anime.networks.finishing import rife, upscaler
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.networks.placement import Turns, place
from pokora_anime.networks.schedulers import StepScheduler, build_scheduler, motion_betas
from pokora_anime.networks.text_encoders import TextStack, Tokenizer
from pokora_anime.provenance.hashing import Json, text_hash
from pokora_anime.sandbox import network_arguments
from pokora_anime.schema.settings import (
    BaseConfig,
    Betas,
    Compile,
    ControlKind,
    DeviceKind,
    Family,
    LoraConfig,
    MotionConfig,
    SpeedConfig,
)

# Their bars and remarks would tear the live display apart; what goes wrong is raised.
for _log in (diffusers_logging, transformers_logging):
    _log.set_verbosity_error()
    _log.disable_progress_bar()

ENCODERS = (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection))
# What decides about a prompt's embedding; the index tells whether "no prompt" means zeros.
TEXT_PARTS = ("text_encoder", "tokenizer", "model_index.json")
FP16_VAES = ("sdxl-vae-fp16-fix",)
PLACED = ("unet", "motion")  # and the ControlNets: what a plan may hold elsewhere than on the device


class Models:
    """The networks of a composition on one device; lazy, and each can be freed.

    `dtype` is the run's; the weights' own (`self.dtype`) stays fp32 on a CPU that computes in bf16
    by autocast. `notes` tells which style LoRAs this base does not have. `folders` overrides, by row
    id, where weights are looked for. `announce` is entered around what is read into memory.
    Raises WeightsError WGT-MISSING at once for what is not there.
    """

    latent_scale: int = 8

    def __init__(
        self,
        base: BaseConfig,
        speed: SpeedConfig,
        loras: Sequence[LoraConfig],
        device: torch.device,
        dtype: torch.dtype,
        folders: Mapping[str, Path] | None = None,
        motion: MotionConfig | None = None,
    ) -> None:
        self.base, self.speed, self.family, self.device = base, speed, base.family, device
        self.dtype = torch.float32 if device.type == "cpu" else dtype
        self._folders = dict(folders or {})
        self._base_row = registry.get(base.weights, base.family)
        self._base = self._place(self._base_row)
        styles, notes = needed_weights.style_rows(loras, base.family)
        speed_row = needed_weights.speed_row(speed, base.family)
        self._loaded: dict[str, Any] = {}
        self._plan, self._turns = Plan(), Turns(device)
        self._loading = threading.RLock()
        self.announce: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        chosen = ([(speed_row, speed.lora_weight)] if speed_row else []) + styles
        self.loras = tuple(Lora(row=row, folder=self._checked(row), weight=w) for row, w in chosen)
        camera = needed_weights.motion_lora_row(motion, base) if motion is not None else None
        self.camera: tuple[Lora, ...] = ()
        if camera is not None and motion is not None:
            self.camera = (Lora(row=camera, folder=self._checked(camera), weight=motion.lora_weight),)
        self.notes: tuple[str, ...] = tuple(notes)
        self.strengths: dict[str, float] = {}  # of LoRAs in the motion UNet, where they are others
        self.identity_scale: float | None = None  # of the motion UNet's IP-Adapter, where it has one
        self.converting = Converting(
            group=openvino_runtime.folder() / "unnamed", dtype=dtype, threads=torch.get_num_threads()
        )

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of a frame's latent."""
        return self.base.height // self.latent_scale, self.base.width // self.latent_scale

    @property
    def lora_weights(self) -> dict[str, float]:
        """Every LoRA of text and pictures and its weight, by row id."""
        return {lora.row.id: lora.weight for lora in self.loras}

    @property
    def motion_lora_weights(self) -> dict[str, float]:
        """Every LoRA of the motion UNet and its weight, by row id."""
        return {lora.row.id: lora.weight for lora in (*self.loras, *self.camera)}

    def weigh(self, strengths: Mapping[str, float]) -> None:
        """From now on the motion UNet has these weights of style LoRAs, by row id; others as ever."""
        if self.strengths != dict(strengths):
            self.strengths = dict(strengths)
            self.free("motion")

    def adapt(self, scale: float | None) -> None:
        """From now on the motion UNet has an IP-Adapter that counts that much; None: it has none."""
        if self.identity_scale != scale:
            self.identity_scale = scale
            self.free("motion")

    def text_stack(self) -> TextStack:
        """Tokenizers now, encoders (with the LoRAs' text parts) when first used."""
        return self._once("text", self._load_text)

    def unet(self) -> UNet2DConditionModel:
        """The base's UNet with all LoRAs merged in."""
        return self._once("unet", lambda: self._run_by(UNet2DConditionModel, "unet", self._whole_unet))

    def motion_unet(self) -> UNetMotionModel:
        """The UNet with temporal layers, the LoRAs merged in after the conversion."""
        return self._once("motion", lambda: self._run_by(UNetMotionModel, "motion", self._whole_motion))

    def controlnet(self, kind: ControlKind) -> ControlNetModel:
        """The ControlNet of a kind; ConfigError CFG-CONTROL if the base has none."""
        row = needed_weights.control_rows([kind], self.family)[0]
        return self._once(row.role, lambda: self._controlnet(ControlNetModel, row))

    def union_controlnet(self) -> ControlNetUnionModel:
        """The ControlNet for maps of several kinds; ConfigError CFG-ROLE if the base has none."""
        row = registry.resolve("controlnet_union", self.family)
        return self._once(row.role, lambda: self._controlnet(ControlNetUnionModel, row))

    def vae(self) -> AutoencoderKL:
        """The base's VAE, or the one that the config puts in its place."""
        return self._once("vae", self._load_vae)

    def pose_extractor(self) -> extractors.PoseReader:
        """A picture in, an OpenPose map and the number of confident joints out."""
        row = registry.resolve("pose_extractor", self.family)
        return self._once(row.role, lambda: extractors.load_pose(row, self._checked(row), self.device))

    def choreographer(self) -> Choreographer:
        """The network that plans poses from words; on the CPU, where every machine plans alike."""
        row = registry.resolve("choreographer", self.family)
        return self._once(row.role, lambda: Choreographer.load(self._checked(row)))

    def picture_judge(self) -> picture_judge.PictureJudge:
        """What tells how much of a prompt a picture shows."""
        row = registry.resolve(registry.JUDGE, self.family)
        return self._once(row.role, lambda: picture_judge.load(row, self._checked(row), self.device))

    def image_tokens(self) -> ip_adapter.ImageTokens:
        """A picture in, an IP-Adapter's tokens of it out."""
        row, adapter = registry.resolve("image_encoder", self.family), self._adapter_row()
        encoder, file = self._checked(row), self._adapter_file()

        def load() -> ip_adapter.ImageTokens:
            try:
                return ip_adapter.ImageTokens.load(encoder, file, self.device)
            except ip_adapter.UNFIT as error:
                raise self._unfit(adapter, error) from error

        return self._once(row.role, load)

    def depth_extractor(self) -> extractors.DepthReader:
        """A picture in, its depth map in 0..1 out."""
        row = registry.resolve("depth_extractor", self.family)
        return self._once(row.role, lambda: extractors.load_depth(row, self._checked(row), self.device))

    def lineart_extractor(self) -> extractors.LineReader:
        """A picture in, its lines out."""
        row = registry.resolve("lineart_extractor", self.family)
        return self._once(row.role, lambda: extractors.load_lineart(row, self._checked(row), self.device))

    def rife(self) -> rife.Rife:
        """The network that draws frames between two frames."""
        row = registry.resolve("rife", self.family)
        return self._once(row.role, lambda: rife.load(row, self._checked(row), self.device))

    def upscaler(self, name: str) -> upscaler.Upscaler:
        """An open upscaler of finished frames, by its role or registry id."""
        row = registry.resolve(name, self.family)
        return self._once(row.id, lambda: upscaler.load(row, self._checked(row), self.device))

    def crisp(self) -> Crisp:
        """The network that draws nano's frames three times as large."""
        row = registry.resolve("crisp", self.family)
        return self._once(row.role, lambda: upscaler.load_crisp(row, self._checked(row), self.device))

    def scheduler(self) -> StepScheduler:
        """A new scheduler of the speed mode; its timesteps are not set yet."""
        return build_scheduler(self._base / "scheduler", self.speed.sampler)

    def motion_scheduler(self, betas: Betas) -> StepScheduler:
        """As `scheduler`, on the noise schedule that the motion is denoised with."""
        changed = motion_betas(betas, self.family, self.speed.sampler)
        return build_scheduler(self._base / "scheduler", self.speed.sampler, changed)

    def free(self, *names: str) -> None:
        """Drop networks: text, unet, motion, vae, controlnet_<kind>, <kind>_extractor, rife."""
        dropped = [self._loaded.pop(name) for name in names if name in self._loaded]
        if dropped:
            self._turns.clear()
            dropped.clear()
            gc.collect()
            give_back(self.device)

    def hold(self, plan: Plan) -> None:
        """Hold the UNets and ControlNets as the plan says; those that are held otherwise are dropped."""
        if plan.holding != self._plan.holding:
            placed = [name for name in self._loaded if name in PLACED or name.startswith("controlnet_")]
            self.free(*placed)
        self._plan = plan

    def free_text(self) -> None:
        """Drop the text encoders."""
        self.free("text")

    def weights_hash(self, role: str) -> dict[str, str]:
        """Hashes of the files behind text, unet, motion, vae or another row's role or id, by that name.

        LoRAs are listed where they take part, since they change what comes out.
        """
        if role in ("text", "unet", "motion"):
            folders = TEXT_PARTS if role == "text" else ("unet", "scheduler")
            found = {role: self._hash(self._base_row, self._base, folders)}
            loras = (*self.loras, *self.camera) if role == "motion" else self.loras
            if role == "motion":
                row = registry.get(self.base.motion_adapter, self.family)
                found[row.id] = self._hash(row, self._place(row))
            return found | {lora.row.id: self._hash(lora.row, lora.folder) for lora in loras}
        if role == "vae" and self.base.vae is None:
            return {role: self._hash(self._base_row, self._base, ("vae",))}
        row = registry.get(self.base.vae, self.family) if self.base.vae and role == "vae" else None
        row = row or registry.resolve(role, self.family)
        return {role: self._hash(row, self._place(row))}

    def _hash(self, row: Row, folder: Path, parts: tuple[str, ...] = ("",)) -> str:
        """One hash over a row's files whose name starts with one of `parts`."""
        found = self._once(f"sha256:{row.id}", lambda: weight_hashes.verify(row, folder))
        return text_hash({name: digest for name, digest in found.items() if name.startswith(parts)})

    def _once(self, name: str, load: Callable[[], Any]) -> Any:
        # While a network is loaded, the libraries make every new parameter of the process an empty
        # one: two threads loading at once would spoil each other's networks.
        with self._loading:
            if name not in self._loaded:
                with self.announce(name.replace("sha256:", "and hashing ")):
                    self._loaded[name] = load()
                if name in PLACED or name.startswith("controlnet_"):
                    # Reading and merging leave gaps: 3.8 GB beside SDXL's motion UNet of 11.8.
                    give_back_memory()
            return self._loaded[name]

    def _place(self, row: Row) -> Path:
        refuse_blocked(row, self.family)
        folder = self._folders.get(row.id) or needed_weights.locate(row)
        if folder is None:
            raise absent([row], [row], self.family)
        return folder

    def _checked(self, row: Row) -> Path:
        """The row's folder, after its files were compared with what the registry promises."""
        folder = self._place(row)
        self._hash(row, folder)
        return folder

    def _pretrained(
        self, kind: Any, row: Row, part: str = "", dtype: torch.dtype | None = None, *, info: bool = False
    ) -> Any:
        """Safetensors only, offline, in the weights' dtype; with `info`, what was loaded and what was not."""
        folder = self._checked(row)
        try:
            return kind.from_pretrained(
                folder / part,
                variant=row.variant,
                use_safetensors=True,
                local_files_only=True,
                dtype=dtype or self.dtype,
                output_loading_info=info,
            )
        except (OSError, ValueError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise  # the weights are well
            raise self._unloadable(row, part, error) from error

    def _unloadable(self, row: Row, part: str, error: Exception) -> WeightsError:
        where = f"{row.id}/{part}".rstrip("/")
        fix = reinstall_or_fetch(row)
        return WeightsError("WGT-DAMAGED", f"{where} cannot be loaded: {str(error)[:200]}", fix=fix)

    def _load_unet(self) -> UNet2DConditionModel:
        return self._pretrained(UNet2DConditionModel, self._base_row, "unet")

    def _load_motion(self) -> UNetMotionModel:
        unet = self._load_unet()
        row = registry.get(self.base.motion_adapter, self.family)
        motion = build_motion_unet(unet, self._pretrained(MotionAdapter, row))
        merge_into_unet(motion, (*map(self._weighed, self.loras), *self.camera))
        if self.identity_scale is not None:
            try:
                ip_adapter.attach(motion, self._adapter_file(), self.identity_scale)
            except ip_adapter.UNFIT as error:
                raise self._unfit(self._adapter_row(), error) from error
        return motion

    def _adapter_row(self) -> Row:
        return registry.resolve("ip_adapter", self.family)

    def _adapter_file(self) -> Path:
        row = self._adapter_row()
        return self._checked(row) / row.files[0]

    def _unfit(self, row: Row, error: Exception) -> Exception:
        """The error of weights that cannot be loaded; memory that runs out is not theirs."""
        return error if is_out_of_memory(error) else self._unloadable(row, "", error)

    def _weighed(self, lora: Lora) -> Lora:
        return replace(lora, weight=self.strengths.get(lora.row.id, lora.weight))

    def _whole_unet(self) -> Any:
        return self._placed(self._merged(self._load_unet()))

    def _whole_motion(self) -> Any:
        return self._compiled(self._load_motion())

    def _controlnet(self, kind: Any, row: Row) -> Any:
        return self._run_by(kind, row.role, lambda: self._compiled(self._pretrained(kind, row)))

    def _run_by(self, kind: Any, role: str, load: Callable[[], Any]) -> Any:
        """A network as the plan's runtime computes it."""
        if (role if role in PLACED else "control") not in self._plan.converts:
            return load()
        loras = self.motion_lora_weights | self.strengths if role == "motion" else self.lora_weights
        weights: dict[str, Json] = {**self.weights_hash(role)}
        merged: dict[str, Json] = {**loras} if role in PLACED else {}
        identity: dict[str, Json] = {"files": weights, "loras": merged}
        if role == "motion" and self.identity_scale is not None:
            identity["adapter"] = [self.weights_hash("ip_adapter")["ip_adapter"], self.identity_scale]
        return ConvertedNetwork(
            kind.__name__, lambda: self._loading_alone(load), identity, lambda: self.converting
        )

    def _loading_alone(self, load: Callable[[], Any]) -> Any:
        with self._loading:
            return load()

    def _merged(self, unet: UNet2DConditionModel) -> UNet2DConditionModel:
        merge_into_unet(unet, self.loras)
        return unet

    def _load_vae(self) -> AutoencoderKL:
        named = registry.get(self.base.vae, self.family) if self.base.vae else None
        row, part = (named, "") if named else (self._base_row, "vae")
        dtype = self._vae_dtype(row)
        vae = self._pretrained(AutoencoderKL, row, part, dtype)
        vae = laid_out(vae.to(self.device), DeviceKind(self.device.type), "VAE")
        return network_arguments.only(vae.eval().requires_grad_(False))

    def _vae_dtype(self, row: Row) -> torch.dtype:
        """On a card fp16 where the VAE keeps within its range: right to a grey level, bf16 to seven.

        SDXL's own VAE overflows in fp16; the fixed one and nano's do not.
        """
        half = self.dtype in (torch.float16, torch.bfloat16)
        if half and self.device.type == "cuda" and (row.id in FP16_VAES or self.family is Family.nano):
            return torch.float16
        overflows = row.id not in FP16_VAES and self.family is Family.sdxl and self.dtype == torch.float16
        return torch.float32 if overflows else self.dtype

    def _encoder(self, kind: Any, part: str) -> Any:
        """A text encoder, whole: transformers fills what its file lacks with random numbers."""
        encoder, told = self._pretrained(kind, self._base_row, part, info=True)
        lacking = sorted(name for name in told["missing_keys"] if not name.endswith("position_ids"))
        if lacking:
            error = ValueError(f"{len(lacking)} weights are missing, such as {lacking[0]}")
            raise self._unloadable(self._base_row, part, error)
        return encoder

    def _load_text(self) -> TextStack:
        self._checked(self._base_row)
        names = [(name, kind) for name, kind in ENCODERS if (self._base / name).is_dir()]
        try:
            index = json.loads((self._base / "model_index.json").read_text(encoding="utf-8"))
            tokenizer = cast(Any, CLIPTokenizer)  # its loader is untyped
            tokenizers: list[Tokenizer] = [
                tokenizer.from_pretrained(self._base / name.replace("text_encoder", "tokenizer"))
                for name, _ in names
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unloadable(self._base_row, "tokenizer", error) from error

        def load() -> list[Any]:
            encoders = [self._encoder(kind, name) for name, kind in names]
            for (name, _), encoder in zip(names, encoders, strict=True):
                merge_into_encoder(encoder, name, self.loras)
            return [self._ready(encoder) for encoder in encoders]

        zero = bool(index.get("force_zeros_for_empty_prompt", False)) and len(names) == 2
        return TextStack(tokenizers, load, zero_empty=zero)

    def _placed(self, network: Any) -> Any:
        return network_arguments.only(place(network, self.device, self.dtype, self._plan, self._turns))

    def _compiled(self, network: Any) -> Any:
        placed, how = self._placed(network), self._plan.compile
        return placed if how is Compile.off else compile_blocks(placed, how)

    def _ready(self, network: Any) -> Any:
        return network_arguments.only(network.to(self.device, self.dtype).eval().requires_grad_(False))
