"""The plan of one run on the machine that it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pokora_anime.devices import hardware
from pokora_anime.devices.execution import Execution
from pokora_anime.devices.forecast import cheaper_settings, plan_text
from pokora_anime.devices.forecast.plan import Forecast, first_fitting, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.machine import Machine
from pokora_anime.schema.settings import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a run starts with, what is expected of it, and the lines that say so."""

    execution: Execution
    forecast: Forecast
    lines: tuple[str, ...]

    @classmethod
    def of(cls, config: RunConfig, machine: Machine) -> Self:
        """The fastest plan that fits the device's memory; the ones after it wait for an out-of-memory.

        Raises MachineError SYS-MEMORY where not even the smallest fits.
        """
        job = Job.of(config)
        here = hardware.read(config.device, machine.device, machine.dtype)
        cheaper_settings.refuse(config, here)
        steps = ladder(job, here)
        index = first_fitting(steps, here.memory)
        return cls(
            execution=Execution([one.plan for one in steps[index:]]),
            forecast=steps[index],
            lines=plan_text.lines(steps[index], job, here),
        )
