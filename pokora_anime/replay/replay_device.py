"""The judge's side: device, number format and threads as close to the run's as this machine has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, DType, RunConfig, VideoConfig
from pokora_anime.stages.run_context import RunContext

_FORMATS = {"float32": DType.fp32, "bfloat16": DType.bf16, "float16": DType.fp16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the judge asks for; `auto` and 0 take after the run."""

    device: DeviceKind = DeviceKind.auto
    dtype: DType = DType.auto
    threads: int = 0


class Quiet:
    """A progress display that shows nothing."""

    def stage(self, name: str, total: int = 0, detail: str = "") -> None:
        """Says nothing."""

    def step(self, detail: str = "") -> None:
        """Says nothing."""

    def note(self, message: str) -> None:
        """Says nothing."""


def require(config: RunConfig) -> None:
    """Raises MachineError SYS-TORCH or WeightsError WGT-* where this install cannot compute the run."""
    from pokora_anime.catalogue.needed_weights import check_available

    if find_spec("torch") is None:
        raise MachineError(
            "SYS-TORCH",
            "torch is not installed, and replay computes",
            expected="an install of pokora_anime with its dependencies",
            fix="pip install pokora_anime",
        )
    check_available(config)


def context(config: RunConfig, ran: Mapping[str, Json], wishes: Wishes, folder: RunFolder) -> RunContext:
    """What the stages are given: this install's networks; `ran` is where the run's nodes say they ran.

    Raises ConfigError CFG-DEVICE or CFG-DTYPE for wishes that this machine cannot fulfil.
    """
    from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
    from pokora_anime.devices.forecast.run_plan import Planned
    from pokora_anime.devices.machine import settle
    from pokora_anime.networks.network_cache import models_for

    machine = settle(_as_it_ran(ran, wishes))
    loras = merge_loras(config.style.loras, shot_loras(config.shot))
    motion = config.motion if isinstance(config, VideoConfig) else None
    return RunContext(
        folder=folder,
        models=models_for(config.base, config.speed, loras, machine, motion),
        progress=Quiet(),
        device=machine.device,
        dtype=machine.dtype,
        threads=machine.threads,
        seed=config.seed,
        execution=Planned.of(config, machine).execution,
    )


def _as_it_ran(ran: Mapping[str, Json], wishes: Wishes) -> DeviceConfig:
    """The run's own device, format and threads, where this machine has them."""
    from pokora_anime.devices.machine import settle

    told = ran.get("threads")
    threads = told if type(told) is int and 0 < told <= (os.cpu_count() or 1) else 0
    kinds = [kind for kind in DeviceKind if kind.value == ran.get("device")]
    settings = DeviceConfig(
        kind=wishes.device if wishes.device is not DeviceKind.auto else next(iter(kinds), DeviceKind.auto),
        dtype=wishes.dtype
        if wishes.dtype is not DType.auto
        else _FORMATS.get(str(ran.get("dtype")), DType.auto),
        threads=wishes.threads or threads,
    )
    try:
        settle(settings)
    except ConfigError:
        # What the run had and this machine lacks is left to chance; what the judge asked for is not.
        settings = replace(settings, kind=wishes.device, dtype=wishes.dtype)
    return settings
