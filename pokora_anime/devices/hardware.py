"""What a machine brings: its kind, the memory that a run may use, and roughly how fast it computes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pokora_anime.devices.forecast import cards, rates
from pokora_anime.devices.forecast.cards import Card
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, DType, Family
from pokora_anime.system import process
from pokora_anime.system.processor_cores import usable_cores

GIB = 2**30
_ASSUMED = rates.Rates()
# Half-precision FLOP/s that networks reach on cards of that memory, where the card itself is unknown:
# an H100, an RTX 4090 and an RTX 3060 at about half of what their makers state.
_BY_MEMORY = ((64, 400e12), (20, 80e12), (0, 13e12))
# Multiply-adds that one multiprocessor finishes in a clock: bf16 inputs, fp32 sums, by capability.
_PER_CLOCK = {(7, 0): 512, (8, 0): 1024, (9, 0): 2048, (10, 0): 4096}
_PER_CLOCK_ELSE = 256
_REACHED = 0.5  # share of the stated arithmetic that the networks reach
_MPS = 1.8e12  # an Apple M2 in fp16: half of what is stated
_ASK_SECONDS = 10.0  # for a driver's own tool
_SHARED = 0.7  # of the memory of Apple silicon; the rest is the system's


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A device as the planner sees it; bytes (`memory`, `host`) and FLOP/s (`rate`, and `nano` of nano).

    `cores` are the processor's. `starting` is seconds until nano's first step, `delivering` the core-seconds
    that a delivered pixel takes. `stated` is the rate by which plans are put in order, 0 where it is `rate`.
    """

    kind: DeviceKind
    name: str
    memory: int
    host: int
    rate: float
    dtype: DType
    cores: int = 1
    nano: float = 0.0
    starting: float = _ASSUMED.starting
    delivering: float = _ASSUMED.delivering
    stated: float = 0.0

    def rate_of(self, family: Family) -> float:
        """FLOP/s that a base's networks reach."""
        return self.nano or self.rate if family is Family.nano else self.rate

    @property
    def nominal(self) -> Self:
        """The same at its stated rate: a measurement must change no plan, because a plan may change bits."""
        return replace(self, rate=self.stated, nano=0.0) if self.stated else self

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
    known = rates.here()
    return Hardware(
        kind=DeviceKind.cpu,
        name=f"{cores} CPU core{'s' if cores > 1 else ''}",
        memory=memory,
        host=memory,
        rate=cores * known.core(dtype, Family.sdxl),
        nano=cores * known.core(dtype, Family.nano),
        dtype=dtype,
        cores=cores,
        starting=known.starting,
        delivering=known.delivering,
    )


def of_card(card: Card, config: DeviceConfig) -> Hardware:
    """A card of the table with the machine that is usually around it, or with device.memory_gb of it."""
    whole, given = round(card.memory_gb * GIB), round(config.memory_gb * GIB)
    shared = card.kind is DeviceKind.mps
    dtype = card.dtype if config.dtype is DType.auto else config.dtype
    return Hardware(
        kind=card.kind,
        name=card.name,
        memory=given or (round(_SHARED * whole) if shared else whole),
        host=whole if shared else round(card.host_gb * GIB),
        rate=card.rate / (8 if dtype is DType.fp32 else 1),
        dtype=dtype,
        cores=card.cores,
    )


def measured(config: DeviceConfig) -> Hardware | None:
    """This machine's card as `pokora bench rates` found it; None without one, or for another kind."""
    known = rates.here()
    card = known.accelerator
    if card is None or config.kind not in (DeviceKind.auto, card.kind):
        return None
    dtype, host = _half(config.dtype, card.kind), memory_here()[1]
    return Hardware(
        kind=card.kind,
        name=card.name,
        memory=round(config.memory_gb * GIB) or card.memory,
        host=host,
        rate=card.rate / (8 if dtype is DType.fp32 else 1),
        dtype=dtype,
        cores=usable_cores(),
        starting=known.starting,
        delivering=known.delivering,
    )


def _rate_of(name: str) -> float:
    """FLOP/s of a card by its measurement, else by the table; 0 where neither knows it."""
    known = rates.here().accelerator
    if known is not None and known.name == name:
        return known.rate
    try:
        card = cards.named(name)
    except ConfigError:  # the user's table is damaged, and no run may end for a forecast
        return 0.0
    return card.rate if card else 0.0


def read(config: DeviceConfig, device: object, dtype: object) -> Hardware:
    """The settled `torch.device` and `torch.dtype` of a run; a card's free memory is asked for."""
    import torch

    from pokora_anime.system.typed_tensors import card as driver_card

    assert isinstance(device, torch.device)
    name = str(dtype).removeprefix("torch.")
    short = {"float32": DType.fp32, "bfloat16": DType.bf16, "float16": DType.fp16}[name]
    given = round(config.memory_gb * GIB)
    if device.type == "cpu":
        settled = DeviceConfig(threads=config.threads, dtype=short)
        return of_cpu(settled, given, bf16=short is DType.bf16)
    host = memory_here()[1]
    if device.type == "mps":
        name, known = told_name() or "Apple silicon", rates.here()
        return Hardware(
            kind=DeviceKind.mps,
            name=name,
            memory=given or shared_memory(),
            host=host,
            rate=_rate_of(name) or _MPS,
            dtype=short,
            cores=usable_cores(),
            starting=known.starting,
            delivering=known.delivering,
        )
    card = driver_card(device)
    free = int(torch.cuda.mem_get_info(device)[0])
    per_clock = _PER_CLOCK.get((card.major, card.minor), _PER_CLOCK_ELSE)
    clock = float(getattr(card, "clock_rate", 1_500_000)) * 1e3
    stated = 2 * per_clock * card.multi_processor_count * clock * _REACHED
    known, slower = rates.here(), 8 if short is DType.fp32 else 1
    return Hardware(
        kind=DeviceKind.cuda,
        name=card.name,
        memory=min(free, given) if given else free,
        host=host,
        rate=(_rate_of(card.name) or stated) / slower,
        dtype=short,
        cores=usable_cores(),
        starting=known.starting,
        delivering=known.delivering,
        stated=stated / slower,
    )


def _half(asked: DType, kind: DeviceKind) -> DType:
    if asked is not DType.auto:
        return asked
    return DType.fp16 if kind is DeviceKind.mps else DType.bf16


def shared_memory() -> int:
    """Bytes of this machine's memory that its own Apple GPU may use."""
    return round(_SHARED * memory_here()[1])


def told_name() -> str:
    """The name of this machine's card by its driver, or of Apple's chip; empty where nobody tells."""
    ask = ["sysctl", "-n", "machdep.cpu.brand_string"]
    if sys.platform != "darwin":
        ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=_ASK_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(told.splitlines()), "").strip()


def cpu_bf16() -> bool:
    """Whether a run takes bf16 on this processor: what machine.cpu_has_bf16 asks torch, without torch."""
    try:
        flags = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False
    return " avx512_bf16" in flags


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
