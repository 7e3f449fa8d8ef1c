"""What to type for a run that does not fit, and the refusal of one that cannot. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pokora_anime.devices.forecast.plan import Forecast, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import GIB, Hardware
from pokora_anime.errors import MachineError
from pokora_anime.schema.settings import (
    ControlNetwork,
    DeviceConfig,
    DeviceKind,
    Family,
    RunConfig,
    VideoConfig,
)

_SIDES = (768, 640, 512)
_LEAST = "base=nano"


def refuse(config: RunConfig, hardware: Hardware) -> None:
    """Before anything is loaded: MachineError SYS-MEMORY for a run whose smallest plan cannot fit.

    Names the cheapest setting that does. Memory of unknown size (0) refuses nothing.
    """
    least = smallest(Job.of(config), hardware)
    if not hardware.memory or least.peak <= hardware.memory:
        return
    found = fitting(config, hardware)
    raise MachineError(
        "SYS-MEMORY",
        f"this run needs {least.peak / GIB:.1f} GB at its peak, {hardware.name} has "
        f"{hardware.memory / GIB:.1f} GB to use",
        expected="a run that fits",
        fix=found[0] if found else _LEAST,
    )


def fitting(config: RunConfig, hardware: Hardware) -> tuple[str, Job] | None:
    """The cheapest setting of a run that fits, as it is typed, and its job; None where nothing fits."""
    return next(((typed, job) for typed, job in cheaper(config) if fits(job, hardware)), None)


def advice(config: RunConfig) -> str:
    """What to type after a run has run out of memory: the first that makes the peak at least a tenth less."""
    hardware = Hardware(kind=DeviceKind.cpu, name="", memory=0, host=0, rate=1.0, dtype=DeviceConfig().dtype)
    now = smallest(Job.of(config), hardware).peak
    less = (typed for typed, job in cheaper(config) if smallest(job, hardware).peak < 0.9 * now)
    plain = "end other programs that use memory"
    return next(less, _LEAST if config.base.family is not Family.nano else plain)


def smallest(job: Job, hardware: Hardware) -> Forecast:
    """The plan that needs the least memory on the device."""
    return ladder(job, hardware)[-1]


def cheaper(config: RunConfig) -> Iterator[tuple[str, Job]]:
    """What could be typed instead and the job that comes of it, what changes the clip least first."""
    job = Job.of(config)
    if isinstance(config, VideoConfig) and config.control.kinds:
        yield from _controls(config, job)
    if job.adapted:
        yield "keyframe.identity=anchor", replace(job, adapted=False)
    if job.hires is not None:
        yield "finish.hires.enabled=false", replace(job, hires=None)
    for controls, typed in ((job.controls, ""), (0, "control=none ")) if job.controls else ((0, ""),):
        for side in _SIDES:
            if side < max(job.width, job.height):
                smaller = replace(job, width=side, height=side, controls=controls)
                yield f"{typed}base.width={side} base.height={side}", smaller
    if job.family is not Family.nano:
        yield _LEAST, replace(job, family=Family.nano, width=256, height=256)


def _controls(config: VideoConfig, job: Job) -> Iterator[tuple[str, Job]]:
    """United or fewer ControlNets."""
    names = {kind.value for kind in config.control.kinds}
    separate = config.control.network is not ControlNetwork.union
    if separate and len(names) > 1 and job.family is Family.sdxl:
        yield "control.network=union", replace(job, controls=1)
    if job.controls > 1:
        kind = "pose" if "pose" in names else sorted(names)[0]
        yield f"control={kind}", replace(job, controls=1)
    yield "control=none", replace(job, controls=0)


def fits(job: Job, hardware: Hardware) -> bool:
    """Whether the smallest plan fits; into memory of unknown size (0) everything does."""
    return not hardware.memory or smallest(job, hardware).peak <= hardware.memory
