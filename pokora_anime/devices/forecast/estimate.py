"""What runs would take on a machine, by the forecast that they print themselves. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pokora_anime.devices import driver, hardware
from pokora_anime.devices.forecast import cards, cheaper_settings, disk_space, rates
from pokora_anime.devices.forecast.cards import Card, Source
from pokora_anime.devices.forecast.plan import Forecast, first_fitting, ladder, weights
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import Hardware
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, RunConfig

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A machine to estimate for. `card` is its row of the table; `source` is where its rate comes from."""

    hardware: Hardware
    source: Source
    card: Card | None = None
    note: str = ""

    @classmethod
    def of(cls, card: Card, config: DeviceConfig, note: str = "") -> Target:
        """A card of the table."""
        return cls(hardware=hardware.of_card(card, config), source=card.rates, card=card, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """One run on a machine. Where it does not fit, `cheaper` is to be typed; job and forecast are of that.

    The forecast is of the smallest plan, and `cheaper` is empty, where nothing fits.
    """

    job: Job
    needs: Forecast  # as typed, in the plan that would be taken
    fits: bool
    cheaper: str
    forecast: Forecast

    @property
    def possible(self) -> bool:
        """Whether it can be rendered there at all."""
        return self.fits or bool(self.cheaper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """All jobs of a command on one machine, `at_once` of them side by side."""

    target: Target
    jobs: tuple[One, ...]
    at_once: int

    @classmethod
    def of(cls, configs: Sequence[RunConfig], target: Target, *, at_once: int = 1) -> Estimate:
        """Raises nothing: what does not fit says so."""
        known: dict[Job, One] = {}
        found: list[One] = []
        for config in configs:
            job = Job.of(config)
            if job not in known:
                known[job] = one(config, job, target.hardware)
            found.append(known[job])
        return cls(target=target, jobs=tuple(found), at_once=max(1, min(at_once, len(found))))

    @property
    def fits(self) -> bool:
        """Whether every job fits as it is typed, beside the others."""
        room = self.target.hardware.memory
        return all(one.fits for one in self.jobs) and (not room or self.peak <= room or self.at_once == 1)

    @property
    def cheaper(self) -> str:
        """What to type where it does not fit; empty where it does, or where nothing helps."""
        for each in self.jobs:
            if not each.fits:
                return each.cheaper
        return "" if self.fits else "hydra.launcher.n_jobs=1"

    @property
    def possible(self) -> bool:
        """Whether all of it can be rendered there."""
        return all(one.possible for one in self.jobs)

    @property
    def peak(self) -> int:
        """Bytes on the device, of the largest jobs that may be there together."""
        return sum(sorted((one.forecast.peak for one in self.jobs), reverse=True)[: self.at_once])

    @property
    def starting(self) -> float:
        """Seconds of start-up: once, because a sweep keeps its process. Weights are read each time."""
        reading = sum(one.forecast.starting - self.target.hardware.starting for one in self.jobs)
        return self.target.hardware.starting + reading

    @property
    def computing(self) -> float:
        """Seconds of the networks. Side by side they share the device, and are no faster."""
        return sum(one.forecast.computing for one in self.jobs)

    @property
    def delivering(self) -> float:
        """Seconds that frames take after that, or beside it."""
        return sum(one.forecast.delivering for one in self.jobs)

    @property
    def seconds(self) -> float:
        """From typing the command to the last file."""
        return self.starting + self.computing + self.delivering

    def money(self, hourly: float | None) -> float | None:
        """US dollars at a price an hour; None without one."""
        return None if hourly is None else hourly * self.seconds / 3600


def one(config: RunConfig, job: Job, there: Hardware) -> One:
    """One run on a machine, or the cheapest setting of it that fits."""
    needs = _taken(job, there)
    if cheaper_settings.fits(job, there):
        return One(job=job, needs=needs, fits=True, cheaper="", forecast=needs)
    found = cheaper_settings.fitting(config, there)
    typed, less = found or ("", job)
    return One(job=less, needs=needs, fits=False, cheaper=typed, forecast=_taken(less, there))


def _taken(job: Job, there: Hardware) -> Forecast:
    steps = ladder(job, there)
    return steps[first_fitting(steps, there.memory)]


def written(configs: Sequence[RunConfig]) -> int:
    """Bytes that all jobs write at most."""
    return sum(disk_space.needed(config) for config in configs)


def read(configs: Sequence[RunConfig]) -> int:
    """Bytes of the weights that have to be on the disk: of the job that needs most."""
    return max(weights(Job.of(config)) for config in configs)


def targets(gpu: str, config: DeviceConfig) -> list[Target]:
    """Every card for `ALL`, the one of a name, or this machine for "". ConfigError CFG-GPU, CFG-DEVICE."""
    if gpu == ALL:
        return [Target.of(card, config) for card in cards.table().values()]
    if gpu:
        card, note = cards.find(gpu)
        return [Target.of(card, config, note)]
    rates.read()  # a damaged file is told here, and ends no render
    return [here(config)]


def here(config: DeviceConfig) -> Target:
    """This machine, without torch. ConfigError CFG-DEVICE for a device that cannot be told without it."""
    if config.memory_gb and config.kind is not DeviceKind.cpu:
        return Target(hardware=hardware.described(config, bf16=hardware.cpu_bf16()), source=Source.assumed)
    if found := hardware.measured(config):
        return Target(hardware=found, source=Source.measured)
    if config.kind is not DeviceKind.cpu and driver.accelerator_present() and (name := hardware.told_name()):
        card, note = cards.find(name)
        if config.kind in (DeviceKind.auto, card.kind):
            return Target.of(card, config, note)
    if config.kind in (DeviceKind.auto, DeviceKind.cpu):
        memory = round(config.memory_gb * hardware.GIB)
        source = Source.measured if rates.here().measured else Source.assumed
        return Target(hardware=hardware.of_cpu(config, memory, bf16=hardware.cpu_bf16()), source=source)
    raise ConfigError(
        "CFG-DEVICE",
        f"device.kind={config.kind.value}, and no such card is seen here",
        expected="a card of this machine, a name or a size",
        fix="--gpu NAME, or device.memory_gb=24",
    )
