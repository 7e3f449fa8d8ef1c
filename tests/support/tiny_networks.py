"""Tiny random families of real diffusers and transformers classes: seconds to build, exact to test with.

`family(folder, kind)` writes one; `models`, `context` and `config` make what a stage needs of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    MotionAdapter,
    UNet2DConditionModel,
)
from peft import LoraConfig as PeftLora
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pokora_anime.catalogue import registry
from pokora_anime.nano.tokenizer import build_tokenizer
from pokora_anime.networks.loader import Models
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.schema.settings import (
    BaseConfig,
    ControlConfig,
    ControlKind,
    Family,
    LoraConfig,
    MotionConfig,
    Sampler,
    ShotConfig,
    SpeedConfig,
    VideoConfig,
)
from pokora_anime.stages.run_context import RunContext

FamilyKind = Literal["sdxl", "sd2"]
SIZE = 32  # pixels a side
TEXT, GROUPS, CHANNELS = 16, 8, (16, 32)
WORDS = ("girl", "blue", "hair", "twintails", "waving", "smile", "bad", "anatomy")
# Which row of the registry each member of the folder stands for.
ROWS: dict[FamilyKind, dict[str, str]] = {
    "sdxl": {
        "nano": "",
        "nano-motion": "motion_adapter",
        "nano-controlnet-pose": "controlnet_pose",
        "nano-controlnet-depth": "controlnet_depth",
        "nano-lcm": "lora_lcm",
        "nano-pose": "pose_extractor",
        "nano-depth": "depth_extractor",
    },
    "sd2": {
        "sd2-1": "",
        "animatediff-v1-5-3": "motion_adapter",
        "controlnet-openpose-sd21": "controlnet_pose",
        "controlnet-depth-sd21": "controlnet_depth",
    },
}


def family(folder: Path, kind: FamilyKind = "sdxl") -> Path:
    """Write a random family; 'sdxl' plays the registry's nano rows, 'sd2' its sd2 rows."""
    torch.manual_seed(0)
    variant = "fp16" if kind == "sd2" else None
    unet = UNet2DConditionModel(**_unet_arguments(kind))
    unet.save_pretrained(folder / "unet", variant=variant)
    _text(folder, kind, variant)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
        scaling_factor=0.5,
    ).save_pretrained(folder / "vae", variant=variant)
    DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.020, beta_schedule="scaled_linear", prediction_type="v_prediction"
    ).save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": False}
    (folder / "model_index.json").write_text(json.dumps(index))
    _motion_adapter().save_pretrained(folder / "motion_adapter", variant=variant)
    for control in ("pose", "depth"):
        network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 8, 8))
        network.save_pretrained(folder / f"controlnet_{control}")
    lora(folder / "lora_lcm", unet)
    if kind == "sdxl":
        _extractors(folder)
    return folder


def lora(folder: Path, unet: UNet2DConditionModel, seed: int = 1, strength: float = 0.3) -> Path:
    """A random LoRA for every attention projection, a convolution and a time layer, in diffusers' format."""
    torch.manual_seed(seed)
    layers = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "time_emb_proj"]
    copy = UNet2DConditionModel.from_config(unet.config)
    copy.add_adapter(PeftLora(r=2, lora_alpha=2, target_modules=layers, init_lora_weights=False))
    state = get_peft_model_state_dict(copy)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"unet.{name}": (value * strength).contiguous() for name, value in state.items()}
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    return folder


def config(kind: FamilyKind = "sdxl", speed: Sampler = Sampler.lcm, steps: int = 2) -> VideoConfig:
    """A composition for the tiny family: 4 frames a segment, 2 steps."""
    base = (
        BaseConfig(family=Family.nano, weights="nano", motion_adapter="nano-motion", width=SIZE, height=SIZE)
        if kind == "sdxl"
        else BaseConfig(
            family=Family.sd2, weights="sd2-1", motion_adapter="animatediff-v1-5-3", width=SIZE, height=SIZE
        )
    )
    lcm = speed is Sampler.lcm and kind == "sdxl"
    other = Sampler.dpmpp_2m_karras if speed is Sampler.lcm else speed
    return VideoConfig(
        seed=7,
        base=base,
        shot=ShotConfig(prompt="girl, (blue hair:1.2), waving", negative="bad anatomy"),
        speed=SpeedConfig(
            name="lcm" if lcm else "hq",
            sampler=Sampler.lcm if lcm else other,
            steps=steps,
            guidance_scale=1.7,
            lora_role="lcm" if lcm else None,
        ),
        control=ControlConfig(kinds=[ControlKind.pose, ControlKind.depth]),
        motion=MotionConfig(frames=4, overlap=2),
    )


def places(folder: Path, kind: FamilyKind = "sdxl") -> dict[str, Path]:
    """The folder of each registry row, for `Models(folders=...)`."""
    return {row: folder / part for row, part in ROWS[kind].items()}


def models(
    folder: Path,
    kind: FamilyKind = "sdxl",
    settings: VideoConfig | None = None,
    loras: Sequence[LoraConfig] = (),
    device: str = "cpu",
    **more: Path,
) -> Models:
    """The family's networks; `more` adds folders by row id (with _ for -)."""
    settings = settings or config(kind)
    extra = {name.replace("_", "-"): path for name, path in more.items()}
    return Models(
        settings.base,
        settings.speed,
        loras,
        torch.device(device),
        torch.float32,
        folders=places(folder, kind) | extra,
        motion=settings.motion,
    )


class Silent:
    """A progress display that remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.steps = 0

    def stage(self, name: str, total: int = 0, detail: str = "") -> None:
        del total, detail
        self.stages.append(name)

    def step(self, detail: str = "") -> None:
        del detail
        self.steps += 1

    def note(self, message: str) -> None:
        self.notes.append(message)


class Kept(Models):
    """The same networks for clip after clip."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Those of a tiny SDXL family."""
        settings = config()
        return cls(
            settings.base, settings.speed, (), torch.device("cpu"), torch.float32, folders=places(folder)
        )

    def free(self, *names: str) -> None:
        del names


def context(run: Path, networks: Models, seed: int = 7) -> RunContext:
    """A run context that writes under `run`."""
    return RunContext(
        folder=RunFolder.open(run, "video", "tiny", "0" * 64, fresh=False),
        models=networks,
        progress=Silent(),
        device=networks.device,
        dtype=torch.float32,
        threads=1,
        seed=seed,
    )


def _unet_arguments(kind: FamilyKind) -> dict[str, object]:
    added: dict[str, object] = {
        "cross_attention_dim": 2 * TEXT,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": TEXT + 6 * 8,
    }
    return {
        "sample_size": SIZE // 8,
        "block_out_channels": CHANNELS,
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (1, 2),
        "use_linear_projection": True,
        "norm_num_groups": GROUPS,
        **(added if kind == "sdxl" else {"cross_attention_dim": TEXT}),
    }


def _text(folder: Path, kind: FamilyKind, variant: str | None) -> None:
    tokenizer = build_tokenizer(WORDS)
    settings = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT,
        intermediate_size=2 * TEXT,
        projection_dim=TEXT,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    CLIPTextModel(settings).save_pretrained(folder / "text_encoder", variant=variant)
    tokenizer.save_pretrained(folder / "tokenizer")
    if kind == "sd2":  # the published bases have the older files
        tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
        special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "!"}
        (folder / "tokenizer" / "special_tokens_map.json").write_text(json.dumps(special))
        (folder / "tokenizer" / "tokenizer.json").unlink()
    if kind == "sdxl":
        CLIPTextModelWithProjection(settings).save_pretrained(folder / "text_encoder_2")
        tokenizer.save_pretrained(folder / "tokenizer_2")


def _motion_adapter() -> MotionAdapter:
    adapter = MotionAdapter(
        block_out_channels=CHANNELS,
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=GROUPS,
        use_motion_mid_block=False,
    )
    for name, parameter in adapter.named_parameters():
        # diffusers starts proj_out at zero: the temporal layers would do nothing at all.
        if "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return adapter


def _extractors(folder: Path) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    from pokora_anime.nano.nano_extractors import PoseExtractor

    PoseExtractor((8, 8, 8, 8)).save_pretrained(folder / "pose_extractor")
    backbone = Dinov2Config(
        image_size=SIZE,
        patch_size=8,
        hidden_size=12,
        num_hidden_layers=4,
        num_attention_heads=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    depth = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=8,
        reassemble_hidden_size=12,
        neck_hidden_sizes=[4, 4, 4, 4],
        fusion_hidden_size=4,
        head_hidden_size=4,
    )
    DepthAnythingForDepthEstimation(depth).save_pretrained(folder / "depth_extractor")
    processor = registry.REGISTRY.parent.parent / "nano/weights/depth_extractor/preprocessor_config.json"
    settings = json.loads(processor.read_text()) | {"size": {"height": SIZE, "width": SIZE}}
    (folder / "depth_extractor" / "preprocessor_config.json").write_text(json.dumps(settings))
