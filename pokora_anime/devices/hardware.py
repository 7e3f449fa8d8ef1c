"""What a machine brings: its kind, the memory that a run may use, and roughly how fast it computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pokora_anime import process
from pokora_anime.config.compose import usable_cores
from pokora_anime.config.schema import DeviceConfig, DeviceKind, DType

GIB = 2**30
# Half-precision FLOP/s that networks reach on cards of that memory, where the card itself is unknown:
# an H100, an RTX 4090 and an RTX 3060 at about half of what their makers state.
_BY_MEMORY = ((64, 400e12), (20, 80e12), (0, 13e12))
# Multiply-adds that one multiprocessor finishes in a clock: bf16 inputs, fp32 sums, by capability.
_PER_CLOCK = {(7, 0): 512, (8, 0): 1024, (9, 0): 2048, (10, 0): 4096}
_PER_CLOCK_ELSE = 256
_REACHED = 0.5  # share of the stated arithmetic that the networks reach
# FLOP/s that nano's motion UNet reaches on one core of an EPYC with AVX512-bf16 (`pokora bench gpu`).
_CORE = {"fp32": 75e9, "bf16": 120e9}
_MPS = 4e12  # an M2 in fp16


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A device as the planner sees it; `memory` and `host` are bytes, `rate` is FLOP/s.

    `cores` are the processor's.
    """

    kind: DeviceKind
    name: str
    memory: int
    host: int
    rate: float
    dtype: DType
    cores: int = 1

    @property
    def weight_bytes(self) -> int:
        """Bytes of a parameter; a CPU that computes in bf16 keeps fp32 weights."""
        return 4 if self.kind is DeviceKind.cpu or self.dtype is DType.fp32 else 2

    @property
    def number_bytes(self) -> int:
        """Bytes of a number between layers; under autocast some stay in fp32."""
        return 4 if self.kind is DeviceKind.cpu or self.dtype is DType.fp32 else 2


def described(config: DeviceConfig, *, bf16: bool) -> Hardware:
    """The machine that a config names by `memory_gb`: no torch, and no card, is needed for it.

    With kind auto it is a CUDA card: other devices share the memory of the system, which is read.
    `bf16`: whether this processor has that arithmetic.
    """
    kind = DeviceKind.cuda if config.kind is DeviceKind.auto else config.kind
    memory = round(config.memory_gb * GIB)
    if kind is DeviceKind.cpu:
        return of_cpu(config, memory, bf16=bf16)
    name = f"{'CUDA card' if kind is DeviceKind.cuda else 'Apple silicon'} with {config.memory_gb:g} GB"
    dtype = _half(config.dtype, kind)
    rate = _MPS if kind is DeviceKind.mps else next(r for least, r in _BY_MEMORY if config.memory_gb >= least)
    return Hardware(
        kind=kind,
        name=name,
        memory=memory,
        host=memory if kind is DeviceKind.mps else memory_here()[1],
        rate=rate / (8 if dtype is DType.fp32 else 1),
        dtype=dtype,
        cores=usable_cores(),
    )


def of_cpu(config: DeviceConfig, memory: int, *, bf16: bool) -> Hardware:
    """This processor. Its whole memory counts, not what is free: a run must plan the same every time."""
    dtype = DType.fp32 if config.dtype is DType.fp32 or not bf16 else DType.bf16
    cores = config.threads or usable_cores()
    memory = memory or memory_here()[1]
    rate = cores * _CORE[dtype.value]
    return Hardware(
        kind=DeviceKind.cpu,
        name=f"{cores} CPU core{'s' if cores > 1 else ''}",
        memory=memory,
        host=memory,
        rate=rate,
        dtype=dtype,
        cores=cores,
    )


def read(config: DeviceConfig, device: object, dtype: object) -> Hardware:
    """The settled `torch.device` and `torch.dtype` of a run; a card's free memory is asked for."""
    import torch

    assert isinstance(device, torch.device)
    name = str(dtype).removeprefix("torch.")
    short = {"float32": DType.fp32, "bfloat16": DType.bf16, "float16": DType.fp16}[name]
    given = round(config.memory_gb * GIB)
    if device.type == "cpu":
        settled = DeviceConfig(threads=config.threads, dtype=short)
        return of_cpu(settled, given, bf16=short is DType.bf16)
    host = memory_here()[1]
    if device.type == "mps":
        kind, memory = DeviceKind.mps, given or round(0.7 * host)  # the rest is the system's
        return Hardware(
            kind=kind,
            name="Apple silicon",
            memory=memory,
            host=host,
            rate=_MPS,
            dtype=short,
            cores=usable_cores(),
        )
    card = torch.cuda.get_device_properties(device)
    free = int(torch.cuda.mem_get_info(device)[0])
    per_clock = _PER_CLOCK.get((card.major, card.minor), _PER_CLOCK_ELSE)
    clock = float(getattr(card, "clock_rate", 1_500_000)) * 1e3
    rate = 2 * per_clock * card.multi_processor_count * clock * _REACHED
    return Hardware(
        kind=DeviceKind.cuda,
        name=card.name,
        memory=min(free, given) if given else free,
        host=host,
        rate=rate / (8 if short is DType.fp32 else 1),
        dtype=short,
        cores=usable_cores(),
    )


def _half(asked: DType, kind: DeviceKind) -> DType:
    if asked is not DType.auto:
        return asked
    return DType.fp16 if kind is DeviceKind.mps else DType.bf16


def memory_here() -> tuple[int, int]:
    """(free, total) bytes that this process may use; a container's limit counts. Zeros if unknown."""
    free, total = process.memory()
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        statistics = dict(
            line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        )
        used -= int(statistics.get("inactive_file", 0))  # cache that the kernel gives back when asked
        free, total = min(free, max(0, limit - used)), min(total, limit)
    except (OSError, ValueError):  # no cgroup v2, or no limit ("max")
        pass
    return free, total
