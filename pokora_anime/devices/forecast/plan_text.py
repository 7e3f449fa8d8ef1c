"""A plan in words: the line before a run, and the page of `pokora doctor`. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from pokora_anime.catalogue import registry
from pokora_anime.devices import compiler, openvino_runtime
from pokora_anime.devices.forecast.plan import Forecast, Offload, Plan, first_fitting, forecast, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import GIB, Hardware
from pokora_anime.devices.memory_layout import CHANNELS_LAST
from pokora_anime.schema.settings import Compile, DeviceKind, Family

_OFFLOADS = {
    Offload.none: "networks stay on the device",
    Offload.model: "one network on the device at a time",
    Offload.group: "weights streamed layer by layer",
}
_COMPILED = {
    Compile.off: "not compiled because of how weights are held",
    Compile["default"]: "compiled",
    Compile["max-autotune"]: "compiled with max-autotune",
}
LONG = 20 * 60.0  # seconds from which on something quicker is proposed
_CPU_TIERS = (
    (
        "a smaller frame, scaled up when delivered",
        "base.width=512 base.height=512",
        {"width": 512, "height": 512},
    ),
    ("fewer steps", "speed=lcm speed.steps=4", {"steps": 4, "guided": 0.0, "clip_guided": 0.0}),
    ("plan the shot with nano, render it on a card", "base=nano", {"family": Family.nano}),
)


def lines(chosen: Forecast, job: Job, hardware: Hardware) -> tuple[str, ...]:
    """What a run is going to do, in one line, and in another what it waits for first."""
    expected = f"about {chosen.peak / GIB:.1f} GB and {duration(chosen.seconds)}"
    told = f"plan: {hardware.name}, {settings(chosen.plan, job, hardware)}; {expected} expected"
    more: list[str] = []
    if chosen.plan.compile is not Compile.off:
        more.append(f"the first segment compiles: minutes once, kept for later runs in {compiler.kept()}")
    if chosen.plan.converts:
        kept = openvino_runtime.folder()
        more.append(f"each network is converted for OpenVINO once, a minute at most, and kept in {kept}")
    return (told, *more)


def settings(plan: Plan, job: Job, hardware: Hardware) -> str:
    """The plan's settings, comma-separated."""
    words = [f"{hardware.dtype.value}{' with fp8 weights' if plan.fp8 else ''}"]
    if job.compile is not Compile.off:
        words.append(_COMPILED[plan.compile])
    if plan.converts:
        words.append("OpenVINO")
    if hardware.kind is DeviceKind.cuda:
        words.append(_OFFLOADS[plan.offload])
    if job.guided:
        words.append(
            "guidance " + ("batched" if job.rows(sequential=plan.sequential) > 1 else "in two passes")
        )
    if job.segments:
        chunk = min(plan.decode_chunk or job.decode_chunk, job.decode_chunk)
        words.append(f"decoding {chunk} at once" + (" between steps" if plan.alternate else ""))
    if job.hires is not None:
        words.append("second pass " + ("in tiles" if plan.tiled or job.hires.tiled else "of whole frames"))
    return ", ".join(words)


def page(job: Job, hardware: Hardware) -> list[str]:
    """The plan, what comes after it when memory runs out all the same, and advice."""
    steps = ladder(job, hardware)
    index = first_fitting(steps, hardware.memory)
    chosen = steps[index]
    last = CHANNELS_LAST.get(hardware.kind, ())
    found = [
        what(job),
        f"device    {hardware.name}"
        + (f", {hardware.memory / GIB:.1f} GB to use" if hardware.memory else "")
        + (f", {hardware.host / GIB:.1f} GB beside it" if hardware.kind is DeviceKind.cuda else ""),
        f"plan      {settings(chosen.plan, job, hardware)}",
        *([f"kept      {compiler.kept()}"] if chosen.plan.compile is not Compile.off else []),
        *([f"layout    channels last: {', '.join(last)}"] if last else []),
        f"expected  {chosen.peak / GIB:.1f} GB at its peak, roughly {duration(chosen.seconds)}",
    ]
    if hardware.memory and chosen.peak > hardware.memory:
        smaller = "fewer or united ControlNets need" if job.controls else "a smaller frame or base=nano needs"
        found.append(f"          -> this may not fit: {smaller} less")
    found += [f"if short  {short(one, job, hardware)}" for one in steps[index + 1 : index + 3]]
    return found + [f"quicker   {one}" for one in quicker(job, hardware, chosen)]


def what(job: Job) -> str:
    """The job in a line: base, size, segments or stills, steps, ControlNets, IP-Adapter."""
    stills = f"{job.pictures} still{'s' if job.pictures > 1 else ''}"
    segments = f"{job.segments} segment{'s' if job.segments > 1 else ''} of {job.frames} frames"
    maps = f", {job.controls} ControlNet{'s' if job.controls > 1 else ''}" if job.controls else ""
    maps += f", an IP-Adapter ({_identity_files(job.family) / 1e9:.1f} GB)" if job.adapted else ""
    again = f", {job.hires.steps} of a second pass" if job.hires else ""
    made = segments if job.segments else stills
    return f"{job.family.value} {job.width}x{job.height}, {made}, {job.steps} steps{again}{maps}"


def _identity_files(family: Family) -> int:
    """Bytes of the adapter's and its image encoder's files, as the registry knows them."""
    rows = (registry.resolve(role, family) for role in registry.IDENTITY)
    return sum(sum(row.sizes.values()) for row in rows)


def short(one: Forecast, job: Job, hardware: Hardware) -> str:
    """A plan with its figures."""
    return f"{settings(one.plan, job, hardware)}: {one.peak / GIB:.1f} GB, {duration(one.seconds)}"


def quicker(job: Job, hardware: Hardware, chosen: Forecast) -> Sequence[str]:
    """What to type for a run that takes long on a CPU, each with its time."""
    from dataclasses import replace

    if hardware.kind is DeviceKind.cuda or chosen.seconds < LONG or job.family is Family.nano:
        return ()
    found: list[str] = []
    for why, typed, changes in _CPU_TIERS:
        other = replace(job, **changes)
        if changes.get("family"):
            other = replace(other, width=256, height=256)
        seconds = forecast(chosen.plan, other, hardware).seconds
        if seconds < chosen.seconds:
            found.append(f"{typed}: {why}, roughly {duration(seconds)}")
    if job.compile is Compile.off and compiler.missing(hardware.kind) is None:
        found.append("device.compile=default: networks compiled once (nano's took 0.93 of their time)")
    return found


def duration(seconds: float) -> str:
    """Rounded as a person would say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
