"""A scene: the attributes and every continuous choice that a drawing depends on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pokora_anime.nano.world.vocabulary import ATTRIBUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Attribute values from `ATTRIBUTES`, and variation; lengths are shares of the frame."""

    hair_color: str
    hair_style: str
    eye_color: str
    expression: str
    outfit: str
    outfit_color: str
    action: str
    background: str
    shot: str
    camera: str
    style: str
    layout_seed: int
    x: float  # horizontal offset of the character, share of the frame
    scale: float  # size factor of the character around the shot's own
    phase: float  # phase of the action, cycles
    period: float  # seconds of one action cycle
    amplitude: float  # size factor of the motion
    side: float  # +1: the character's left arm acts (image right), -1: her right
    leg_length: float  # factor
    arm_length: float  # factor
    head_size: float  # factor
    skin_tone: float  # 0 light .. 1 tanned
    hair_length: float  # factor
    hair_width: float  # factor
    fringe: int  # which of the bang shapes
    iris: float  # factor of the eye size
    light: float  # brightness of the background, about 1
    scroll: float  # where the background starts, frames
    camera_speed: float  # factor
    blink_phase: float  # seconds
    ribbon_hue: int  # which ribbon colour


def sample_scene(rng: np.random.Generator, **fixed: str) -> Scene:
    """A random scene, uniform over attributes; `fixed` pins some, e.g. action="waving".

    Raises ValueError for a name or a value outside ATTRIBUTES.
    """
    _check(fixed)
    # Every value is drawn even if pinned, so that pinning leaves the rest of the scene as it was.
    drawn = {name: values[int(rng.integers(len(values)))] for name, values in ATTRIBUTES.items()}
    chosen = {**drawn, **fixed}
    uniform = rng.uniform
    side = 1.0 if rng.random() < 0.5 else -1.0
    if chosen["camera"] in ("pan left", "pan right"):
        side = -1.0 if chosen["camera"] == "pan left" else 1.0  # a walker goes where the view goes
    return Scene(
        **chosen,
        layout_seed=int(rng.integers(64)),
        x=float(uniform(-0.07, 0.07)),
        scale=float(uniform(0.95, 1.05)),
        phase=float(uniform(0.0, 1.0)),
        period=float(uniform(1.1, 1.5)),
        amplitude=float(uniform(0.85, 1.15)),
        side=side,
        leg_length=float(uniform(0.95, 1.06)),
        arm_length=float(uniform(0.97, 1.05)),
        head_size=float(uniform(0.96, 1.03)),
        skin_tone=float(uniform(0.0, 1.0)) ** 1.5,
        hair_length=float(uniform(0.92, 1.08)),
        hair_width=float(uniform(0.95, 1.06)),
        fringe=int(rng.integers(3)),
        iris=float(uniform(0.95, 1.06)),
        light=float(uniform(0.95, 1.05)),
        scroll=float(uniform(0.0, 4.0)),
        camera_speed=float(uniform(0.8, 1.2)),
        blink_phase=float(uniform(0.0, 4.0)),
        ribbon_hue=int(rng.integers(4)),
    )


def _check(fixed: dict[str, str]) -> None:
    for name, value in fixed.items():
        if name not in ATTRIBUTES:
            raise ValueError(f"unknown attribute {name!r}; choose from {sorted(ATTRIBUTES)}")
        if value not in ATTRIBUTES[name]:
            raise ValueError(f"unknown {name} {value!r}; choose from {list(ATTRIBUTES[name])}")
