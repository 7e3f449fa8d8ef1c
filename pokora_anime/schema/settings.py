"""The typed configuration: one dataclass per group that a user chooses from.

Schemas are not frozen (Hydra composes YAML into them) and have slots, so that an unknown key
raises. Nothing here can hold a path, a URL or an image: text, seeds, numbers, enums, registry ids.

A setting is one field: its type, its law (what it may be, and what it is for) and its default. The checks,
what can be typed, the help pages and docs/settings.md follow from it.
"""

# No `from __future__ import annotations`: laws are made once, and not again by each who reads the types.
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from pokora_anime.schema.field_laws import REQUIRED, Law, Text

MISSING = REQUIRED
MOST_SIDE = 2048  # pixels of a generated frame
MOST_STILLS = 64  # of one run
LAST_SEED = 2**63 - 1
USUAL_IDENTITY_SCALE = 0.6
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


class Effect(Enum):
    """What each segment does to the last frame of the one before, from which it starts: a feedback."""

    none = "none"
    zoom_feedback = "zoom_feedback"
    rotate_feedback = "rotate_feedback"
    drift = "drift"


class Curve(Enum):
    """How a key point leads to the next one: evenly, slowly at both ends, or at once when it is reached."""

    linear = "linear"
    ease = "ease"
    hold = "hold"


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


class Identity(Enum):
    """What keeps a clip's character: the anchor alone, or an IP-Adapter that sees the keyframe beside it."""

    anchor = "anchor"
    adapter = "adapter"


class DeviceKind(Enum):
    """Where the models run; auto takes CUDA, then MPS, then the CPU."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class DType(Enum):
    """Number format of the networks; auto takes bf16 where it is, else fp16 on a card, fp32 on a CPU."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


# Whether the networks that move frames are compiled by torch, and how long it tries kernels.
Compile = Enum("Compile", {"off": "off", "default": "default", "max-autotune": "max-autotune"})


class Runtime(Enum):
    """What computes the UNets and ControlNets of a run on a CPU or an Intel GPU."""

    torch = "torch"
    openvino = "openvino"
    auto = "auto"


def _share(text: str) -> Law:
    """The law of a part of a whole."""
    return Law(text, low=0, high=1)


def _lora_weight(text: str) -> Law:
    return Law(text, low=0, high=2)


@dataclass(kw_only=True, slots=True)
class SoundTrack:
    """What a registered sound is to a clip; follows from shot.sound, and nobody types it.

    `curve` has a digit for each delivered frame, the strength of the accent there.
    """

    sha256: Annotated[str, Law("hash of the sound's file", text=Text.hash)] = ""
    heard: Annotated[str, Law("hash of the AAC frames in the MP4", text=Text.hash)] = ""
    licence: Annotated[str, Law("the sound's licence", text=Text.licence)] = ""
    curve: Annotated[str, Law("its accents at each delivered frame", text=Text.curve)] = ""
    rate: Annotated[int, Law("digits of the curve a second", low=0, high=60)] = 0


@dataclass(kw_only=True, slots=True)
class ShotConfig:
    """What to show. `fps` are generated frames a second; delivered ones are in `finish`."""

    prompt: Annotated[str, Law("what the clip or still shows", text=Text.prompt)] = MISSING
    typed: Annotated[
        str, Law("the prompt with its {a|b}, where the seed chose", text=Text.prompt, typed=False)
    ] = ""
    prefix: Annotated[str, Law("quality tags and LoRA tags put before every prompt", text=Text.prompt)] = ""
    negative: Annotated[str, Law("what to leave out; read where CFG is on", text=Text.prompt)] = ""
    seconds: Annotated[float, Law("length of the clip", low=0.5, high=600, unit="s")] = 8.0
    fps: Annotated[int, Law("generated frames a second", low=1, high=60, unit="fps")] = 8
    beat: Annotated[
        float | None, Law("a beat that moves the clip; null: none", low=20, high=300, unit="BPM")
    ] = None
    sound: Annotated[
        str | None, Law("a registered sound that moves the clip; null: none", text=Text.sound)
    ] = None
    track: Annotated[SoundTrack, Law("what the sound is", typed=False)] = field(default_factory=SoundTrack)
    begins: Annotated[
        float, Law("when a shot of a list begins", low=0, high=14_400, unit="s", typed=False)
    ] = 0.0


@dataclass(kw_only=True, slots=True)
class BaseConfig:
    """The base model, by registry ids, and the frame size that it generates at."""

    family: Annotated[Family, Law("family of the base model")] = MISSING
    weights: Annotated[str, Law("the base model", text=Text.weights)] = MISSING
    vae: Annotated[str | None, Law("another VAE than the base's own", text=Text.weights)] = None
    motion_adapter: Annotated[str, Law("the motion adapter", text=Text.weights)] = MISSING
    known_ahead: Annotated[float, _share("motion.known_ahead that the adapter was trained on")] = 0.0
    noise_share: Annotated[float, _share("motion.noise_share that it was trained on")] = 0.0
    step_share: Annotated[float, _share("motion.step_share that its few-step sampling needs")] = 0.0
    anchor: Annotated[Anchor, Law("motion.anchor of motion=default")] = Anchor.attention
    deflicker: Annotated[float, _share("motion.deflicker that it needs")] = 0.0
    hold: Annotated[float, Law("motion.hold that it needs", low=0, high=10)] = 0.0
    pose_start: Annotated[float, Law("motion.pose_start that it needs", low=0, high=0.9)] = 0.0
    posed_keyframe: Annotated[bool, Law("keyframe.posed that it needs")] = False
    fill_open: Annotated[bool, Law("the seed chooses words for what the prompt leaves open (nano)")] = False
    width: Annotated[
        int, Law("width of a generated frame", low=64, high=MOST_SIDE, multiple=8, unit="px")
    ] = MISSING
    height: Annotated[
        int, Law("height of a generated frame", low=64, high=MOST_SIDE, multiple=8, unit="px")
    ] = MISSING


@dataclass(kw_only=True, slots=True)
class KeyframeConfig:
    """The internal still that a clip starts from; disabled means AnimateDiff on text alone."""

    enabled: Annotated[bool, Law("start from an internal still; false: AnimateDiff on text alone")] = True
    likeness: Annotated[
        float, Law("how much a later shot's keyframe attends to the first one's; 0: not", low=0, high=10)
    ] = 1.0
    posed: Annotated[
        bool, Law("it is drawn again in the first planned pose (control.source=choreography)")
    ] = False
    identity: Annotated[
        Identity, Law("what keeps the character: motion.anchor alone, or an IP-Adapter beside it (SDXL)")
    ] = Identity.anchor
    identity_scale: Annotated[float, _share("how much the IP-Adapter counts, the words being 1; 0: not")] = (
        USUAL_IDENTITY_SCALE
    )


@dataclass(kw_only=True, slots=True)
class SpeedConfig:
    """Steps and guidance; the scheduler and the LoRA follow from the mode.

    Guidance is on for the steps whose share of the schedule lies in [guidance_start, guidance_end).
    """

    name: Annotated[str, Law("the mode that the other keys are of", text=Text.speed)] = MISSING
    sampler: Annotated[Sampler, Law("the scheduler")] = MISSING
    steps: Annotated[int, Law("denoising steps; with LCM at most 50", low=1, high=150)] = MISSING
    guidance_scale: Annotated[
        float, Law("CFG; 1 is none, and LCM takes at most 2 but on nano", low=1, high=20)
    ] = MISSING
    guidance_start: Annotated[float, _share("share of the schedule from which CFG is on")] = 0.0
    guidance_end: Annotated[float, _share("share of the schedule at which CFG goes off")] = 1.0
    clip_guidance_end: Annotated[
        float, _share("share at which it goes off in frames that see a keyframe, which keeps its own")
    ] = 1.0
    guidance_batched: Annotated[
        bool, Law("both halves of CFG at once; false: two passes a step, half the memory")
    ] = True
    # Which LoRA a role is follows from the base, by the registry.
    lora_role: Annotated[str | None, Law("role of the speed LoRA", text=Text.plain)] = None
    lora_weight: Annotated[float, _lora_weight("weight of the speed LoRA")] = 1.0


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    """A style LoRA by role or registry id."""

    id: Annotated[str, Law("the style LoRA", text=Text.role)] = MISSING
    weight: Annotated[float, _lora_weight("its weight")] = 1.0


@dataclass(kw_only=True, slots=True)
class StyleConfig:
    """Style LoRAs blended by weight."""

    loras: Annotated[list[LoraConfig], Law("style LoRAs, blended by weight")] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class ControlConfig:
    """Control maps, where they are taken from, and how strongly they steer the motion.

    They apply to steps in [start, end) of the schedule. The weight of the keyframe's maps fades over a clip's
    frames from 1 at the keyframe to `fade_floor` after `fade_frames` frames, that of a later segment's own
    from 1 at its last known frame after `join_frames`; those of a draft or of a choreography are each frame's
    own, and none fades.
    """

    kinds: Annotated[list[ControlKind], Law("kinds of control maps")] = field(default_factory=list)
    source: Annotated[MapSource, Law("where the maps are read or planned")] = MapSource.keyframe
    draft_steps: Annotated[
        int, Law("denoising steps of the draft, or the speed's where those are fewer", low=1, high=100)
    ] = 8
    draft_smooth: Annotated[
        int,
        Law(
            "window over which a draft's joints are smoothed", low=5, high=31, odd=True, off=0, unit="frames"
        ),
    ] = 7
    network: Annotated[ControlNetwork, Law("a ControlNet for each kind, or one for all")] = (
        ControlNetwork.separate
    )
    scale: Annotated[
        dict[str, float],
        Law("weight of each kind", low=0, high=2, names=tuple(kind.name for kind in ControlKind)),
    ] = field(default_factory=dict)
    start: Annotated[float, _share("share of the schedule from which maps steer")] = 0.0
    end: Annotated[float, _share("share of the schedule at which they stop")] = 1.0
    fade_frames: Annotated[
        int, Law("after which the keyframe's maps have faded", low=0, high=10_000, unit="frames")
    ] = 12
    join_frames: Annotated[
        int, Law("after which a later segment's own have", low=0, high=10_000, unit="frames")
    ] = 2
    fade_floor: Annotated[float, _share("what is left of a map's weight once it has faded")] = 0.35
    attempts: Annotated[
        int, Law("keyframe seeds to try until somebody is found for the pose", low=1, high=20)
    ] = 3


@dataclass(kw_only=True, slots=True)
class MotionConfig:
    """Chained segments: `overlap` known frames are carried over as latents (1: last latent only).

    With windows, neighbouring ones share `overlap` frames and are averaged at each step. Without a
    keyframe there is nothing to anchor to.
    """

    # Motion adapters know at most 32 positions (diffusers raises beyond).
    frames: Annotated[int, Law("length of a segment", low=2, high=32, unit="frames")] = 16
    chain: Annotated[Chain, Law("segments one after the other, or sliding windows")] = Chain.overlap
    overlap: Annotated[
        int, Law("known ones that a segment carries on from", low=1, high=31, unit="frames")
    ] = 4
    known_ahead: Annotated[
        float, _share("known frames are seen at least as clean as this far into the schedule")
    ] = 0.0
    anchor: Annotated[Anchor, Law("how every segment sees the keyframe")] = Anchor.none
    anchor_weight: Annotated[
        float, Law("how much it counts in attention, a frame's own picture being 1", low=0.1, high=100)
    ] = 4.0
    anchor_ahead: Annotated[
        float, Law("attention sees it at least as clean as this far into the schedule", low=0, high=0.99)
    ] = 0.0
    carry: Annotated[
        float, Law("share of the schedule skipped by starting from the last known frame", low=0, high=0.9)
    ] = 0.0
    pose_start: Annotated[
        float,
        Law("the same share, starting from the keyframe in each planned pose", low=0, high=0.9),
    ] = 0.0
    loop: Annotated[bool, Law("the clip's end leads into its beginning")] = False
    noise_share: Annotated[float, _share("share of the initial noise that all frames have in common")] = 0.0
    step_share: Annotated[float, _share("the same share of the noise that LCM draws at each step")] = 0.0
    deflicker: Annotated[
        float, _share("latents are averaged that differ no more (RMS) from frame to frame")
    ] = 0.0
    hold: Annotated[
        float, Law("places stay as in the last known frame that differ no more (RMS)", low=0, high=10)
    ] = 0.0
    betas: Annotated[Betas, Law("noise schedule of the motion: the base's or the adapter's")] = Betas.auto
    camera: Annotated[Camera, Law("the camera's move; free leaves it to the prompt")] = Camera.free
    lora: Annotated[str | None, Law("a motion LoRA, such as pan_left or zoom_in", text=Text.own_role)] = None
    lora_weight: Annotated[float, _lora_weight("weight of the motion LoRA")] = 1.0
    color_lock: Annotated[float, _share("how far a segment's mean colour is pulled to the keyframe's")] = 0.0
    effect: Annotated[Effect, Law("what is done to the last frame that a segment starts from")] = Effect.none
    effect_strength: Annotated[
        float,
        Law(
            "how fast: at 1 a fifth larger, 20 degrees or an eighth of a width a second",
            low=0,
            high=2,
        ),
    ] = 1.0


@dataclass(kw_only=True, slots=True)
class ShotEntry:
    """One shot of a list: what it shows, for how long. It begins with a cut, or is joined to the one before.

    Without a seed of its own it has the run's. A joined shot goes on with the camera and seed before it.
    """

    prompt: Annotated[str, Law("what the shot shows", text=Text.prompt)] = MISSING
    seconds: Annotated[float, Law("its length", low=0.25, high=600, unit="s")] = MISSING
    camera: Annotated[Camera, Law("its camera's move")] = Camera.free
    seed: Annotated[int | None, Law("seed of its noise, if not the run's", low=0, high=LAST_SEED)] = None
    joined: Annotated[bool, Law("it goes on without a cut")] = False


@dataclass(kw_only=True, slots=True)
class Turn:
    """A stop of the prompt and how the words change from there to the next stop."""

    frame: Annotated[int, Law("generated frame", low=0, high=36_000, unit="frame")] = MISSING
    curve: Annotated[Curve, Law("how it leads to the next stop")] = Curve.linear


@dataclass(kw_only=True, slots=True)
class KeyPoint:
    """A value at a generated frame and how it leads to the next point."""

    frame: Annotated[int, Law("generated frame", low=0, high=36_000, unit="frame")] = MISSING
    value: Annotated[float, Law("the value there", low=-45, high=45)] = MISSING
    curve: Annotated[Curve, Law("how it leads to the next point")] = Curve.linear


@dataclass(kw_only=True, slots=True)
class LoraPoint(KeyPoint):
    """A style LoRA's weight at a generated frame."""

    id: Annotated[str, Law("the style LoRA", text=Text.role)] = MISSING


@dataclass(kw_only=True, slots=True)
class TimelineConfig:
    """What changes over the frames of a clip, as key points; an empty list changes nothing.

    Weights of LoRAs hold for a segment, the rest for a frame.
    """

    prompt: Annotated[list[Turn], Law("curves between the stops of a prompt that travels")] = field(
        default_factory=list
    )
    control: Annotated[list[KeyPoint], Law("times the weight of all control maps, 0 to 2")] = field(
        default_factory=list
    )
    lora: Annotated[list[LoraPoint], Law("weights of style LoRAs, 0 to 2")] = field(default_factory=list)
    zoom: Annotated[list[KeyPoint], Law("growth of what the camera's window shows, 1 to 4")] = field(
        default_factory=list
    )
    right: Annotated[list[KeyPoint], Law("the window's way to the right in its widths, -1 to 1")] = field(
        default_factory=list
    )
    down: Annotated[list[KeyPoint], Law("its way down in its heights, -1 to 1")] = field(default_factory=list)
    turn: Annotated[list[KeyPoint], Law("its turn clockwise in degrees, -45 to 45")] = field(
        default_factory=list
    )
    effect: Annotated[list[KeyPoint], Law("times motion.effect_strength, 0 to 2")] = field(
        default_factory=list
    )


@dataclass(kw_only=True, slots=True)
class HiresConfig:
    """The second pass of a clip, with finish.upscale=hires.

    Latents are enlarged, noised as far as the last `strength` of the schedule expects and denoised from
    there. Where memory does not hold whole frames, a run denoises them in tiles by itself.
    """

    scale: Annotated[float, Law("how many times larger a side becomes", low=1, high=4)] = 1.5
    strength: Annotated[float, Law("share of the schedule that is denoised again", low=0.05, high=0.9)] = 0.5
    tiled: Annotated[bool, Law("in overlapping tiles of the base's size")] = False


@dataclass(kw_only=True, slots=True)
class UpscalerConfig:
    """The open upscaler of the finished frames, with finish.upscale=network."""

    model: Annotated[str, Law("the upscaler", text=Text.upscaler)] = "upscaler"
    tile: Annotated[int, Law("side of what it sees at once", low=64, high=MOST_SIDE, unit="px")] = 256


@dataclass(kw_only=True, slots=True)
class FinishConfig:
    """From latents to delivered frames: interpolation, crop, zoom, scale.

    `camera` moves a window over the finished frames, which leaves out what it needs to move in. `free` is
    what motion.camera or the prompt's words make of it.
    """

    interpolation: Annotated[Interpolation, Law("how frames are made between the generated ones")] = (
        Interpolation.flow
    )
    upscale: Annotated[Upscale, Law("how frames are enlarged to the delivered size")] = Upscale.lanczos
    hires: Annotated[HiresConfig, Law("the second pass of upscale=hires")] = field(
        default_factory=HiresConfig
    )
    upscaler: Annotated[UpscalerConfig, Law("the network of upscale=network")] = field(
        default_factory=UpscalerConfig
    )
    fps: Annotated[int, Law("delivered frames a second", low=1, high=60, unit="fps")] = 24
    # yuv420p halves both sides.
    width: Annotated[int, Law("width of a delivered frame", low=16, high=4096, multiple=2, unit="px")] = 768
    height: Annotated[int, Law("height of a delivered frame", low=16, high=4096, multiple=2, unit="px")] = 768
    zoom: Annotated[float, Law("crop factor about the centre; 1: the whole frame", low=1, high=4)] = 1.0
    camera: Annotated[Camera, Law("move of a window over the finished frames")] = Camera.free
    match_colors: Annotated[bool, Law("limbs have the keyframe's colours, where poses are planned")] = False
    steady: Annotated[int, Law("times that small frames are steadied along their flow", low=0, high=4)] = 0
    camera_speed: Annotated[
        float,
        Law("how fast; at 1 a tenth of a width, 3.5 % of growth or 2 degrees a second", low=0.1, high=4),
    ] = 1.0
    decode_chunk: Annotated[int, Law("decoded at once", low=1, high=64, unit="frames")] = 4


@dataclass(kw_only=True, slots=True)
class EncodeConfig:
    """H.264 settings; one thread and bit-exact flags are always on."""

    # Beyond 23 H.264 changes frames as much as somebody who paints into them.
    crf: Annotated[int, Law("H.264's CRF; 0 is lossless", low=0, high=23)] = 16
    preset: Annotated[str, Law("H.264's preset; slower is smaller", words=PRESETS)] = "medium"


@dataclass(kw_only=True, slots=True)
class QualityConfig:
    """How a clip is judged. Of these keys `reroll` alone can change what is rendered."""

    score: Annotated[bool, Law("score every clip")] = True
    min: Annotated[Minimum, Law("what the scorecard must be at least")] = Minimum.none
    reroll: Annotated[
        int, Law("how often a segment whose join fails is made again, with the next seed", low=0, high=8)
    ] = 0
    preview: Annotated[bool, Law("a small growing picture of the clip while it is rendered")] = True


@dataclass(kw_only=True, slots=True)
class FrameSize:
    """A size that a contest allows, in pixels."""

    width: Annotated[int, Law("width", unit="px")] = MISSING
    height: Annotated[int, Law("height", unit="px")] = MISSING


@dataclass(kw_only=True, slots=True)
class SpeedLimits:
    """What a contest says of one speed mode: scheduler, steps, CFG and the speed LoRA's role, if any."""

    sampler: Annotated[Sampler, Law("the scheduler")] = MISSING
    min_steps: Annotated[int, Law("fewest steps")] = MISSING
    max_steps: Annotated[int, Law("most steps")] = MISSING
    min_guidance: Annotated[float, Law("smallest CFG")] = MISSING
    max_guidance: Annotated[float, Law("largest CFG")] = MISSING
    lora_role: Annotated[str | None, Law("role of the speed LoRA", text=Text.plain)] = None


@dataclass(kw_only=True, slots=True)
class WeightRange:
    """The range of a LoRA's weight."""

    low: Annotated[float, Law("smallest weight")] = MISSING
    high: Annotated[float, Law("largest weight")] = MISSING


@dataclass(kw_only=True, slots=True)
class ContestConfig:
    """A contest's limits, as numbers and registry ids; they cannot be typed on a command line.

    `speeds` is by mode, `style_weights` by role. `sizes` hold for generated frames and stills, `video_lines`
    for the shorter side of a video.
    """

    name: Annotated[str, Law("the contest", text=Text.plain)] = MISSING
    bases: Annotated[list[str], Law("bases that may be entered", text=Text.plain)] = MISSING
    own_bases: Annotated[bool, Law("whether bases of others (own:ID) may")] = False
    planned_poses: Annotated[bool, Law("whether a network may plan poses from the words unasked")] = False
    render_only: Annotated[list[str], Law("bases to render with alone", text=Text.plain)] = MISSING
    speeds: Annotated[dict[str, SpeedLimits], Law("limits of each speed", names=Text.plain)] = MISSING
    review_speeds: Annotated[list[str], Law("speeds that the organisers decide on", text=Text.plain)] = (
        MISSING
    )
    max_style_loras: Annotated[int, Law("most style LoRAs")] = MISSING
    style_weights: Annotated[dict[str, WeightRange], Law("weights by role", names=Text.plain)] = MISSING
    max_motion_loras: Annotated[int, Law("most motion LoRAs")] = MISSING
    sizes: Annotated[list[FrameSize], Law("sizes of generated frames and stills")] = MISSING
    video_lines: Annotated[int, Law("shorter side of a video", unit="px")] = MISSING
    min_seconds: Annotated[float, Law("shortest clip", unit="s")] = MISSING
    max_seconds: Annotated[float, Law("longest clip", unit="s")] = MISSING
    min_fps: Annotated[int, Law("fewest generated frames a second", unit="fps")] = MISSING
    max_fps: Annotated[int, Law("most generated frames a second", unit="fps")] = MISSING
    frames_per_segment: Annotated[int, Law("frames of a segment", unit="frames")] = MISSING
    interpolations: Annotated[list[Interpolation], Law("ways to make frames between others")] = MISSING
    min_stills: Annotated[int, Law("fewest stills")] = MISSING
    max_stills: Annotated[int, Law("most stills")] = MISSING
    writeup_pages: Annotated[int, Law("most pages of the write-up")] = MISSING
    poster_megabytes: Annotated[float, Law("largest poster", unit="MB")] = MISSING


@dataclass(kw_only=True, slots=True)
class DeviceConfig:
    """Where and how to compute. What is left to `auto` or 0 is chosen by what this machine has."""

    kind: Annotated[DeviceKind, Law("where the models run; auto: CUDA, else MPS, else the CPU")] = (
        DeviceKind.auto
    )
    dtype: Annotated[DType, Law("number format; auto: bf16, else fp16 on a card and fp32 on a CPU")] = (
        DType.auto
    )
    threads: Annotated[int, Law("CPU threads; 0: the cores that this process may use", low=0, high=1024)] = 0
    memory_gb: Annotated[
        float, Law("memory that networks are planned for; 0: all that is there", low=0, high=1024, unit="GiB")
    ] = 0.0
    compile: Annotated[Compile, Law("compile the motion UNet and the ControlNets")] = Compile.off
    runtime: Annotated[
        Runtime, Law("what computes UNets and ControlNets on a CPU; auto: openvino where that pays")
    ] = Runtime.torch


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """What video and stills have in common."""

    seed: Annotated[int, Law("seed of all noise; seed=random draws one", low=0, high=LAST_SEED)] = 0
    fresh: Annotated[bool, Law("start anew although a run folder with this key exists")] = False
    shot: Annotated[ShotConfig, Law("what to show")] = field(default_factory=ShotConfig)
    base: Annotated[BaseConfig, Law("the base model and its frame size")] = field(default_factory=BaseConfig)
    speed: Annotated[SpeedConfig, Law("steps, guidance, scheduler")] = field(default_factory=SpeedConfig)
    style: Annotated[StyleConfig, Law("style LoRAs")] = field(default_factory=StyleConfig)
    finish: Annotated[FinishConfig, Law("from latents to delivered frames")] = field(
        default_factory=FinishConfig
    )
    contest: Annotated[ContestConfig, Law("limits of the contest, by contest=NAME", typed=False)] = field(
        default_factory=ContestConfig
    )
    device: Annotated[DeviceConfig, Law("where and how to compute")] = field(default_factory=DeviceConfig)


@dataclass(kw_only=True, slots=True)
class VideoConfig(RunConfig):
    """`pokora video`."""

    shots: Annotated[list[ShotEntry], Law("shots that are rendered one after the other, with cuts")] = field(
        default_factory=list
    )
    best_of: Annotated[
        int,
        Law(
            "keyframes to draw; the one that shows most of the prompt begins the clip",
            low=1,
            high=16,
        ),
    ] = 1
    keyframe: Annotated[KeyframeConfig, Law("the still that a clip starts from")] = field(
        default_factory=KeyframeConfig
    )
    control: Annotated[ControlConfig, Law("maps that steer the motion")] = field(
        default_factory=ControlConfig
    )
    motion: Annotated[MotionConfig, Law("chained segments, anchor, camera")] = field(
        default_factory=MotionConfig
    )
    timeline: Annotated[TimelineConfig, Law("key points of what changes over the frames")] = field(
        default_factory=TimelineConfig
    )
    encode: Annotated[EncodeConfig, Law("the MP4")] = field(default_factory=EncodeConfig)
    quality: Annotated[QualityConfig, Law("how a clip is judged")] = field(default_factory=QualityConfig)


@dataclass(kw_only=True, slots=True)
class StillsConfig(RunConfig):
    """`pokora stills`."""

    count: Annotated[int, Law("images, each with the next seed", low=1, high=MOST_STILLS)] = 1
