"""The camera's move in whatever way a base knows moves: words of nano's prompt, a motion LoRA elsewhere."""

from __future__ import annotations

from pokora_anime.config.schema import Camera, Family, VideoConfig
from pokora_anime.models import registry
from pokora_anime.models.rows import Kind

NANO = (Camera.static, Camera.pan_left, Camera.pan_right, Camera.zoom_in, Camera.zoom_out)


def settle(config: VideoConfig) -> None:
    """Puts `motion.camera` into shot.prefix or motion.lora; a move that the base has not changes nothing."""
    camera = config.motion.camera
    if camera not in moves(config.base.family):
        return
    if config.base.family is not Family.nano:
        config.motion.lora = config.motion.lora or camera.value
    elif words(camera) not in config.shot.prefix:
        prefix = config.shot.prefix.strip().rstrip(",")
        config.shot.prefix = f"{prefix}, {words(camera)}" if prefix else words(camera)


def settled(config: VideoConfig) -> bool:
    """Whether the config does what its `motion.camera` says."""
    camera = config.motion.camera
    if camera is Camera.free:
        return True
    if config.base.family is Family.nano:
        return camera in NANO and words(camera) in config.shot.prefix
    return camera in moves(config.base.family) and config.motion.lora == camera.value


def moves(family: Family) -> tuple[Camera, ...]:
    """The moves that a base knows."""
    if family is Family.nano:
        return NANO
    roles = {row.role for row in registry.rows() if row.kind is Kind.motion_lora and family in row.families}
    return tuple(camera for camera in Camera if camera.value in roles)


def words(camera: Camera) -> str:
    """A move as the drawn world calls it."""
    return camera.value.replace("_", " ")
