"""How long and on how much each member is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

MEMBERS = (
    "data",
    "text",
    "vae",
    "latents",
    "decoder",
    "unet",
    "motion",
    "controlnet_pose",
    "steering",
    "lora_lcm",
    "lora_pastel",
    "lora_flat_color",
    "controlnet_depth",
    "pose_extractor",
    "depth_extractor",
    "vae_tiny",
    "probe",
    "choreographer",
    "crisp",
)
PROBE = "probe"  # the family's folder of the judge: shipped as it was trained, in its own format


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Counts of drawn pictures; `pastel` and `flat_color` are stills in those styles, `plain_pastel` and
    `plain_flat_color` the first of them without it, `posed` clips of all actions."""

    stills: int = 12_000
    clips: int = 1_000
    held_out: int = 128
    pastel: int = 1_500
    flat_color: int = 1_500
    plain_pastel: int = 1_500
    plain_flat_color: int = 1_500
    posed: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One optimisation: `decay` is the share of the steps over which the rate falls to zero."""

    steps: int
    batch: int
    rate: float
    warmup: int = 50
    decay: float = 0.25
    weight_decay: float = 0.01
    ema: float = 0.0  # 0: the plain weights are kept
    muon: bool = False  # Muon for matrices: twice the progress a step where training is short


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that `train_nano` needs besides folders and the seed."""

    previews: bool = True  # pictures while training
    data: Data = field(default_factory=Data)
    text: Training = Training(steps=800, batch=64, rate=1e-3, decay=0.4)
    vae: Training = Training(steps=4500, batch=8, rate=1e-3, warmup=100, decay=0.4, ema=0.998, muon=True)
    decoder: Training = Training(steps=1200, batch=8, rate=6e-4, decay=0.5, ema=0.998)
    unet: Training = Training(steps=4500, batch=32, rate=1e-3, warmup=100, decay=0.3, ema=0.998, muon=True)
    motion: Training = Training(steps=3600, batch=4, rate=1e-3, decay=0.4, ema=0.99, muon=True)
    controlnet_pose: Training = Training(steps=1500, batch=16, rate=1e-3, warmup=20, muon=True)
    steering: Training = Training(steps=2000, batch=4, rate=1e-3, decay=0.5, ema=0.995, muon=True)
    lora_lcm: Training = Training(steps=450, batch=16, rate=1e-3, warmup=10, decay=0.5)
    lora_pastel: Training = Training(steps=400, batch=16, rate=2e-3, warmup=10, decay=0.5)
    lora_flat_color: Training = Training(steps=400, batch=16, rate=2e-3, warmup=10, decay=0.5)
    controlnet_depth: Training = Training(steps=900, batch=16, rate=1e-3, warmup=20, muon=True)
    pose_extractor: Training = Training(steps=1500, batch=16, rate=1e-3, decay=0.5, ema=0.998, muon=True)
    depth_extractor: Training = Training(steps=1500, batch=16, rate=1e-3, decay=0.5, ema=0.998, muon=True)
    vae_tiny: Training = Training(steps=500, batch=8, rate=2e-3, decay=0.4)
    probe: Training = Training(steps=2400, batch=32, rate=1e-3, decay=0.4, ema=0.998, muon=True)
    choreographer: Training = Training(
        steps=1800, batch=384, rate=2e-3, warmup=60, decay=0.6, ema=0.995, weight_decay=0.0
    )
    crisp: Training = Training(
        steps=2000, batch=16, rate=2e-3, decay=0.6, ema=0.99, weight_decay=0.0, muon=True
    )


def make_recipe(preset: str) -> Recipe:
    """The recipe of a preset: "full" (two cores, about ten hours) or "small" (seconds, for tests)."""
    if preset == "full":
        return Recipe()
    if preset == "small":
        return _small()
    raise ValueError(f"unknown preset {preset!r}; choose full or small")


def _small() -> Recipe:
    full = Recipe()

    def short(training: Training) -> Training:
        return replace(training, steps=3, batch=2, warmup=1)

    return Recipe(
        previews=False,
        data=Data(
            stills=8, clips=2, held_out=4, pastel=4, flat_color=4, plain_pastel=4, plain_flat_color=4, posed=2
        ),
        text=short(full.text),
        vae=short(full.vae),
        decoder=short(full.decoder),
        unet=short(full.unet),
        motion=replace(short(full.motion), steps=1, batch=1),
        controlnet_pose=short(full.controlnet_pose),
        steering=replace(short(full.steering), steps=1, batch=1),
        lora_lcm=replace(short(full.lora_lcm), steps=1),
        lora_pastel=short(full.lora_pastel),
        lora_flat_color=short(full.lora_flat_color),
        controlnet_depth=short(full.controlnet_depth),
        pose_extractor=short(full.pose_extractor),
        depth_extractor=short(full.depth_extractor),
        vae_tiny=short(full.vae_tiny),
        probe=short(full.probe),
        choreographer=short(full.choreographer),
        crisp=short(full.crisp),
    )
