"""OpenVINO as a runtime: whether it is there, and where converted networks lie. Torch-free."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pokora_anime.provenance.hashing import text_hash
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import DeviceKind, Identity, RunConfig, Runtime, VideoConfig
from pokora_anime.system.files.user_folder import data_folder

PACKAGE = "openvino"
FIX = "pip install openvino, or device.runtime=torch"


def installed() -> str:
    """The version of OpenVINO; empty where it is not installed."""
    try:
        return version(PACKAGE) if find_spec(PACKAGE) is not None else ""
    except PackageNotFoundError:
        return ""


@cache
def named() -> str:
    """How a node calls the runtime: its name and version."""
    return f"{PACKAGE} {installed().split('-')[0]}"


def asked(config: RunConfig) -> bool:
    """Whether a run may be computed by OpenVINO: by what is typed, on a processor or a GPU of Intel."""
    device = config.device
    wanted = device.runtime is not Runtime.torch and device.kind in (DeviceKind.auto, DeviceKind.cpu)
    return wanted and bool(installed())


def chosen(config: RunConfig) -> Runtime:
    """What is typed where it can be had; `auto` is openvino if this composition was converted before."""
    if not asked(config):
        return Runtime.torch
    if config.device.runtime is Runtime.auto and not any(kept(config).glob("*/about.json")):
        return Runtime.auto
    return Runtime.openvino


def refusal(config: RunConfig) -> str:
    """Why a run that asks for OpenVINO is computed by torch, in one line; empty where nothing bars it."""
    device = config.device
    if device.runtime is not Runtime.openvino:
        return ""
    if device.kind not in (DeviceKind.auto, DeviceKind.cpu):
        got = f"device.runtime=openvino with device.kind={device.kind.value}"
        return f"{got}: torch computes; OpenVINO runs on CPUs and Intel GPUs"
    lacking = f"device.runtime=openvino and OpenVINO is not installed: torch computes; {FIX}"
    return "" if installed() else lacking


def folder() -> Path:
    """Where converted networks are kept between runs; it may be removed at any time."""
    return data_folder() / "converted"


def kept(config: RunConfig) -> Path:
    """Where those of a composition are kept: another prompt, seed or number of steps is the same one.

    Another release of this package or of a library converts anew.
    """
    told: dict[str, object] = {
        "versions": [installed(), *(version(name) for name in ("torch", "diffusers", "pokora_anime"))],
        "base": part(config.base),
        "lora": [config.speed.lora_role, config.speed.lora_weight],
        "style": part(config.style),
        "guided": config.speed.guidance_scale > 1.0 and config.speed.guidance_batched,
    }
    if isinstance(config, VideoConfig):
        told["motion"] = [config.motion.frames, config.motion.anchor.value, config.motion.lora]
        if config.keyframe.identity is Identity.adapter:
            told["identity"] = config.keyframe.identity_scale
        told["clip_guidance_end"] = config.speed.clip_guidance_end
        told["control"] = [kind.value for kind in config.control.kinds]
    return folder() / text_hash(told)[:16]
