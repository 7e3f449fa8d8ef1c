"""The typed configuration: one dataclass per group that a user chooses from.

Schemas are not frozen (Hydra composes YAML into them) and have slots, so that an unknown key
raises. Nothing here can hold a path, a URL or an image: text, seeds, numbers, enums, registry ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MISSING: Any = "???"  # OmegaConf's sign for a value that must be given
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


class Family(Enum):
    """Base model families."""

    sdxl = "sdxl"
    sd2 = "sd2"
    nano = "nano"


class Sampler(Enum):
    """Schedulers; which one is used follows from the speed mode."""

    dpmpp_2m_karras = "dpmpp_2m_karras"
    lcm = "lcm"
    euler_trailing = "euler_trailing"  # steps counted back from the noisiest one; DDIM's equal


class ControlKind(Enum):
    """Control maps that can be extracted from what the base drew."""

    pose = "pose"
    depth = "depth"
    canny = "canny"
    lineart = "lineart"


class MapSource(Enum):
    """Where control maps are read: in the keyframe once, in the frame that each segment starts from (the
    keyframe, then the last known one), or in every frame of a draft of the clip; or, for poses, planned by
    the choreographer from the words.
    """

    keyframe = "keyframe"
    segment = "segment"
    draft = "draft"
    choreography = "choreography"


class ControlNetwork(Enum):
    """One ControlNet for each kind of map, or the union network for all (an approximation, and cheaper)."""

    separate = "separate"
    union = "union"


class Betas(Enum):
    """The noise schedule of the motion: that of the base, or the one that the adapter was trained with.

    Auto takes the adapter's for SDXL without a distilled LoRA: the base and its speed LoRAs know beta_end
    0.012, AnimateDiff for SDXL was trained with 0.020.
    """

    auto = "auto"
    base = "base"
    adapter = "adapter"


class Interpolation(Enum):
    """How generated frames become delivered frames: repeated, by optical flow, or by the network RIFE."""

    none = "none"
    flow = "flow"
    rife = "rife"


class Camera(Enum):
    """The camera's move: free leaves it to the prompt's words. The view goes where the name says."""

    free = "free"
    static = "static"
    pan_left = "pan_left"
    pan_right = "pan_right"
    zoom_in = "zoom_in"
    zoom_out = "zoom_out"
    tilt_up = "tilt_up"
    tilt_down = "tilt_down"
    rolling_clockwise = "rolling_clockwise"
    rolling_anticlockwise = "rolling_anticlockwise"

    @property
    def moves(self) -> bool:
        """Whether something is asked for that moves."""
        return self not in (Camera.free, Camera.static)


class Upscale(Enum):
    """How frames that are delivered larger than they were generated become so.

    Lanczos enlarges pictures. Hires denoises the clip's latents a second time, enlarged, by the same
    networks; network repaints the finished frames by an open upscaler, which no contest takes. Crisp draws
    nano's frames three times as large by a network of the family's own. What is then still lacking to the
    delivered size, or too much, is resampled.
    """

    lanczos = "lanczos"
    crisp = "crisp"
    hires = "hires"
    network = "network"


class Minimum(Enum):
    """What a clip's scorecard must be at least: nothing, without a bad number, with good ones alone."""

    none = "none"
    fair = "fair"
    good = "good"


class Chain(Enum):
    """How a clip is made of segments: one after the other, or windows that slide over all of it."""

    overlap = "overlap"
    windows = "windows"


class Anchor(Enum):
    """How every segment sees the keyframe: as one more frame, through reference attention, or both."""

    none = "none"
    frame = "frame"
    attention = "attention"
    both = "both"


class DeviceKind(Enum):
    """Where the models run; auto takes CUDA, then MPS, then the CPU."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class DType(Enum):
    """Number format of the networks; auto takes bf16 where the processor has it, else fp32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


# Whether the networks that move frames are compiled by torch, and how long it tries kernels.
Compile = Enum("Compile", {"off": "off", "default": "default", "max-autotune": "max-autotune"})


@dataclass(kw_only=True, slots=True)
class ShotConfig:
    """What to show. `fps` are generated frames a second; delivered ones are in `finish`."""

    prompt: str = MISSING
    typed: str = ""  # the prompt with its {a|b}, where the seed chose; cannot be typed
    prefix: str = ""  # quality tags and LoRA tags put before every prompt
    negative: str = ""
    seconds: float = 8.0
    fps: int = 8


@dataclass(kw_only=True, slots=True)
class BaseConfig:
    """The base model, by registry ids, and the frame size that it generates at."""

    family: Family = MISSING
    weights: str = MISSING
    vae: str | None = None
    motion_adapter: str = MISSING
    known_ahead: float = 0.0  # what the adapter was trained on, for motion.known_ahead
    noise_share: float = 0.0  # the same for motion.noise_share
    step_share: float = 0.0  # what its few-step sampling needs of motion.step_share
    anchor: Anchor = Anchor.attention  # the default motion's motion.anchor
    deflicker: float = 0.0  # what it needs of motion.deflicker
    hold: float = 0.0  # and of motion.hold
    fill_open: bool = False  # words for what the prompt leaves open, chosen by the seed (nano)
    width: int = MISSING
    height: int = MISSING


@dataclass(kw_only=True, slots=True)
class KeyframeConfig:
    """The internal still that a clip starts from; disabled means AnimateDiff on text alone."""

    enabled: bool = True


@dataclass(kw_only=True, slots=True)
class SpeedConfig:
    """Steps and guidance; the scheduler and the LoRA follow from the mode.

    Guidance is on for the steps whose share of the schedule lies in [guidance_start, guidance_end).
    """

    name: str = MISSING
    sampler: Sampler = MISSING
    steps: int = MISSING
    guidance_scale: float = MISSING
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    guidance_batched: bool = True  # False: two passes a step, half the memory
    lora_role: str | None = None  # resolved per base by the registry
    lora_weight: float = 1.0


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    """A style LoRA by role or registry id."""

    id: str = MISSING
    weight: float = 1.0


@dataclass(kw_only=True, slots=True)
class StyleConfig:
    """Style LoRAs blended by weight."""

    loras: list[LoraConfig] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class ControlConfig:
    """Control maps, where they are taken from, and how strongly they steer the motion.

    `scale` is the weight per kind; it applies to steps in [start, end) of the schedule. That of the
    keyframe's maps fades over a clip's frames from 1 at the keyframe to `fade_floor` after `fade_frames`
    frames, that of a later segment's own from 1 at its last known frame after `join_frames`; those of a
    draft or of a choreography are each frame's own, and none fades.
    """

    kinds: list[ControlKind] = field(default_factory=list)
    source: MapSource = MapSource.keyframe
    draft_steps: int = 8  # of the draft, or the speed's own where those are fewer
    draft_smooth: int = 7  # frames over which its joints are smoothed, an odd number; 0: as they were read
    network: ControlNetwork = ControlNetwork.separate
    scale: dict[str, float] = field(default_factory=dict)
    start: float = 0.0
    end: float = 1.0
    fade_frames: int = 12
    join_frames: int = 2
    fade_floor: float = 0.35
    attempts: int = 3  # keyframe seeds to try until somebody is found for the pose


@dataclass(kw_only=True, slots=True)
class MotionConfig:
    """Chained segments: `overlap` known frames are carried over as latents (1: last latent only).

    With windows, neighbouring ones share `overlap` frames and are averaged at each step. Without a
    keyframe there is nothing to anchor to.
    """

    frames: int = 16
    chain: Chain = Chain.overlap
    overlap: int = 4
    known_ahead: float = 0.0  # known frames are seen at least as clean as this far into the schedule
    anchor: Anchor = Anchor.none
    anchor_weight: float = 4.0  # how much the keyframe counts in attention, a frame's own picture being 1
    anchor_ahead: float = 0.0  # attention sees the keyframe at least as clean as this far into the schedule
    carry: float = 0.0  # share of the schedule that a segment skips by starting from its last known frame
    loop: bool = False  # the clip's end leads into its beginning
    noise_share: float = 0.0  # share of the initial noise's variance that all frames have in common
    step_share: float = 0.0  # the same share of the noise that LCM draws at each step
    deflicker: float = 0.0  # latents that differ no more than this (RMS) from frame to frame are averaged
    hold: float = 0.0  # still places look as in the last known frame if they differ no more than this (RMS)
    betas: Betas = Betas.auto
    camera: Camera = Camera.free
    lora: str | None = None  # a motion LoRA by its role (pan_left, zoom_in ...) or registry id
    lora_weight: float = 1.0
    color_lock: float = 0.0  # how far each segment's mean colour is pulled to the keyframe's, 0..1


@dataclass(kw_only=True, slots=True)
class HiresConfig:
    """The second pass of a clip, with finish.upscale=hires.

    Latents are enlarged `scale` times a side, noised as far as the last `strength` of the schedule expects
    and denoised from there. `tiled`: in overlapping tiles of the base's size; where memory does not hold
    whole frames, a run does so by itself.
    """

    scale: float = 1.5
    strength: float = 0.5
    tiled: bool = False


@dataclass(kw_only=True, slots=True)
class UpscalerConfig:
    """The open upscaler of the finished frames, with finish.upscale=network.

    `model` is its role or registry id. It sees `tile` pixels a side at once.
    """

    model: str = "upscaler"
    tile: int = 256


@dataclass(kw_only=True, slots=True)
class FinishConfig:
    """From latents to delivered frames: interpolation, crop, zoom, scale.

    `camera` moves a window over the finished frames, which leaves out what it needs to move in. `free` is
    what motion.camera or the prompt's words make of it.
    """

    interpolation: Interpolation = Interpolation.flow
    upscale: Upscale = Upscale.lanczos
    hires: HiresConfig = field(default_factory=HiresConfig)
    upscaler: UpscalerConfig = field(default_factory=UpscalerConfig)
    fps: int = 24
    width: int = 768
    height: int = 768
    zoom: float = 1.0  # crop factor about the centre, 1 = whole frame
    camera: Camera = Camera.free
    camera_speed: float = 1.0  # 1: 0.1 frame widths, 3.5 % of growth or 2 degrees a second
    decode_chunk: int = 4  # frames decoded at once


@dataclass(kw_only=True, slots=True)
class EncodeConfig:
    """H.264 settings; one thread and bit-exact flags are always on. `preset` is one of PRESETS."""

    crf: int = 16  # 0 (lossless) to 23
    preset: str = "medium"


@dataclass(kw_only=True, slots=True)
class QualityConfig:
    """How a clip is judged. Of these keys `reroll` alone can change what is rendered.

    `reroll`: how often a segment whose join fails may be made again, each time with the next seed.
    """

    score: bool = True
    min: Minimum = Minimum.none
    reroll: int = 0
    preview: bool = True  # a small growing picture of the clip while it is rendered


@dataclass(kw_only=True, slots=True)
class FrameSize:
    """A size that a contest allows, in pixels."""

    width: int = MISSING
    height: int = MISSING


@dataclass(kw_only=True, slots=True)
class SpeedLimits:
    """What a contest says of one speed mode: scheduler, steps, CFG and the speed LoRA's role, if any."""

    sampler: Sampler = MISSING
    min_steps: int = MISSING
    max_steps: int = MISSING
    min_guidance: float = MISSING
    max_guidance: float = MISSING
    lora_role: str | None = None


@dataclass(kw_only=True, slots=True)
class WeightRange:
    """The range of a LoRA's weight."""

    low: float = MISSING
    high: float = MISSING


@dataclass(kw_only=True, slots=True)
class ContestConfig:
    """A contest's limits, as numbers and registry ids; they cannot be typed on a command line.

    `bases` may be entered, `own_bases` tells whether bases of others (own:ID) may, and `render_only` may be
    rendered with. `planned_poses`: a network may plan poses from the words unasked. `speeds` is by mode,
    `style_weights` by role. `sizes` hold for generated frames and stills, `video_lines` for the shorter
    side of a video.
    """

    name: str = MISSING
    bases: list[str] = MISSING
    own_bases: bool = False
    planned_poses: bool = False
    render_only: list[str] = MISSING
    speeds: dict[str, SpeedLimits] = MISSING
    review_speeds: list[str] = MISSING
    max_style_loras: int = MISSING
    style_weights: dict[str, WeightRange] = MISSING
    max_motion_loras: int = MISSING
    sizes: list[FrameSize] = MISSING
    video_lines: int = MISSING
    min_seconds: float = MISSING
    max_seconds: float = MISSING
    min_fps: int = MISSING
    max_fps: int = MISSING
    frames_per_segment: int = MISSING
    interpolations: list[Interpolation] = MISSING
    min_stills: int = MISSING
    max_stills: int = MISSING
    writeup_pages: int = MISSING
    poster_megabytes: float = MISSING


@dataclass(kw_only=True, slots=True)
class DeviceConfig:
    """Where and how to compute. threads 0: the number of cores this process may use.

    `memory_gb` (GiB) bounds what the networks are planned for; 0: all that is there. `compile`: the motion
    UNet and the ControlNets.
    """

    kind: DeviceKind = DeviceKind.auto
    dtype: DType = DType.auto
    threads: int = 0
    memory_gb: float = 0.0
    compile: Compile = Compile.off


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """What video and stills have in common."""

    seed: int = 0
    fresh: bool = False  # start anew although a run folder with this key exists
    shot: ShotConfig = field(default_factory=ShotConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    finish: FinishConfig = field(default_factory=FinishConfig)
    contest: ContestConfig = field(default_factory=ContestConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass(kw_only=True, slots=True)
class VideoConfig(RunConfig):
    """`pokora video`."""

    keyframe: KeyframeConfig = field(default_factory=KeyframeConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)


@dataclass(kw_only=True, slots=True)
class StillsConfig(RunConfig):
    """`pokora stills`: images, each with the next seed."""

    count: int = 1
