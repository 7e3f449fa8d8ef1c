"""What people ask for by name and do not get: why not, and what this tool has instead. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer: `why` it is refused, and the `way` that this tool goes, as words to type."""

    pattern: re.Pattern[str]
    why: str
    way: str


def _refusal(pattern: str, why: str, way: str) -> Refusal:
    return Refusal(re.compile(pattern, re.IGNORECASE | re.ASCII), why, way)


_BASES_ALONE = "the contest allows SDXL 1.0 and SD2 as bases, and no other"
_SDXL = "base=sdxl speed=lcm"
# Options of a group that are asked for by name.
OPTIONS = {
    "base": (
        _refusal(r"flux.*|schnell", f"FLUX is another base: {_BASES_ALONE}", _SDXL),
        _refusal(r"(sd|stable[-_]?diffusion)[-_]?3.*", f"SD3 is another base: {_BASES_ALONE}", _SDXL),
        _refusal(r"(sd|stable[-_]?diffusion)[-_]?1.*", f"SD1 is another base: {_BASES_ALONE}", "base=sd2"),
        _refusal(
            r"(sdxl|sd)?[-_]?turbo",
            f"Turbo is another base, and not for commerce: {_BASES_ALONE}",
            "base=sdxl speed=lcm takes 4 to 6 steps",
        ),
        _refusal(
            r"wan.*|hunyuan.*|ltx.*|cogvideo.*|svd.*|mochi.*|sora.*|veo.*",
            f"a video model is another base: {_BASES_ALONE}",
            "base=sdxl, whose clips AnimateDiff moves",
        ),
        _refusal(
            r"pony.*|illustrious.*|animagine.*|noob.*|anything.*|counterfeit.*",
            "a checkpoint of others is registered first, and is no entry",
            "pokora models add FILE --kind base, then base=own:ID; for an entry base=sdxl style=pastel",
        ),
    ),
}  # fmt: skip
_WORDS = "shot.prompt='1girl, ...': the keyframe is drawn from words"
_ADAPTER = "keyframe.identity=adapter lets every frame see the run's own keyframe (base=sdxl)"
_OUTSIDE = "the contest forbids any visual input from outside"
# Keys that ask for something visual, by what is meant; the first that fits answers.
KEYS = (
    _refusal(
        r"(web)?cam(era)?(_(id|index|input|device))?|(screen|desktop)?_?capture.*|live_(input|source)|stream",
        f"a camera is a picture from outside: {_OUTSIDE}",
        "say the movement: shot.prompt='1girl, waving', motion.camera=zoom_in for the view",
    ),
    _refusal(
        r".*(pose|skeleton|keypoint|depth|canny|lineart|control).*(image|map|img|video|picture)s?|"
        r"(open)?pose|skeleton|control_?(image|video|map)|control\.(image|video|map|pose|depth)s?",
        f"control maps come from the run's own keyframe or planned poses: {_OUTSIDE}",
        "control.source=choreography plans poses from the words; for an entry control.source=keyframe",
    ),
    _refusal(
        r".*(init|input|source|driving|reference|ref)?_?video.*|vid2vid|v2v",
        f"a clip is made from words, never from a video: {_OUTSIDE}",
        "shots=FILE for several shots, control.source=choreography for the movement",
    ),
    _refusal(
        r".*(face|id|identity|style|ref|reference|ip_?adapter).*(image|img|picture|photo|embed).*|ip_?adapter.*",
        f"who she is comes from words, seed and registered LoRAs: {_OUTSIDE}",
        f"shot.prompt='...' with the same seed=, or style.loras=[{{id:own:ID,weight:0.8}}]; {_ADAPTER}",
    ),
    _refusal(
        r"ref(erence)?s?|face(s|_?id)?|likeness|portrait|identity|keyframe\.(identity|face|reference|likeness)",
        f"who she is comes from words, seed and registered LoRAs: {_OUTSIDE}",
        _ADAPTER,
    ),
    _refusal(
        r".*(image|img|picture|photo|sketch|mask).*|img2img|i2i|i2v|inpaint.*",
        f"img2img starts from a picture: {_OUTSIDE}",
        f"{_WORDS}; a still of this tool is animated by --from outputs/stills/NAME#1",
    ),
)  # fmt: skip
# What a camera is called where a value names it: `source=webcam`, `input=/dev/video0`, `camera=0`.
_CAMERA_VALUE = re.compile(r"(web)?cam(era)?\d*|/dev/video\d*|rtsp:.*|\d", re.IGNORECASE | re.ASCII)
_CAMERA_KEY = re.compile(
    r"(web_?)?cam(era)?|source|input|device\.camera|stream|capture", re.IGNORECASE | re.ASCII
)


# Names that ask for a picture of somebody, whatever stands behind them.
_PICTURE_OF = re.compile(r"(\w+\.)*(ref|reference|references|face|faces|portrait)", re.IGNORECASE | re.ASCII)


def portrait(name: str) -> Refusal | None:
    """The answer to a key that asks for a picture of somebody by its name alone; None for any other."""
    return key("reference") if _PICTURE_OF.fullmatch(name) else None


def option(group: str, name: str) -> Refusal | None:
    """The answer to an option that a group does not have; None for one that nobody is known to ask for."""
    return next((one for one in OPTIONS.get(group, ()) if one.pattern.fullmatch(name)), None)


def key(name: str) -> Refusal | None:
    """The answer to a key that asks for something visual; None for any other."""
    plain = name.lower()
    return next((one for one in KEYS if one.pattern.fullmatch(plain)), None)


def camera(name: str, value: str) -> Refusal | None:
    """The answer to a word that asks for a camera as the input; None for any other, such as a camera move."""
    asked = re.fullmatch(r"(web_?cam|capture|live_(input|source)).*", name.lower()) is not None
    return KEYS[0] if asked or (_CAMERA_KEY.fullmatch(name) and _CAMERA_VALUE.fullmatch(value)) else None
