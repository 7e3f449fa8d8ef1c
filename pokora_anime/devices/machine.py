"""What to compute with: device, number format, threads, and the switches that make it repeatable."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pokora_anime.devices import driver
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, DType
from pokora_anime.system import process
from pokora_anime.system.processor_cores import usable_cores

if TYPE_CHECKING:
    import torch


# M_MMAP_THRESHOLD (at the most that older ones take) and M_TRIM_THRESHOLD of mallopt(3), in bytes.
_KEPT = {-3: 32 << 20, -1: 512 << 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The device that a run uses, settled: nothing is `auto` any more."""

    device: torch.device
    dtype: torch.dtype
    threads: int


@dataclass(slots=True)
class Timeline:
    """Moments of a run in seconds since its process started; written beside the log, never sealed."""

    marks: list[tuple[str, float]] = field(default_factory=list)

    def mark(self, name: str) -> None:
        """Note that `name` happened now; a name counts the first time only."""
        if any(known == name for known, _ in self.marks):
            return
        self.marks.append((name, round(time.time() - process.started(), 3)))


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 itself (emulated bf16 is slower than fp32)."""
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe()) if probe is not None else False


def cuda_has_bf16() -> bool:
    """Whether the card computes in bf16 itself: below capability 8.0 cuDNN has no such convolutions."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def settle(config: DeviceConfig) -> Machine:
    """Choose device, dtype and threads, and switch torch to repeatable results.

    Raises ConfigError for a device or a dtype that this machine lacks, MachineError SYS-DRIVER for a card
    that torch cannot use, unless kind is cpu.
    """
    # cuBLAS reads this when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    device = torch.device(_device(config.kind).value)
    threads = config.threads or usable_cores()
    torch.set_num_threads(threads)
    if device.type == "cpu":
        keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if device.type == "cuda":
        # A warning only: the few operations without a repeatable version must not end a run.
        torch.use_deterministic_algorithms(True, warn_only=True)
    return Machine(device=device, dtype=_dtype(config.dtype, device), threads=threads)


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next layer; whether it does. Other C libraries are left alone.

    By default it gives large blocks back to the system, which zeroes them page by page for the layer after.
    """
    setting = _of_c("mallopt")
    return setting is not None and all(setting(name, value) for name, value in _KEPT.items())


def give_back_memory() -> bool:
    """Give what glibc keeps back to the system; whether there was any."""
    trim = _of_c("malloc_trim")
    return trim is not None and bool(trim(0))


def give_back(device: torch.device) -> None:
    """Give memory of freed networks back to the system, or to others on the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    give_back_memory()


def _of_c(name: str) -> Callable[..., int] | None:
    """A function of the C library of Linux, if this one has it."""
    import ctypes

    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _device(kind: DeviceKind) -> DeviceKind:
    import torch

    present = {
        DeviceKind.cuda: torch.cuda.is_available(),
        DeviceKind.mps: torch.backends.mps.is_available(),
        DeviceKind.cpu: True,
    }
    if kind in (DeviceKind.auto, DeviceKind.cuda):
        driver.require()  # else it would be a run of hours on the processor, without a word
    if kind is DeviceKind.auto:
        return next(choice for choice, there in present.items() if there)
    if not present[kind]:
        raise ConfigError(
            "CFG-DEVICE",
            f"device.kind={kind.value}, which this machine has not",
            expected=" or ".join(choice.value for choice, there in present.items() if there),
            fix="device.kind=auto",
        )
    return kind


def _dtype(choice: DType, device: torch.device) -> torch.dtype:
    import torch

    if choice is DType.auto:
        if device.type == "cpu":
            return torch.bfloat16 if cpu_has_bf16() else torch.float32
        return torch.float16 if device.type == "mps" or not cuda_has_bf16() else torch.bfloat16
    if device.type == "cpu" and choice is DType.bf16 and not cpu_has_bf16():
        raise ConfigError(
            "CFG-DTYPE",
            "device.dtype=bf16 on a processor without bf16 arithmetic",
            expected="fp32",
            fix="device.dtype=fp32",
        )
    if device.type == "cuda" and choice is DType.bf16 and not cuda_has_bf16():
        raise ConfigError(
            "CFG-DTYPE",
            "device.dtype=bf16 on a card without bf16 arithmetic",
            expected="fp16 or fp32",
            fix="device.dtype=auto",
        )
    if device.type == "cpu" and choice is DType.fp16:
        raise ConfigError(
            "CFG-DTYPE", "device.dtype=fp16 on a CPU", expected="fp32 or bf16", fix="device.dtype=auto"
        )
    return {DType.fp32: torch.float32, DType.bf16: torch.bfloat16, DType.fp16: torch.float16}[choice]
