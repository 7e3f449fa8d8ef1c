"""The camera's move: a motion LoRA where a base has one, else a window over the finished frames.

nano is told the move's words as well. Without `motion.camera` the prompt's own words ask for the window.
"""

from __future__ import annotations

import re

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry_row import Kind
from pokora_anime.schema.curves import moves_camera
from pokora_anime.schema.settings import BaseConfig, Camera, Family, ShotConfig, VideoConfig

NANO = (Camera.static, Camera.pan_left, Camera.pan_right, Camera.zoom_in, Camera.zoom_out)
# Verb and way of each move, as expressions: `pan left`, `the camera slowly pans to the left`.
_SAID = {
    Camera.pan_left: ("pan", "(?:to the )?left"),
    Camera.pan_right: ("pan", "(?:to the )?right"),
    Camera.zoom_in: ("zoom", "in"),
    Camera.zoom_out: ("zoom", "out"),
    Camera.tilt_up: ("tilt", "up"),
    Camera.tilt_down: ("tilt", "down"),
    Camera.rolling_clockwise: ("roll", "clockwise"),
    Camera.rolling_anticlockwise: ("roll", "(?:anti|counter) ?clockwise"),
}
_HOW = "a|an|the|and|then|with|very|slow|slowly|gentle|gently|smooth|smoothly|fast|quick|quickly|camera"
_AFTER = "slowly|gently|smoothly|quickly|a bit|over|across|along|from|towards?|to|as|while|and"
# A phrase that is the move and little else, or that says what the camera does.
_FORMS = {
    camera: re.compile(
        rf"^(?:(?:{_HOW}) )*{verb}(?:n?ing)? {way}(?:$| (?:{_AFTER}{'|on|at' if verb == 'zoom' else ''})\b)"
        rf"|\bcamera (?:\w+ ){{0,2}}{verb}(?:s|n?ing) {way}\b"
    )
    for camera, (verb, way) in _SAID.items()
}
_REFUSED = re.compile(r"\b(?:no|not|never|without|cannot)\b|n't\b")


def settle(config: VideoConfig) -> None:
    """Puts the asked move into motion.lora, or into finish.camera and nano's shot.prefix; twice is once."""
    asked, finish = config.motion.camera, config.finish
    if asked is Camera.free:
        if finish.camera is Camera.free and config.motion.lora is None and not moves_camera(config):
            finish.camera = said(config.shot)
        return
    if asked in loras(config.base):
        config.motion.lora = config.motion.lora or asked.value
        return
    if finish.camera is Camera.free:
        finish.camera = asked
    if config.base.family is Family.nano and asked in NANO and words(asked) not in config.shot.prefix:
        prefix = config.shot.prefix.strip().rstrip(",")
        config.shot.prefix = f"{prefix}, {words(asked)}" if prefix else words(asked)


def settled(config: VideoConfig) -> bool:
    """Whether the config does what its `motion.camera` says."""
    asked, lora, window = config.motion.camera, config.motion.lora, config.finish.camera
    if lora is not None and window.moves and window.value != lora:
        return False
    if asked is Camera.free:
        return True
    if asked in loras(config.base):
        return lora == asked.value and window in (Camera.free, asked)
    if lora is not None:
        return False
    told = config.base.family is not Family.nano or asked not in NANO or words(asked) in config.shot.prefix
    return told and window is asked


def loras(base: BaseConfig) -> tuple[Camera, ...]:
    """The moves that a motion LoRA for this base and its motion adapter makes."""
    rows = [row for row in registry.rows() if row.kind is Kind.motion_lora and base.family in row.families]
    roles = {row.role for row in rows if row.adapter in ("", base.motion_adapter)}
    return tuple(camera for camera in Camera if camera.value in roles)


def said(shot: ShotConfig) -> Camera:
    """The move that the prompt names first; free where it names none.

    Only a phrase of its own counts, or one about the camera: a frying pan and a tilted head move nothing.
    """
    text = re.sub(r"<[^<>]*>|[()\\_-]", " ", f"{shot.prefix}, {shot.prompt}".lower())
    for phrase in (" ".join(part.split()) for part in re.split(r"[,.;:!?\n]", text)):
        found = [(match.start(), camera) for camera, form in _FORMS.items() if (match := form.search(phrase))]
        if found and not _REFUSED.search(phrase):
            return min(found, key=lambda one: one[0])[1]
    return Camera.free


def note(config: VideoConfig) -> str:
    """That frames are cropped, perhaps for the prompt's words alone; empty where `motion.camera` says so."""
    window = config.finish.camera
    if config.motion.camera is not Camera.free or not window.moves:
        return ""
    return (
        f"finish.camera={window.value}: a window travels over the frames and crops them;"
        " finish.camera=static leaves the move out"
    )


def words(camera: Camera) -> str:
    """A move as the drawn world calls it."""
    return camera.value.replace("_", " ")
