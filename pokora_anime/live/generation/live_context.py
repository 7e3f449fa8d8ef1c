"""What the stages are given in a live session: the networks of its config, all of them held at once."""

from __future__ import annotations

from collections.abc import Callable

from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
from pokora_anime.devices import openvino_runtime
from pokora_anime.devices.forecast.run_plan import Planned
from pokora_anime.devices.machine import settle
from pokora_anime.networks.converted.converted_network import Converting
from pokora_anime.networks.network_cache import models_for
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.run_context import RunContext


class Quiet:
    """A display that nobody looks at; lines are handed on."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def note(self, message: str) -> None:
        """A line for whoever looks on."""
        self._told(message)

    def stage(self, name: str, total: int = 0, detail: str = "") -> None:
        """A stage begins."""

    def step(self, detail: str = "") -> None:
        """A step is done."""


def opened(config: VideoConfig, folder: RunFolder, note: Callable[[str], None]) -> RunContext:
    """Raises WeightsError, ConfigError, MachineError as a run of the config does."""
    machine = settle(config.device)
    planned = Planned.of(config, machine)
    loras = merge_loras(config.style.loras, shot_loras(config.shot))
    models = models_for(config.base, config.speed, loras, machine, config.motion)
    models.converting = Converting(
        group=openvino_runtime.kept(config), dtype=machine.dtype, threads=machine.threads, note=note
    )
    models.hold(planned.execution.plan)
    return RunContext(
        folder=folder,
        models=models,
        progress=Quiet(note),
        device=machine.device,
        dtype=machine.dtype,
        threads=machine.threads,
        seed=config.seed,
        execution=planned.execution,
    )
