"""Memory and time of a LoRA training, before it begins, and the quickest way of it that fits. Torch-free.

`SAVED` and `TRAINED` were counted on the meta device from the published configurations: what autograd keeps
between forward and backward, where attention is fused, and the parameters that peft adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pokora_anime.devices.forecast.plan_text import duration
from pokora_anime.devices.forecast.workload import NETWORKS, Network
from pokora_anime.devices.hardware import GIB, Hardware
from pokora_anime.schema.settings import BaseConfig, DeviceKind, Family
from pokora_anime.timeline.hires_plan import LATENT_SCALE
from pokora_anime.workshop.training.lora_settings import Layers, LoraSettings, Role

# Numbers kept per latent pixel of a picture: without and with gradient checkpointing (arXiv 1604.06174).
SAVED: Mapping[tuple[Family, Layers], tuple[int, int]] = {
    (Family.sdxl, Layers.attention): (170_771, 14_890),
    (Family.sdxl, Layers.all): (210_173, 17_969),
    (Family.sd2, Layers.attention): (92_047, 12_909),
    (Family.sd2, Layers.all): (114_078, 18_988),
    (Family.nano, Layers.attention): (5_782, 1_236),
    (Family.nano, Layers.all): (7_343, 1_618),
}
# Parameters that are trained, per rank.
TRAINED: Mapping[tuple[Family, Layers], int] = {
    (Family.sdxl, Layers.attention): 1_451_520,
    (Family.sdxl, Layers.all): 3_074_240,
    (Family.sd2, Layers.attention): 207_488,
    (Family.sd2, Layers.all): 1_059_008,
    (Family.nano, Layers.attention): 16_128,
    (Family.nano, Layers.all): 72_384,
}
# The same of motion UNets, of which only the temporal layers are trained: per latent pixel of each frame.
MOTION_SAVED: Mapping[tuple[Family, Layers], tuple[int, int]] = {
    (Family.sdxl, Layers.attention): (275_376, 90_282),
    (Family.sdxl, Layers.all): (275_376, 90_282),
    (Family.sd2, Layers.attention): (165_560, 90_161),
    (Family.sd2, Layers.all): (165_560, 90_161),
    (Family.nano, Layers.attention): (14_500, 9_901),
    (Family.nano, Layers.all): (14_500, 9_901),
}
MOTION_TRAINED: Mapping[tuple[Family, Layers], int] = {
    (Family.sdxl, Layers.attention): 179_200,
    (Family.sdxl, Layers.all): 380_800,
    (Family.sd2, Layers.attention): 302_080,
    (Family.sd2, Layers.all): 641_920,
    (Family.nano, Layers.attention): 15_360,
    (Family.nano, Layers.all): 32_640,
}
# Of text encoders that are trained too: parameters per rank, and numbers kept of a caption.
TEXT_TRAINED: Mapping[Family, int] = {Family.sdxl: 401_408, Family.sd2: 188_416, Family.nano: 6_144}
TEXT_SAVED: Mapping[Family, int] = {
    Family.sdxl: 62_723_592,
    Family.sd2: 29_448_192,
    Family.nano: 886_124,
}
_TOKENS = 77  # of a caption
_FRAMES = 16  # of a clip
_STATE = 16  # bytes of a trained parameter: itself, its gradient and two moments, in fp32
_PASSES = (2.0, 3.0)  # forward and backward through frozen layers, in forward passes; checkpointed: once more
_ADDED = {Layers.attention: 1.0, Layers.all: 1.3}  # what peft's layers take beside them
_STEP = 0.06  # seconds a part that small networks do not go below: starting kernels, the optimiser (assumed)
_PROCESS = {DeviceKind.cpu: 0.6 * GIB}
_CONTEXT = 0.8 * GIB  # of a card's driver and libraries
_MARGIN = 1.08  # what an allocator loses between blocks
_USABLE = 0.94  # of the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A batch in so many parts, with gradient checkpointing or without: bytes at the peak, seconds a step."""

    parts: int
    checkpointed: bool
    peak: int
    step_seconds: float

    def line(self, settings: LoraSettings, hardware: Hardware) -> str:
        """What to expect, for a person: memory, how, time."""
        how = [f"each batch in {self.parts} parts"] if self.parts > 1 else []
        how += ["gradient checkpointing"] if self.checkpointed else []
        room = f" of {hardware.memory / GIB:.1f}" if hardware.memory else ""
        with_ = f", {' and '.join(how)}" if how else ""
        seconds = self.step_seconds * settings.steps
        return f"{self.peak / GIB:.1f} GB{room}{with_}, {duration(seconds)} for {settings.steps} steps"

    def fits(self, hardware: Hardware) -> bool:
        """Whether it fits into a device's memory; where that is not known, it does."""
        return not hardware.memory or self.peak <= _USABLE * hardware.memory


def ways(settings: LoraSettings, base: BaseConfig, hardware: Hardware) -> tuple[Way, ...]:
    """From the quickest to the smallest."""
    return tuple(_ways(settings, base, hardware))


def chosen(settings: LoraSettings, base: BaseConfig, hardware: Hardware) -> Way:
    """The first that fits, or the smallest."""
    found = ways(settings, base, hardware)
    return next((one for one in found if one.fits(hardware)), found[-1])


def _ways(settings: LoraSettings, base: BaseConfig, hardware: Hardware) -> Iterator[Way]:
    unet, saved = _trained_network(settings, base)
    pixels = base.width * base.height // LATENT_SCALE**2 * _pictures(settings)
    items = settings.batch * (2 if settings.prior else 1)
    forward = unet.megaflops * 1e6 * pixels * items
    reading = 2 * NETWORKS[base.family].text.parameters * _TOKENS * items if settings.text_rank else 0
    for checkpointed in (False, True):
        parts, passes = 1, _PASSES[checkpointed] * _ADDED[settings.layers]
        while parts <= settings.batch:
            at_once = -(-settings.batch // parts)
            alive = saved[checkpointed] + 2 * unet.alive
            kept = at_once * (pixels * alive + _text_kept(settings, base)) * hardware.number_bytes
            yield Way(
                parts=parts,
                checkpointed=checkpointed,
                peak=_peak(settings, base, hardware, kept),
                step_seconds=parts * _STEP + passes * (forward + reading) / hardware.rate_of(base.family),
            )
            parts *= 2


def _trained_network(settings: LoraSettings, base: BaseConfig) -> tuple[Network, tuple[int, int]]:
    """The network that the layers are in, and the numbers that it keeps per latent pixel."""
    networks, kind = NETWORKS[base.family], (base.family, settings.layers)
    if settings.role is Role.motion:
        return networks.motion, MOTION_SAVED[kind]
    return networks.unet, SAVED[kind]


def _pictures(settings: LoraSettings) -> int:
    """Pictures of an item of a batch: a clip is as many as it has frames."""
    return _FRAMES if settings.role is Role.motion else 1


def _text_kept(settings: LoraSettings, base: BaseConfig) -> int:
    """Numbers that are kept of a caption while its encoders are trained."""
    return TEXT_SAVED[base.family] if settings.text_rank else 0


def _peak(settings: LoraSettings, base: BaseConfig, hardware: Hardware, kept: float) -> int:
    networks, pixels = NETWORKS[base.family], base.width * base.height // LATENT_SCALE**2
    counted = MOTION_TRAINED if settings.role is Role.motion else TRAINED
    trained = settings.rank * counted[base.family, settings.layers] * _STATE
    network = _trained_network(settings, base)[0]
    unet = network.parameters * hardware.weight_bytes + trained
    vae = networks.vae.parameters * hardware.weight_bytes
    drawing = networks.vae.alive * pixels * hardware.number_bytes  # one picture at a time
    encoding = 4 * (networks.vae.parameters + networks.vae.alive * pixels)
    text = networks.text.parameters * hardware.weight_bytes
    learnt = text + settings.text_rank * TEXT_TRAINED[base.family] * _STATE if settings.text_rank else 0
    phases = (encoding, text, unet + learnt + kept, unet + learnt + vae + drawing)
    return round(_PROCESS.get(hardware.kind, _CONTEXT) + _MARGIN * max(phases))
