"""How much a composition asks of a machine, counted from its config. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pokora_anime.devices import openvino_runtime
from pokora_anime.schema.settings import (
    Anchor,
    Chain,
    Compile,
    ControlNetwork,
    Family,
    RunConfig,
    Runtime,
    SpeedConfig,
    StillsConfig,
    VideoConfig,
)
from pokora_anime.timeline import (
    choreography_plan,
    draft_plan,
    hires_plan,
    join_plan,
    segment_plan,
    shot_plan,
)
from pokora_anime.timeline.frame_timing import frames_delivered, frames_generated
from pokora_anime.timeline.hires_plan import LATENT_SCALE

Converts = Literal["unet", "motion", "control"]
_ANCHORED = {Anchor.none: 1.0, Anchor.frame: 1.06, Anchor.attention: 1.1, Anchor.both: 1.2}
OVERLAPPING = 1.6  # how much of a frame tiles cover, counted with their overlaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network: its parameters, and per latent pixel (of one frame and one row of guidance) the
    numbers alive at its peak and the arithmetic of a pass in MFLOP. Counted on the meta device."""

    parameters: int
    alive: int = 0
    megaflops: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a base. `residuals` are the numbers that a ControlNet hands over, per latent pixel;
    `adapter` is what an IP-Adapter adds to the motion UNet, `encoder` its image encoder, held in fp32.
    """

    text: Network
    unet: Network
    motion: Network
    control: Network
    residuals: int
    vae: Network
    adapter: Network = Network(parameters=0)
    encoder: Network = Network(parameters=0)


NETWORKS: dict[Family, Networks] = {
    Family.sdxl: Networks(
        text=Network(parameters=817_720_320),
        unet=Network(parameters=2_567_463_684, alive=5058, megaflops=395.1),
        motion=Network(parameters=2_804_242_884, alive=8342, megaflops=463.0),
        control=Network(parameters=1_251_014_160, alive=4898, megaflops=173.1),
        residuals=1640,
        vae=Network(parameters=83_653_863, alive=49_156, megaflops=624.4),
        adapter=Network(parameters=340_787_200),
        encoder=Network(parameters=632_076_800),
    ),
    Family.sd2: Networks(
        text=Network(parameters=340_387_840),
        unet=Network(parameters=865_910_724, alive=8329, megaflops=233.2),
        motion=Network(parameters=1_283_048_324, alive=8333, megaflops=306.8),
        control=Network(parameters=364_228_240, alive=7689, megaflops=80.4),
        residuals=1640,
        vae=Network(parameters=83_653_863, alive=49_156, megaflops=624.4),
    ),
    Family.nano: Networks(
        text=Network(parameters=1_582_592),
        unet=Network(parameters=7_092_932, alive=900, megaflops=2.769),
        motion=Network(parameters=9_546_116, alive=1624, megaflops=4.025),
        control=Network(parameters=3_096_456, alive=901, megaflops=0.775),
        residuals=200,
        vae=Network(parameters=1_643_927, alive=6148, megaflops=8.869),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hires:
    """A second pass: latent pixels of one of its frames, its steps, and whether it sees tiles in any case."""

    latent_pixels: int
    steps: int
    tiled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run as numbers: what its networks are, how often they pass, and over how many latent pixels."""

    family: Family
    width: int
    height: int
    frames: int  # in a segment; 0 for stills
    segments: int
    pictures: int  # stills, or the keyframe
    steps: int
    guided: float  # share of the steps that run the unconditional branch too
    batched: bool  # as one batch of two
    controls: int
    decode_chunk: int
    clip_guided: float = 0.0  # the same share of a segment's steps
    steered: float = 0.0  # frames that each ControlNet sees at a step, all segments together
    delivered: int = 0  # pixels of all frames as they are encoded
    delivered_frame: int = 0  # of one of them
    anchored: float = 1.0  # what a segment's step takes with the keyframe beside it, of one without
    adapted: bool = False  # segments see the keyframe through an IP-Adapter
    draft_steps: int = 0  # of the pass that control maps are read from
    skipped: int = 0  # of a segment's steps, which starts from the keyframe
    hires: Hires | None = None
    compile: Compile = Compile.off
    runtime: Runtime = Runtime.torch  # auto: openvino if the run is long enough to convert networks for it
    converts: tuple[Converts, ...] = ()  # which of them it then computes

    @classmethod
    def of(cls, config: RunConfig) -> Job:
        """The job that a composed config describes."""
        speed = config.speed
        video = config if isinstance(config, VideoConfig) else None
        stills = config if isinstance(config, StillsConfig) else None
        return cls(
            family=config.base.family,
            width=config.base.width,
            height=config.base.height,
            frames=video.motion.frames if video else 0,
            segments=_segments(video) if video else 0,
            pictures=stills.count if stills else _keyframes(video),
            steps=speed.steps,
            guided=_guided(speed, speed.guidance_end),
            clip_guided=_guided(speed, _clip_end(video)) if video else 0.0,
            batched=speed.guidance_batched,
            controls=_controls(video) if video else 0,
            decode_chunk=video.finish.decode_chunk if video else 1,
            steered=_steered(video) if video else 0.0,
            delivered=_delivered(video) if video else 0,
            delivered_frame=video.finish.width * video.finish.height if video else 0,
            anchored=_anchored(video) if video else 1.0,
            adapted=shot_plan.adapted(video) if video else False,
            draft_steps=draft_plan.settings(video).speed.steps if video and draft_plan.wanted(video) else 0,
            skipped=choreography_plan.skipped(video) if video else 0,
            hires=_hires(video) if video and hires_plan.asked(video) else None,
            compile=config.device.compile if video else Compile.off,
            runtime=openvino_runtime.chosen(config),
            converts=_converts(config),
        )

    @property
    def networks(self) -> Networks:
        """The base's networks."""
        return NETWORKS[self.family]

    @property
    def latent_pixels(self) -> int:
        """Of one frame."""
        return (self.width // LATENT_SCALE) * (self.height // LATENT_SCALE)

    def rows(self, *, sequential: bool, clip: bool = False) -> int:
        """Rows of a pass at the steps with guidance, of a picture or of a clip's segment."""
        guided = self.clip_guided if clip else self.guided
        return 2 if guided and self.batched and not sequential else 1

    @property
    def shown_pixels(self) -> int:
        """Latent pixels of a frame as it is decoded."""
        return self.hires.latent_pixels if self.hires else self.latent_pixels

    def flops(self, *, tiled: bool) -> float:
        """Arithmetic of the whole run, decoding included; `tiled`: its second pass sees tiles."""
        nets, passes = self.networks, self.steps * (1.0 + self.guided)
        picture = self.latent_pixels * (passes * nets.unet.megaflops + nets.vae.megaflops)
        moving = (self.steps - self.skipped) * (self.anchored + self.clip_guided) * nets.motion.megaflops
        steering = (self.steps - self.skipped) * (1.0 + self.clip_guided) * self.controls
        steered = self.steered * self.latent_pixels * steering * nets.control.megaflops
        drafted = self.draft_steps * (1.0 + self.clip_guided) * nets.motion.megaflops
        drafted += nets.vae.megaflops if self.draft_steps else 0.0
        frame = self.latent_pixels * (moving + drafted) + self.shown_pixels * nets.vae.megaflops
        if self.hires is not None:
            seen = self.hires.latent_pixels * (OVERLAPPING if tiled or self.hires.tiled else 1.0)
            frame += seen * self.hires.steps * (1.0 + self.guided) * nets.motion.megaflops
        return 1e6 * (self.pictures * picture + self.segments * self.frames * frame + steered)


def _guided(speed: SpeedConfig, end: float) -> float:
    """The share of the schedule with CFG, up to `end`."""
    return max(0.0, end - speed.guidance_start) if speed.guidance_scale > 1.0 else 0.0


def _clip_end(config: VideoConfig) -> float:
    speed = config.speed
    follows = config.keyframe.enabled
    return min(speed.guidance_end, speed.clip_guidance_end) if follows else speed.guidance_end


def _hires(config: VideoConfig) -> Hires:
    height, width = hires_plan.latent_size(config)
    tiled = config.finish.hires.tiled
    return Hires(latent_pixels=height * width, steps=hires_plan.steps(config), tiled=tiled)


def _converts(config: RunConfig) -> tuple[Converts, ...]:
    """A clip's keyframe is torch's, to the bit: it is one picture, and everything follows from it.

    With auto nano's ControlNets are torch's too: they run for less time than their graphs take to load.
    """
    if not isinstance(config, VideoConfig):
        return ("unet",)
    small = config.device.runtime is Runtime.auto and config.base.family is Family.nano
    return ("motion",) if small else ("motion", "control")


def _controls(config: VideoConfig) -> int:
    """ControlNets that a clip loads: the union network stands for all kinds of maps."""
    kinds = len(config.control.kinds)
    return min(1, kinds) if config.control.network is ControlNetwork.union else kinds


def _steered(config: VideoConfig) -> float:
    """Frames of all segments that the ControlNets act on (motion.frame_weights), the mean of the steps."""
    control, frames = config.control, config.motion.frames
    count = _segments(config)
    if not config.control.kinds:
        return 0.0
    share = max(0.0, control.end - control.start)
    if control.fade_floor > 0 or draft_plan.wanted(config) or choreography_plan.wanted(config):
        return share * count * frames
    again = control.join_frames * (count - 1) if join_plan.mapped(config) else 0
    return share * (min(control.fade_frames, frames) + again)


def _anchored(config: VideoConfig) -> float:
    """Measured on nano, and counted for it alone: 1.06 with a frame more, 1.1 with its keys and values."""
    if not config.keyframe.enabled or config.base.family is not Family.nano:
        return 1.0
    return _ANCHORED[config.motion.anchor]


def _delivered(config: VideoConfig) -> int:
    finish = config.finish
    return frames_delivered(config.shot.seconds, finish.fps) * finish.width * finish.height


def _keyframes(config: VideoConfig | None) -> int:
    if config is None or not config.keyframe.enabled:
        return 0
    return config.best_of + choreography_plan.redraws(config)


def _segments(config: VideoConfig) -> int:
    """Segments of a clip; windows cost about as much as segments that overlap as they do."""
    frames = frames_generated(config)
    if config.motion.chain is Chain.windows:
        return len(
            segment_plan.windows(
                max(frames, config.motion.frames), config.motion, segment_plan.period(config)
            )
        )
    return len(segment_plan.of(config, frames))
