"""The family as it is shipped: fp16 safetensors in the diffusers SDXL layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    MotionAdapter,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    DepthAnythingForDepthEstimation,
)

from pokora_anime.nano import family
from pokora_anime.nano.crisp import Crisp
from pokora_anime.nano.nano_extractors import PoseExtractor
from pokora_anime.nano.recipe import PROBE
from pokora_anime.nano.train.lora_layers import LORA_FILE, make_lora_weights, save_kohya
from pokora_anime.nano.train.training_loop import Place

SHARD = "14MB"
CHOREOGRAPHER = "choreographer"
LARGEST_FILE, LARGEST_FAMILY = 15_000_000, 60_000_000
STYLES = {"lora_pastel": "nano_pastel.safetensors", "lora_flat_color": "nano_flat_color.safetensors"}
LICENSE = """CC0 1.0 Universal (public domain dedication)

The pictures that these weights were trained on are drawn by the code of this
repository, and the training was run by its authors. To the extent possible
under law, the authors waive all copyright and related or neighbouring rights
in everything in this folder, worldwide, under the Creative Commons CC0 1.0
Universal dedication: https://creativecommons.org/publicdomain/zero/1.0/

You may use, change and share the weights for any purpose, without asking.
They come as they are, without any warranty.
"""


def export_family(place: Place, target: Path) -> None:
    """Writes every member; one that is not trained yet is written with random weights.

    Style LoRAs, each with a copy in kohya's format, and the probe are there once they are trained.
    Raises ValueError where `target` holds something else than a family.
    """
    refuse_foreign(target)
    torch.manual_seed(place.seed)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    unet = _pipeline(place, part)
    for name, module in _extras(place, unet).items():
        module.half().save_pretrained(part / name)
    _lcm(place, unet, part)
    for name, kohya in STYLES.items():
        _style(place, name, part, kohya)
    for name in (PROBE, CHOREOGRAPHER):  # in formats of their own
        if (place.family / name).exists():
            shutil.copytree(place.family / name, part / name)
    _processor(part / "depth_extractor")
    for record in sorted(place.family.glob("*/training*.json")):
        if (part / record.parent.name).exists():
            shutil.copyfile(record, part / record.parent.name / record.name)
    (part / "LICENSE").write_text(LICENSE)
    _strip_paths(part)
    write_manifest(part)
    _check_sizes(part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    print(f"exported to {target}", flush=True)


def _pipeline(place: Place, part: Path) -> UNet2DConditionModel:
    tokenizer = family.make_tokenizer()
    unet = _member(place, "unet", UNet2DConditionModel, family.make_unet)
    pipeline = StableDiffusionXLPipeline(
        vae=_member(place, "vae", AutoencoderKL, family.make_vae),
        text_encoder=_member(
            place, "text_encoder", CLIPTextModel, lambda: family.make_text_encoder(tokenizer)
        ),
        text_encoder_2=_member(
            place,
            "text_encoder_2",
            CLIPTextModelWithProjection,
            lambda: family.make_text_encoder_2(tokenizer),
        ),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=family.make_scheduler(),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(part, max_shard_size=SHARD)
    return unet


def _extras(place: Place, unet: UNet2DConditionModel) -> dict[str, nn.Module]:
    def controlnet():
        return family.make_controlnet(unet.float())

    return {
        "motion_adapter": _member(place, "motion_adapter", MotionAdapter, family.make_motion_adapter),
        "controlnet_pose": _member(place, "controlnet_pose", ControlNetModel, controlnet),
        "controlnet_depth": _member(place, "controlnet_depth", ControlNetModel, controlnet),
        "vae_tiny": _member(place, "vae_tiny", AutoencoderTiny, family.make_vae_tiny),
        "pose_extractor": _member(place, "pose_extractor", PoseExtractor, family.make_pose_extractor),
        "crisp": _member(place, "crisp", Crisp, Crisp),
        "depth_extractor": _member(
            place, "depth_extractor", DepthAnythingForDepthEstimation, family.make_depth_extractor
        ),
    }


def _member(place: Place, name: str, kind: type[nn.Module], build: Callable[[], nn.Module]) -> nn.Module:
    folder = place.family / name
    return kind.from_pretrained(folder) if (folder / "config.json").exists() else build()


def _lcm(place: Place, unet: UNet2DConditionModel, part: Path) -> None:
    trained = place.family / "lora_lcm" / LORA_FILE
    save_lora(load_file(trained) if trained.exists() else make_lora_weights(unet.float()), part / "lora_lcm")


def _style(place: Place, name: str, part: Path, kohya: str) -> None:
    """An untrained style would be a switch that does nothing, so it is left out."""
    trained = place.family / name / LORA_FILE
    if trained.exists():
        weights = load_file(trained)
        save_lora(weights, part / name)
        save_kohya(weights, part / name / kohya)


def save_lora(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """The layers as they are shipped, in fp16."""
    folder.mkdir(exist_ok=True)
    half = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    save_file(half, folder / LORA_FILE, metadata={"format": "pt"})


def _processor(folder: Path) -> None:
    """What `transformers.pipeline("depth-estimation")` needs beside the weights."""
    config = {
        "image_processor_type": "DPTImageProcessor",
        "do_resize": True,
        "size": {"height": family.DEPTH_INPUT, "width": family.DEPTH_INPUT},
        "keep_aspect_ratio": False,
        "ensure_multiple_of": 8,
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_pad": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _strip_paths(folder: Path) -> None:
    """Drops the places that weights were loaded from: they name this machine's folders."""
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_manifest(folder: Path) -> None:
    """MANIFEST.json: sha256 of every other file, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "MANIFEST.json")
    table = {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}
    (folder / "MANIFEST.json").write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


def _check_sizes(folder: Path) -> None:
    sizes = {p: p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    large = [p.name for p, size in sizes.items() if size > LARGEST_FILE]
    if large or sum(sizes.values()) > LARGEST_FAMILY:
        raise ValueError(
            f"the family takes {sum(sizes.values()) / 1e6:.1f} MB with files over 15 MB: {large};"
            " at most 60 MB in all and 15 MB a file may be shipped"
        )


def refuse_foreign(target: Path) -> None:
    """Raises ValueError where an export would replace a folder (or a file) that is no exported family."""
    known = (target / "MANIFEST.json").is_file() and (target / "model_index.json").is_file()
    empty = target.is_dir() and not any(target.iterdir())
    if target.exists() and not known and not empty:
        raise ValueError(f"--export {target} holds something else than a family; choose a new folder")
