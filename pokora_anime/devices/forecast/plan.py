"""Which way of holding the networks fits a machine: all ways are forecast, the fastest that fits is taken.

Torch-free and pure: a plan follows from a job and a piece of hardware.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import product

from pokora_anime.devices import openvino_runtime
from pokora_anime.devices.forecast.workload import Converts, Job
from pokora_anime.devices.hardware import GIB, Hardware
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Compile, DeviceKind, DType, Runtime

_PROCESS = {DeviceKind.cuda: 0.8 * GIB, DeviceKind.mps: 0.8 * GIB, DeviceKind.cpu: 0.6 * GIB}
# What a clip's frames take on their way to the MP4, measured at 512 and at 768 pixels: flow, scores, encoder,
# and bytes for each pixel of a delivered frame.
_DELIVERING, _DELIVERED_PIXEL = 0.2 * GIB, 240
_MARGIN = 1.08  # what an allocator loses between blocks
_STREAMED = 0.15 * GIB  # the layers under way while weights are streamed, the next ones already there
_FP8_SHARE = 0.55  # of the half-precision weights: norms and embeddings stay as they are
_BUS = 10e9  # bytes a second from the host's memory to the card
_USABLE = 0.94  # of the memory: a forecast may be a little too low
_PINNED = 1.3  # measured: SDXL's motion UNet and two ControlNets take 12.9 GiB of 9.9
_KEPT_FREE = 2 * GIB  # of the host's memory
_OPENVINO = 0.7  # of torch's seconds, measured with nano's networks
_FP32 = 4  # bytes
_LONG = 300.0  # seconds of computing from which on networks are converted for one run
_READING = 1e9  # bytes of weights a second, from the disk to where they are held


class Offload(Enum):
    """Where weights wait between passes."""

    none = "none"  # on the device
    model = "model"  # in the host's memory, one network on the device at a time
    group = "group"  # in the host's memory, streamed layer by layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run uses its device. The default holds everything there and computes as the config says.

    `sequential`: guidance in two passes. `alternate`: decoding waits for denoising steps. `decode_chunk`:
    at most so many frames at once, 0 for the config's own number. `tiled`: a second pass sees tiles.
    `compile`: how the networks that move frames are compiled. `converts`: which networks OpenVINO computes.
    """

    offload: Offload = Offload.none
    fp8: bool = False
    sequential: bool = False
    alternate: bool = False
    decode_chunk: int = 0
    tiled: bool = False
    compile: Compile = Compile.off
    converts: tuple[Converts, ...] = ()

    def holds_as(self, other: Plan) -> bool:
        """Whether networks that are held for the other plan serve this one too."""
        return self.holding == other.holding and self.sequential == other.sequential

    @property
    def holding(self) -> tuple[Offload, bool, Compile, tuple[Converts, ...]]:
        """What loaded networks are made ready for."""
        return self.offload, self.fp8, self.compile, self.converts

    @property
    def denoising(self) -> dict[str, Json]:
        """What may change the bits of latents, for their node's environment; empty for the default."""
        found: dict[str, Json] = {"guidance": "sequential"} if self.sequential else {}
        found |= {"weights": "fp8"} if self.fp8 else {}
        return found | self._computed_by("unet", "control")

    @property
    def moving(self) -> dict[str, Json]:
        """`denoising` for segments: the networks that move frames may be compiled."""
        found = {name: value for name, value in self.denoising.items() if name != "runtime"}
        found |= {"compile": self.compile.value} if self.compile is not Compile.off else {}
        return found | self._computed_by("motion", "control")

    def _computed_by(self, *networks: Converts) -> dict[str, Json]:
        return {"runtime": openvino_runtime.named()} if {*networks} & {*self.converts} else {}

    @property
    def enlarging(self) -> dict[str, Json]:
        """What changes the latents of a second pass, for their node's environment; empty for the default."""
        return {"hires": "tiled"} if self.tiled else {}

    @property
    def deviations(self) -> int:
        """How many settings differ from the default."""
        changed = (self.offload is not Offload.none, self.fp8, self.sequential, self.alternate, self.tiled)
        return sum(changed) + bool(self.decode_chunk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A plan with the bytes that it is expected to use on the device at its peak, and its seconds.

    `computing` is the networks' share of them; `delivering` is what frames take after that or beside it.
    """

    plan: Plan
    peak: int
    host: int
    starting: float
    computing: float
    delivering: float

    @property
    def seconds(self) -> float:
        """From typing the command to the finished clip."""
        return self.starting + self.computing + self.delivering


def forecast(plan: Plan, job: Job, hardware: Hardware) -> Forecast:
    """Peak memory and time of a job under a plan."""
    nets, pixels, number = job.networks, job.latent_pixels, hardware.number_bytes
    rows = job.rows(sequential=plan.sequential)
    moved = job.rows(sequential=plan.sequential, clip=True)
    held_so = (nets.unet, nets.motion, nets.control, nets.adapter)  # as the plan says
    text, unet, motion, control, vae, adapter = (
        _weights(network.parameters, plan if network in held_so else Plan()) * hardware.weight_bytes
        for network in (nets.text, nets.unet, nets.motion, nets.control, nets.vae, nets.adapter)
    )
    motion += adapter * job.adapted
    chunk = min(plan.decode_chunk or job.decode_chunk, job.decode_chunk)
    decoding = job.shown_pixels * number * nets.vae.alive * chunk
    handed = nets.residuals if job.controls else 0
    alive = max(nets.motion.alive + handed, nets.control.alive + 2 * handed if job.controls else 0)
    moving = moved * job.frames * number * max(pixels * alive, _seen_again(plan, job) * nets.motion.alive)
    picture = rows * pixels * number * nets.unet.alive
    clip = motion + job.controls * control
    if plan.offload is Offload.model:
        clip = max(motion, control if job.controls else 0.0)
    elif plan.offload is Offload.group:
        unet, clip = _STREAMED, _STREAMED
    encoder = _FP32 * nets.encoder.parameters if job.adapted else 0.0
    phases = [text, unet + vae + max(picture, pixels * number * nets.vae.alive), encoder + vae]
    if job.segments:
        phases.append(clip + vae + (max(moving, decoding) if plan.alternate else moving + decoding))
    held = motion + job.controls * control if plan.offload is not Offload.none else 0.0
    # Each weight is pinned in a block of a power of two; the network that is loaded lies beside its copy.
    waiting = _PINNED * held + max(motion, control if job.controls else 0.0) if held else 0.0
    computing = _seconds(plan, job, hardware, held)
    delivering = hardware.delivering * job.delivered / hardware.cores
    if hardware.kind is not DeviceKind.cpu:  # the processor works while the device does
        delivering = max(0.0, delivering - computing)
    return Forecast(
        plan=plan,
        peak=round(_PROCESS[hardware.kind] + _frames(job, hardware) + _MARGIN * max(phases)),
        host=round(waiting),
        starting=hardware.starting + weights(job) / _READING,
        computing=computing,
        delivering=delivering,
    )


def _frames(job: Job, hardware: Hardware) -> float:
    """Bytes of the frames that are delivered beside the networks; a card's memory holds none."""
    if not job.segments or hardware.kind is DeviceKind.cuda:
        return 0.0
    return _DELIVERING + _DELIVERED_PIXEL * job.delivered_frame


def weights(job: Job) -> int:
    """Bytes of all weights that a run reads; published files hold two a parameter."""
    nets = job.networks
    moving = nets.motion.parameters + job.controls * nets.control.parameters if job.segments else 0
    if job.adapted:
        moving += nets.adapter.parameters + 2 * nets.encoder.parameters  # which is published in fp32
    return 2 * (nets.text.parameters + nets.unet.parameters + nets.vae.parameters + moving)


def _seen_again(plan: Plan, job: Job) -> int:
    """Latent pixels of a frame that the second pass shows the network at once."""
    if job.hires is None:
        return 0
    return job.latent_pixels if plan.tiled or job.hires.tiled else job.hires.latent_pixels


def ladder(job: Job, hardware: Hardware) -> tuple[Forecast, ...]:
    """Every plan that is worth trying, each slower or coarser than the one before and smaller.

    Plans with fp8 weights come last, before them a second pass in tiles: they alone change what is seen.
    """
    if job.runtime is Runtime.auto:
        pays = forecast(Plan(), job, hardware.nominal).computing > _LONG
        job = replace(job, runtime=Runtime.openvino if pays else Runtime.torch)
    found = sorted(
        (forecast(plan, job, hardware.nominal) for plan in _plans(job, hardware)),
        key=lambda one: (one.plan.fp8, one.plan.tiled, one.seconds, one.plan.deviations),
    )
    steps: list[Forecast] = []
    for one in found:
        possible = one.host == 0 or hardware.host == 0 or one.host + _KEPT_FREE <= hardware.host
        if possible and (not steps or one.peak < steps[-1].peak):
            steps.append(one)
    return tuple(forecast(one.plan, job, hardware) for one in steps) if hardware.stated else tuple(steps)


def first_fitting(steps: tuple[Forecast, ...], memory: int) -> int:
    """The index of the first plan that fits into so many bytes (0: unknown, all do), or of the last."""
    enough = _USABLE * memory
    fitting = (index for index, one in enumerate(steps) if memory == 0 or one.peak <= enough)
    return next(fitting, len(steps) - 1)


def _plans(job: Job, hardware: Hardware) -> list[Plan]:
    cuda = hardware.kind is DeviceKind.cuda
    offloads = tuple(Offload) if cuda else (Offload.none,)
    chunks = (0, 1) if job.decode_chunk > 1 else (0,)
    sequential = (False, True) if job.rows(sequential=False) > 1 else (False,)
    alternate = (False, True) if job.segments else (False,)
    fp8 = (False, True) if cuda and hardware.dtype is not DType.fp32 else (False,)
    tiled = (False, True) if job.hires is not None and not job.hires.tiled else (False,)
    return [
        Plan(
            offload=where,
            fp8=small,
            sequential=one,
            alternate=turns,
            decode_chunk=chunk,
            tiled=parts,
            # Hooks on every layer, which stream or widen its weights, leave nothing to compile.
            compile=Compile.off if small or where is Offload.group else job.compile,
            # A conversion wants the process for itself, which decoding between steps does not give.
            converts=() if turns or hardware.kind is not DeviceKind.cpu else _converts(job),
        )
        for where, small, one, turns, chunk, parts in product(
            offloads, fp8, sequential, alternate, chunks, tiled
        )
    ]


def _converts(job: Job) -> tuple[Converts, ...]:
    return job.converts if job.runtime is Runtime.openvino else ()


def _weights(parameters: int, plan: Plan) -> float:
    return parameters * (_FP8_SHARE if plan.fp8 else 1.0)


def _seconds(plan: Plan, job: Job, hardware: Hardware, held: float) -> float:
    slower = (1.05 if plan.sequential else 1.0) * (1.02 if plan.alternate else 1.0)
    slower *= _OPENVINO if plan.converts else 1.0
    slower *= (1.01 if plan.decode_chunk else 1.0) * (1.02 if plan.fp8 else 1.0)
    computing = slower * job.flops(tiled=plan.tiled) / hardware.rate_of(job.family)
    passes = job.segments * (job.steps - job.skipped + (job.hires.steps if job.hires else 0))
    if job.clip_guided and (plan.sequential or not job.batched):
        passes *= 1.0 + job.clip_guided
    carrying = passes * held / _BUS
    if plan.offload is Offload.group:  # the next layers travel while these compute
        return max(computing * 1.05, carrying)
    if plan.offload is Offload.model:  # without ControlNets nothing has to make room
        return computing + (carrying if job.controls else held / _BUS)
    return computing
