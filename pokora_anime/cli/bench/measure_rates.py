"""`pokora bench rates`: how fast this machine is, measured once and kept for every forecast on it.

Two short nano clips, which differ in their delivered size alone, tell start-up, networks and delivery apart.
Layers of SDXL's shapes tell how much faster wide networks are, on the processor and on a card.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pokora_anime.cli.bench.video_bench import clip_marks
from pokora_anime.config.compose import compose
from pokora_anime.devices import hardware
from pokora_anime.devices.forecast import rates
from pokora_anime.devices.forecast.rates import Accelerator, Rates
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.machine import cuda_has_bf16
from pokora_anime.errors import MachineError
from pokora_anime.schema.settings import DeviceKind, DType
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.processor_cores import usable_cores

CLIP = ("base=nano", "device.kind=cpu", "shot.seconds=2")
_SIDES = (256, 768)  # of the delivered frames
_ROUNDS = 3
_IDLE = 0.5  # load a core, at most
_LEVELS = ((640, 48), (1280, 24))  # channels and latent side of SDXL's two inner levels at 768x768
_TEXT, _HEAD, _TIME, _WORDS = 2048, 64, 1280, 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A rendered clip: seconds until its first step and from there to its end, pixels, FLOP."""

    starting: float
    seconds: float
    delivered: int
    flops: float


def measure(out: Path) -> dict[str, object]:
    """Render, time, keep; returns what was kept. MachineError SYS-BENCH on a machine too busy to tell."""
    cores, dtype = usable_cores(), DType.bf16 if hardware.cpu_bf16() else DType.fp32
    if remark := busy(cores):
        print(remark, file=sys.stderr)
    clips = [_clip(out, side) for side in _SIDES]
    nano, delivering = apart(clips[0], clips[1], cores)
    torch.set_num_threads(cores)
    found = Rates(
        dtype=dtype,
        nano=nano,
        wide=wide(torch.device("cpu"), torch.bfloat16 if dtype is DType.bf16 else torch.float32) / cores,
        starting=min(clip.starting for clip in clips),
        delivering=delivering,
        accelerator=_accelerator(),
        measured=str(date.today()),
        machine=rates.processor(),
    )
    keep(found)
    return {**found.to_json(), "cores": cores, "kept": str(rates.path())}


def busy(cores: int) -> str:
    """A line where others keep this machine busy; empty where they do not, or where it cannot be told."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= _IDLE * cores:
        return ""
    return (
        f"busy (load {load:.1f} on {cores} cores): these rates are of what is left; measure again once idle"
    )


def apart(small: Clip, large: Clip, cores: int) -> tuple[float, float]:
    """FLOP/s of a core, and core-seconds a delivered pixel, of two clips that differ in their pixels alone.

    Raises MachineError SYS-BENCH where the times contradict each other.
    """
    delivering = (large.seconds - small.seconds) * cores / (large.delivered - small.delivered)
    computing = small.seconds - delivering * small.delivered / cores
    if delivering <= 0 or computing <= 0:
        raise MachineError(
            "SYS-BENCH",
            f"clips of {small.seconds:.1f} s and {large.seconds:.1f} s tell no rates",
            expected="a machine that does nothing else",
            fix="pokora bench rates, once it is idle",
        )
    return small.flops / computing / cores, delivering


def wide(device: torch.device, dtype: torch.dtype, levels: Sequence[tuple[int, int]] = _LEVELS) -> float:
    """FLOP/s that a ResNet block and a transformer block of both inner levels of SDXL reach, at best."""
    flops, seconds = 0.0, 0.0
    for channels, side in levels:
        work = _level(channels, side, device, dtype)
        with FlopCounterMode(display=False) as counted:
            work()
        flops += counted.get_total_flops()
        seconds += min(_timed(work, device) for _ in range(_ROUNDS))
    return flops / seconds


def keep(found: Rates) -> None:
    """Write the rates where forecasts look for them. Raises MachineError SYS-*."""
    path = rates.path()
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, (json.dumps(found.to_json(), indent=2) + "\n").encode())


def _clip(out: Path, side: int) -> Clip:
    words = (*CLIP, f"finish.width={side}", f"finish.height={side}")
    job, marks = Job.of(compose("video", words)), clip_marks(out, words)
    started = marks["first step"]
    return Clip(
        starting=started,
        seconds=marks["finished"] - started,
        delivered=job.delivered,
        flops=job.flops(tiled=False),
    )


def _level(channels: int, side: int, device: torch.device, dtype: torch.dtype) -> Callable[[], Tensor]:
    """A pass of both blocks on random numbers. A processor keeps fp32 weights and casts, as in a run."""
    held = torch.float32 if device.type == "cpu" else dtype
    resnet: nn.Module = ResnetBlock2D(in_channels=channels, out_channels=channels, temb_channels=_TIME)
    block: nn.Module = BasicTransformerBlock(channels, channels // _HEAD, _HEAD, cross_attention_dim=_TEXT)
    for network in (resnet, block):
        network.to(device, held).eval().requires_grad_(False)
    shapes = ((1, channels, side, side), (1, _TIME), (1, _WORDS, _TEXT))
    picture, moment, text = (torch.randn(shape, device=device, dtype=held) for shape in shapes)
    cast: AbstractContextManager[object] = nullcontext()
    if device.type == "cpu" and dtype is torch.bfloat16:
        cast = torch.autocast("cpu", dtype=dtype)

    def work() -> Tensor:
        with torch.inference_mode(), cast:
            seen: Tensor = resnet(picture, moment)
            return block(seen.flatten(2).transpose(1, 2), encoder_hidden_states=text)

    return work


def _timed(work: Callable[[], Tensor], device: torch.device) -> float:
    _wait(device)
    begun = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _accelerator() -> Accelerator | None:
    """This machine's card, if torch can use one."""
    if torch.cuda.is_available():
        device = torch.device("cuda")
        rate = wide(device, torch.bfloat16 if cuda_has_bf16() else torch.float16)
        memory = int(torch.cuda.mem_get_info(device)[0])
        name = torch.cuda.get_device_name(device)
        return Accelerator(kind=DeviceKind.cuda, name=name, memory=memory, rate=rate)
    if torch.backends.mps.is_available():
        rate, memory = wide(torch.device("mps"), torch.float16), hardware.shared_memory()
        return Accelerator(kind=DeviceKind.mps, name=hardware.told_name(), memory=memory, rate=rate)
    return None
