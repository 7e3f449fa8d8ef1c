"""`pokora estimate`: time, memory, disk and money of a command; nothing is rendered. Torch-free."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from pokora_anime.devices.forecast import cards, estimate, plan_text, rates
from pokora_anime.devices.forecast.cards import Source
from pokora_anime.devices.forecast.estimate import Estimate
from pokora_anime.devices.hardware import GIB
from pokora_anime.errors import ConfigError
from pokora_anime.jobs import job_estimate
from pokora_anime.jobs.job_estimate import Jobs
from pokora_anime.schema.settings import DeviceKind
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.user_folder import amount, free_space

COMMANDS = ("video", "stills", "sweep")
_MOST_LISTED = 12  # jobs of a sweep that get a line each


@dataclass(slots=True)
class Asked:
    """The command line: what would be rendered, on which card ("": this machine), and how to answer."""

    command: str
    gpu: str = ""
    as_json: bool = False
    words: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Print the estimate. Raises ConfigError, PromptError for what `pokora video` would refuse as well."""
    if any(word in ("-h", "--help") for word in arguments):
        from pokora_anime.cli.help_pages import ESTIMATE

        print(ESTIMATE)
        return 0
    asked = _asked(arguments)
    jobs = _jobs(asked)
    targets = estimate.targets(asked.gpu, jobs.configs[0].device)
    found = [Estimate.of(jobs.configs, one, at_once=jobs.at_once) for one in targets]
    for note in dict.fromkeys(one.target.note for one in found if one.target.note):
        print(note, file=sys.stderr)
    if asked.as_json:
        print(json.dumps(job_estimate.plain(asked.command, jobs, found), ensure_ascii=False, indent=2))
    else:
        told = _table(found) if asked.gpu == estimate.ALL else _page(jobs, found[0])
        print("\n".join([*_head(jobs), *told]))
    return 0


def _asked(arguments: Sequence[str]) -> Asked:
    rest = list(arguments)
    asked = Asked(
        _command(rest.pop(0)) if rest and rest[0][:1] != "-" and "=" not in rest[0] else COMMANDS[0]
    )
    while rest:
        name, equals, value = (word := rest.pop(0)).partition("=")
        if word == "--json":
            asked.as_json = True
        elif name == "--gpu":
            asked.gpu = value if equals else rest.pop(0) if rest else ""
            if not asked.gpu.strip():
                raise ConfigError("CFG-SYNTAX", "--gpu without a name", fix="--gpu all, or --gpu H100")
        else:
            asked.words.append(word)
    return asked


def _command(word: str) -> str:
    if word in COMMANDS:
        return word
    best = nearest(word, COMMANDS)
    fix = f"did you mean `pokora estimate {best}`?" if best else "`pokora estimate --help`"
    raise ConfigError("CFG-COMMAND", f"estimate {word!r}", expected="|".join(COMMANDS), fix=fix)


def _jobs(asked: Asked) -> Jobs:
    """The configs, each through the gate of a render. Raises ConfigError, PromptError."""
    from pokora_anime.cli.render import render

    request = render.parse("estimate", asked.words)
    if request.shown:
        raise ConfigError("CFG-SYNTAX", "--cfg in an estimate", fix=f"`pokora {asked.command} --cfg`")
    several = asked.command == "sweep" or request.multirun
    jobs = Jobs.of(
        asked.command, request.overrides, request.out, several=several, keep=request.keep or render.KEPT
    )
    if not asked.gpu:  # then it is about this machine
        jobs.require_compilers()
    return jobs


def _head(jobs: Jobs) -> list[str]:
    if not jobs.several:
        return [plan_text.what(estimate.Job.of(jobs.configs[0]))]
    beside = f", {jobs.at_once} at once" if jobs.at_once > 1 else ""
    return [f"{len(jobs.configs)} jobs{beside}"]


def _page(jobs: Jobs, found: Estimate) -> list[str]:
    there, first = found.target.hardware, found.jobs[0]
    lines = [f"machine   {there.name}, {_rate(found)}", f"disk      {_disk(jobs)}"]
    lines += _each(jobs, found) if jobs.several else []
    if not found.fits:
        lines.append(f"memory    {_short_of(found)}")
    if found.possible and not jobs.several:
        lines.append(f"plan      {plan_text.settings(first.forecast.plan, first.job, there)}")
    if found.possible:
        lines += [f"time      {_time(found)}"]
        lines += [f"memory    {found.peak / GIB:.1f} GB at its peak{_room(found)}"]
    return [*lines, f"money     {_money(found)}"]


def _each(jobs: Jobs, found: Estimate) -> list[str]:
    """A line a job, of as many as can be looked over."""
    begun = (0.0, *[found.target.hardware.starting] * (len(found.jobs) - 1))  # the process stays
    alone = [
        f"{label}: {plan_text.duration(one.forecast.seconds - there)}"
        for label, one, there in zip(jobs.labels, found.jobs, begun, strict=True)
    ]
    more = len(alone) - _MOST_LISTED
    return [f"job       {line}" for line in alone[:_MOST_LISTED]] + (
        [f"          and {more} more"] if more > 0 else []
    )


def _time(found: Estimate) -> str:
    parts = {"start-up": found.starting, "networks": found.computing, "frames": found.delivering}
    told = ", ".join(
        f"{name} {plan_text.duration(seconds)}" for name, seconds in parts.items() if seconds >= 0.5
    )
    return f"{plan_text.duration(found.seconds)}: {told}"


def _room(found: Estimate) -> str:
    memory = found.target.hardware.memory
    return f" of {memory / GIB:.1f} GB" if memory else ""


def _short_of(found: Estimate) -> str:
    needs = max(one.needs.peak for one in found.jobs)
    does = f"does not fit: {needs / GIB:.1f} GB at least{_room(found)}"
    if found.cheaper:
        return f"{does}; with {found.cheaper} it does, and that is what follows"
    return f"{does}, and no smaller setting fits"


def _disk(jobs: Jobs) -> str:
    needed, free = estimate.written(jobs.configs), free_space(jobs.out)
    told = f"{amount(needed)} at most, {amount(free)} free" + ("" if free >= needed else ": TOO LITTLE")
    return f"{told}; {amount(estimate.read(jobs.configs))} of weights beside it"


def _rate(found: Estimate) -> str:
    target = found.target
    reached = f"{target.hardware.rate_of(found.jobs[0].job.family) / 1e12:.3g} TFLOP/s"
    if target.source is Source.measured:
        return f"{reached}, measured {rates.here().measured}"
    if target.card is not None:
        where = f"{target.source.value}: {target.card.efficiency:.0%} of {target.card.peak:g}"
        return f"{reached} ({where}; never measured by this project)"
    if target.hardware.kind is DeviceKind.cpu:
        return f"{reached}, assumed; `pokora bench rates` measures it once"
    return f"{reached}, assumed from its memory"


def _money(found: Estimate) -> str:
    card = found.target.card
    if card is None and (
        found.target.hardware.kind is DeviceKind.cpu or found.target.source is Source.measured
    ):
        return "none: this machine"
    if card is None:
        return "time only: no price for a card without a name (--gpu NAME)"
    if not found.possible:
        return "none: it does not fit"
    told = [
        f"{_dollars(found.money(price))} {name}"
        for name, price in (("on demand", card.on_demand), ("spot", card.spot))
        if price is not None
    ]
    if not told:
        return f"time only: no price for {card.name} ({cards.path()} takes one)"
    return f"{', '.join(told)} ({card.seller}, prices of {card.prices or 'an unknown day'})"


def _dollars(money: float | None) -> str:
    if money is None:
        return "no price"
    return f"${money:.2f}" if money >= 0.1 else f"${money:.4f}"


def _table(found: Sequence[Estimate]) -> list[str]:
    """A row a card."""
    lines = [f"{'card':14} {'fits':4} {'memory':>15} {'time':>7} {'on demand':>9} {'spot':>9}  rates, prices"]
    for each in found:
        card = each.target.card
        assert card is not None
        memory = f"{each.peak / GIB:.1f} of {each.target.hardware.memory / GIB:.1f} GB"
        time = plan_text.duration(each.seconds) if each.possible else "-"
        money = [
            _dollars(each.money(price)) if each.possible else "-" for price in (card.on_demand, card.spot)
        ]
        told = ", ".join([card.rates.value, *([str(card.prices)] if card.prices else [])])
        fits = "yes" if each.fits else "no"
        lines.append(f"{card.name:14} {fits:4} {memory:>15} {time:>7} {money[0]:>9} {money[1]:>9}  {told}")
        if not each.fits:
            lines.append(f"{'':14} -> {_short_of(each)}")
    return [*lines, "No card was measured by this project: rates are published or assumed (conf/cards.yaml)."]
