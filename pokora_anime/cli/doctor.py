"""`pokora doctor`: what this machine can do, and what to type next."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pokora_anime.config.compose import compose
from pokora_anime.devices import compiler, driver, hardware, openvino_runtime
from pokora_anime.devices.forecast import plan_text
from pokora_anime.devices.forecast.plan import Forecast, first_fitting, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import Hardware, cpu_bf16, memory_here
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.provenance.environment import LIBRARIES
from pokora_anime.sandbox import seccomp
from pokora_anime.sandbox.landlock import landlock_abi
from pokora_anime.schema.config_groups import options
from pokora_anime.schema.settings import DeviceConfig, DeviceKind
from pokora_anime.system.processor_cores import usable_cores

_GIB = 2**30
NEEDED_MEMORY = 3 * _GIB  # what a nano run may use at its peak
NEEDED_DISK = _GIB // 2

# Options of experiment= for SDXL stills on a processor, the quickest first.
TIERS = ("cpu_fast", "cpu_balanced", "cpu_careful")

OK, WARN, FAIL = "ok", "--", "NO"

_HELP = """pokora doctor: what this machine can do (device, memory, ffmpeg, weights) and what to type next.

With key=value as for `pokora video` it prints how that run would hold its networks, without starting it:
  pokora doctor base=sdxl
  pokora doctor base=sdxl speed=hq device.memory_gb=12   # a CUDA card of that size, here or elsewhere"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: how it stands, what was found, what to do about it."""

    state: str
    name: str
    found: str
    advice: str = ""


def main(arguments: Sequence[str] = ()) -> int:
    """Print the report, or with key=value the plan of that composition; 0 if it can run here, 4 if not."""
    if any(argument in ("-h", "--help") for argument in arguments):
        print(_HELP)
        return 0
    if arguments:
        strange = [argument for argument in arguments if "=" not in argument]
        if strange:
            fix = "`pokora doctor`, or `pokora doctor base=sdxl device.memory_gb=12`"
            raise ConfigError("CFG-SYNTAX", f"doctor {' '.join(arguments)}", expected="key=value", fix=fix)
        print("\n".join(plan(arguments)))
        return 0
    findings = examine()
    for finding in findings:
        print(f"  {finding.state:2}  {finding.name:10} {finding.found}")
        if finding.advice:
            print(f"      {'':10} -> {finding.advice}")
    broken = [finding.name for finding in findings if finding.state == FAIL]
    print()
    print(f"Mend first: {', '.join(broken)}" if broken else next_command(findings))
    return 4 if broken else 0


def plan(overrides: Sequence[str]) -> list[str]:
    """How a run of this composition would use its device. Torch is asked only where a card must be read."""
    config = compose("video", overrides)
    if not config.device.memory_gb:  # then it is about another machine
        compiler.require(config)
    return plan_text.page(Job.of(config), _hardware(config.device))


def _hardware(asked: DeviceConfig) -> Hardware:
    unseen = asked.kind in (DeviceKind.auto, DeviceKind.cpu) and not driver.accelerator_present()
    if asked.memory_gb or asked.kind is DeviceKind.cpu:
        return hardware.described(asked, bf16=cpu_bf16())
    if unseen:
        return hardware.of_cpu(asked, 0, bf16=cpu_bf16())
    from pokora_anime.devices.machine import settle

    machine = settle(asked)
    return hardware.read(asked, machine.device, machine.dtype)


def examine() -> list[Finding]:
    """All findings; never raises, because a broken machine is what this is for."""
    probes: tuple[Callable[[], list[Finding]], ...] = (
        _versions, _device, _compiler, _runtime, _cores, _memory, _disk, _ffmpeg, _weights, _stills, _sandbox,
    )  # fmt: skip
    findings: list[Finding] = []
    for probe in probes:
        try:
            findings += probe()
        except Exception as error:
            findings.append(Finding(FAIL, probe.__name__.strip("_"), f"{type(error).__name__}: {error}"))
    return findings


def next_command(findings: Sequence[Finding]) -> str:
    """The most that this machine can render, as a line to type."""
    sdxl = any(finding.name == "sdxl" and finding.state == OK for finding in findings)
    gpu = any(finding.name == "device" and "CPU only" not in finding.found for finding in findings)
    command = "pokora video base=sdxl" if sdxl and gpu else "pokora video"
    lines = [f"Type next: {command} shot.prompt='1girl, blue hair, twintails, waving, cherry blossoms'"]
    if gpu and not sdxl:
        lines.append("For the contest's base: pokora models fetch base=sdxl")
    return "\n".join(lines)


def _versions() -> list[Finding]:
    found = [f"Python {platform.python_version()}"]
    missing: list[str] = []
    for name in (*LIBRARIES, "hydra-core"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    lines = [
        Finding(OK, "system", f"{platform.system()} {platform.machine()}"),
        Finding(OK, "versions", ", ".join(found)),
    ]
    if missing:
        lines.append(Finding(FAIL, "libraries", f"missing: {', '.join(missing)}", "make setup"))
    return lines


def _device() -> list[Finding]:
    if not driver.accelerator_present():
        return [Finding(OK, "device", "CPU only: nano runs well, SDXL takes hours")]
    # Whether torch's build can use the accelerator is what counts; its import takes seconds.
    import torch

    from pokora_anime.system import typed_tensors

    if torch.cuda.is_available():
        card = typed_tensors.card(torch.device("cuda", 0))
        free, total = torch.cuda.mem_get_info(0)
        return [Finding(OK, "device", f"CUDA: {card.name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free")]
    if torch.backends.mps.is_available():
        return [Finding(OK, "device", "MPS (Apple silicon)")]
    advice = "there is a graphics driver, but this build of torch cannot use it"
    advice = f"{advice}: {reason}" if (reason := driver.unusable()) else advice
    advice += f"; {setup}" if reason and (setup := driver.remedy()) else ""
    return [Finding(WARN, "device", "CPU only: nano runs well, SDXL takes hours", advice)]


def _compiler() -> list[Finding]:
    lacking = compiler.missing(DeviceKind.auto)
    if lacking is None:
        return [Finding(OK, "compiler", f"device.compile=default can be used (kept in {compiler.kept()})")]
    got, fix = lacking
    return [Finding(WARN, "compiler", f"{got}: no device.compile", fix)]


def _runtime() -> list[Finding]:
    if installed := openvino_runtime.installed():
        kept = openvino_runtime.folder()
        return [Finding(OK, "runtime", f"device.runtime=openvino can be used ({installed}, kept in {kept})")]
    return [Finding(OK, "runtime", "torch alone: OpenVINO is not installed")]


def _stills() -> list[Finding]:
    """What SDXL stills take on a processor, in the three tiers that there are for it."""
    if driver.accelerator_present():
        return []
    asked = DeviceConfig(kind=DeviceKind.cpu)
    there = hardware.of_cpu(asked, 0, bf16=cpu_bf16())
    told: dict[str, Forecast] = {}
    for tier in TIERS:
        steps = ladder(Job.of(compose("stills", ["base=sdxl", f"experiment={tier}"])), there)
        told[tier] = steps[first_fitting(steps, there.memory)]
    listed = ", ".join(
        f"{tier} {plan_text.duration(one.seconds)} and {one.peak / _GIB:.1f} GiB"
        for tier, one in told.items()
    )
    fitting = [tier for tier, one in told.items() if one.peak <= there.memory or not there.memory]
    if not fitting:
        return [Finding(WARN, "stills", f"SDXL: {listed}: none fits", "base=nano, or more memory")]
    best = fitting[-1]
    several = max(1, int(there.memory // told[best].peak))
    beside = f", {several} at once with hydra.launcher.n_jobs={several}" if several > 1 else ""
    typed = f"pokora stills base=sdxl experiment={best} fits{beside}"
    return [Finding(OK, "stills", f"SDXL, one each: {listed}", typed)]


def _cores() -> list[Finding]:
    usable, present = usable_cores(), os.cpu_count() or 1
    bf16 = "bf16 arithmetic" if cpu_bf16() else "no bf16 arithmetic (runs in fp32)"
    text = f"{usable} core{'s' if usable > 1 else ''}" + (f" of {present}" if usable != present else "")
    return [Finding(OK, "processor", f"{text}, {bf16}")]


def _memory() -> list[Finding]:
    free, total = memory_here()
    if total == 0:
        return [Finding(WARN, "memory", "unknown on this system")]
    text = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free < NEEDED_MEMORY:
        return [Finding(WARN, "memory", text, "a run may use 3 GiB: close something first")]
    return [Finding(OK, "memory", text)]


def _disk() -> list[Finding]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    text = f"{free / _GIB:.1f} GiB free here"
    if not os.access(here, os.W_OK):
        return [
            Finding(
                FAIL, "disk", f"{text}, but this folder is not writable", "cd elsewhere, or use --out DIR"
            )
        ]
    if free < NEEDED_DISK:
        return [Finding(FAIL, "disk", text, "free some, or use --out DIR on another disk")]
    return [Finding(OK, "disk", text)]


def _ffmpeg() -> list[Finding]:
    import imageio_ffmpeg

    try:
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        first = subprocess.run(
            [binary, "-version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (RuntimeError, OSError, subprocess.SubprocessError):
        return [Finding(FAIL, "ffmpeg", "not found", "pip install --force-reinstall imageio-ffmpeg")]
    return [Finding(OK, "ffmpeg", " ".join(first.splitlines()[0].split()[:3]))]


def _weights() -> list[Finding]:
    from pokora_anime.catalogue.needed_weights import check_available

    findings: list[Finding] = []
    for base in options("base"):
        try:
            check_available(compose("video", [f"base={base}"]))
            findings.append(Finding(OK, base, "weights present"))
        except PokoraError as error:
            state = FAIL if base == "nano" else WARN
            findings.append(Finding(state, base, error.got, error.fix))
    return findings


def _sandbox() -> list[Finding]:
    abi = landlock_abi()
    if abi == 0:
        found = "no Landlock: runs get a clean process of their own, and records say so"
        advice = "Linux 5.13 or later, with landlock among its security modules"
        return [Finding(WARN, "sandbox", found, advice)]
    network = " and reach no network" if seccomp.offered() else ""
    return [Finding(OK, "sandbox", f"Landlock ABI {abi}: runs read no other files{network}")]
