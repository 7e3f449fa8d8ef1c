"""What the jobs of a command would take: time, memory, disk and money, as plain data. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pokora_anime.config import gate
from pokora_anime.devices import compiler
from pokora_anime.devices.forecast import estimate, plan_text
from pokora_anime.devices.forecast.estimate import Estimate
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system.files.user_folder import free_space


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What would be rendered, how much of it at once, and the folder for it."""

    labels: list[str]
    configs: list[RunConfig]
    at_once: int
    out: Path

    @classmethod
    def of(cls, command: str, overrides: Sequence[str], out: Path, *, several: bool, keep: int = 0) -> Self:
        """The configs, each through the gate of a render; of a sweep's or of one run's words, and of as many
        of its drafts as are rendered again.

        Raises ConfigError, PromptError.
        """
        from pokora_anime.config.compose import compose
        from pokora_anime.jobs import drafts, sweep_jobs

        sweep = command == "sweep"
        typed = sweep_jobs.with_preset(overrides) if sweep else list(overrides)
        of = "video" if sweep else command
        labels: list[str] = []
        if several:
            asked = drafts.of(of, typed) if drafts.WORD in typed else None
            listed, at_once = sweep_jobs.configs(of, asked.words if asked else typed)
            listed += [(f"final {number}", asked.config) for number in range(1, keep + 1)] if asked else []
            labels, configs = [label for label, _ in listed], [config for _, config in listed]
        else:
            configs, at_once = [compose(of, typed)], 1
        for config in {id(config): config for config in configs}.values():
            gate.refuse(config)
        return cls(labels=labels, configs=configs, at_once=at_once, out=out)

    def require_compilers(self) -> None:
        """Raises MachineError where a config wants networks compiled and this machine cannot."""
        for config in {id(config): config for config in self.configs}.values():
            if not config.device.memory_gb:  # then it is about another machine
                compiler.require(config)

    @property
    def several(self) -> bool:
        """Whether it is a sweep."""
        return bool(self.labels)


def plain(command: str, jobs: Jobs, found: Sequence[Estimate]) -> dict[str, object]:
    """For programs: seconds, bytes, dollars."""
    return {
        "command": command,
        "jobs": len(jobs.configs),
        "n_jobs": jobs.at_once,
        "disk_bytes": estimate.written(jobs.configs),
        "disk_free_bytes": free_space(jobs.out),
        "weights_bytes": estimate.read(jobs.configs),
        "machines": [_machine(each, jobs) for each in found],
    }


def _machine(each: Estimate, jobs: Jobs) -> dict[str, object]:
    target, card = each.target, each.target.card
    seconds = {"starting": each.starting, "computing": each.computing, "delivering": each.delivering}
    return {
        "name": target.hardware.name,
        "kind": target.hardware.kind.value,
        "flops_a_second": round(target.hardware.rate_of(each.jobs[0].job.family)),
        "rates": target.source.value,
        "note": target.note,
        "fits": each.fits,
        "cheapest_that_fits": each.cheaper,
        "possible": each.possible,
        "memory_bytes": each.peak,
        "memory_to_use_bytes": target.hardware.memory,
        "seconds": {"total": round(each.seconds, 1)} | {name: round(one, 1) for name, one in seconds.items()},
        "seconds_by_job": [round(one.forecast.seconds, 1) for one in each.jobs],
        "labels": jobs.labels,
        "plan": plan_text.settings(each.jobs[0].forecast.plan, each.jobs[0].job, target.hardware),
        "dollars": {
            "on_demand": _rounded(each.money(card.on_demand)) if card and each.possible else None,
            "spot": _rounded(each.money(card.spot)) if card and each.possible else None,
            "seller": card.seller if card else "",
            "prices": str(card.prices) if card and card.prices else None,
        },
    }


def _rounded(money: float | None) -> float | None:
    return None if money is None else round(money, 5)
