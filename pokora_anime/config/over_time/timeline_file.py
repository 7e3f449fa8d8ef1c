"""`timeline=FILE`: key points of prompt, camera, LoRA weights, control and effect strength in one YAML file.

The process that was typed into reads it, and what it says becomes words of the command line, judged as if
they had been typed. Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pokora_anime.config.over_time.timeline_checks import MOST_POINTS
from pokora_anime.config.overrides import quote
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import Curve
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.untrusted import strict_yaml

CAMERA = ("zoom", "right", "down", "turn")
SECTIONS = ("prompt", "camera", "control", "lora", "effect")
CURVES = tuple(curve.value for curve in Curve)
_FIX = "control: {0: 1, 24: {value: 0.4, curve: ease}}"
Point = tuple[int, object, str]  # frame, value, curve


def overrides(path: Path) -> list[str]:
    """A timeline file as words to type.

    Raises ConfigError CFG-FILE for what cannot be read, CFG-TIMELINE for what is no timeline, GATE-YAML and
    GATE-DUPLICATE for unclear YAML; PromptError for a prompt that is none comes later, as if it were typed.
    """
    sections = _mapping(
        strict_yaml.load(read_text(path, "a timeline in YAML"), path.name), path.name, SECTIONS
    )
    words: list[str] = []
    for name, content in sections.items():
        if name == "prompt":
            words += _prompt(_points(content, name))
        elif name in ("control", "effect"):
            words.append(_track(f"timeline.{name}", _numbers(_points(content, name), name)))
        elif name == "camera":
            for way, points in _mapping(content, name, CAMERA).items():
                key = f"camera.{way}"
                words.append(_track(f"timeline.{way}", _numbers(_points(points, key), key)))
        else:
            words.append(_loras(content))
    return words


def read_text(path: Path, what: str) -> str:
    """A text file of at most 100,000 characters. Raises ConfigError CFG-FILE."""
    try:
        if path.stat().st_size > strict_yaml.MAX_CHARACTERS:
            got = f"{path} has {path.stat().st_size} bytes"
            raise ConfigError("CFG-FILE", got, expected=f"{what}, at most {strict_yaml.MAX_CHARACTERS} bytes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        got = f"cannot read {path} ({error.strerror})"
        raise ConfigError("CFG-FILE", got, expected=what, fix="a file of that name") from error
    except UnicodeDecodeError as error:
        raise ConfigError("CFG-FILE", f"{path} is no UTF-8 text", expected=what) from error


def _mapping(value: object, name: str, known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, dict) or not value:
        raise _wrong(f"{name}: nothing that is set", ", ".join(known))
    content = cast(dict[object, object], value)
    for key in content:
        if known and key not in known:
            best = nearest(str(key), known)
            raise _wrong(
                f"{name}: unknown key {str(key)[:40]!r}",
                ", ".join(known),
                f"did you mean {best}?" if best else "leave it out",
            )
    return {str(key): content[key] for key in content}


def _points(value: object, name: str) -> list[Point]:
    """Key points by frame, in their order."""
    if not isinstance(value, dict) or not value:
        raise _wrong(f"{name}: no key points", "values by generated frame")
    content = cast(dict[object, object], value)
    if len(content) > MOST_POINTS:
        fix = "keep those where it turns"
        raise _wrong(f"{name}: {len(content)} key points", f"at most {MOST_POINTS}", fix)
    found = [_point(frame, entry, name) for frame, entry in content.items()]
    for before, after in zip(found, found[1:], strict=False):
        if after[0] <= before[0]:
            raise _wrong(
                f"{name}: frame {after[0]} after {before[0]}", "frames that grow", "put them in order"
            )
    return found


def _point(frame: object, entry: object, name: str) -> Point:
    if not isinstance(frame, int) or isinstance(frame, bool) or frame < 0:
        raise _wrong(f"{name}: frame {str(frame)[:40]!r}", "a whole number from 0")
    value, curve = entry, Curve.linear.value
    if isinstance(entry, dict):
        field = "text" if name == "prompt" else "value"
        fields = _mapping(cast(object, entry), f"{name} at frame {frame}", (field, "curve"))
        value, curve = fields.get(field), fields.get("curve", curve)
    if curve not in CURVES:
        raise _wrong(f"{name} at frame {frame}: curve {str(curve)[:40]!r}", "|".join(CURVES))
    return frame, value, str(curve)


def _numbers(points: list[Point], name: str) -> list[Point]:
    for frame, value, _ in points:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(cast(float, value)):
            raise _wrong(f"{name} at frame {frame}: {str(value)[:40]!r}", "a finite number")
    return points


def _track(key: str, points: list[Point], extra: str = "") -> str:
    listed = ",".join(
        f"{{{extra}frame:{frame},value:{float(cast(float, value))!r},curve:{curve}}}"
        for frame, value, curve in points
    )
    return f"{key}=[{listed}]"


def _loras(content: object) -> str:
    found: list[str] = []
    for name, points in _mapping(content, "lora", ()).items():
        key = f"lora.{name[:40]}"
        one = _track("", _numbers(_points(points, key), key), f"id:{quote(name)},")
        found.append(one.removeprefix("=[").removesuffix("]"))
    return f"timeline.lora=[{','.join(found)}]"


def _prompt(points: list[Point]) -> list[str]:
    """Prompt travel, and the curves between its stops."""
    for frame, text, _ in points:
        if not isinstance(text, str) or not text.strip():
            raise _wrong(f"prompt at frame {frame}: {str(text)[:40]!r}", "what to show, in words")
    if points[0][0] != 0:
        raise _wrong(f"prompt: it begins at frame {points[0][0]}", "a prompt at frame 0")
    texts = [(frame, " ".join(str(text).split())) for frame, text, _ in points]
    if len(texts) == 1:
        return [f"shot.prompt={texts[0][1]}"]
    turns = ",".join(f"{{frame:{frame},curve:{curve}}}" for frame, _, curve in points)
    travel = ", ".join(f"{frame}: {text.strip(' ,')}" for frame, text in texts)
    return [f"shot.prompt={travel}", f"timeline.prompt=[{turns}]"]


def _wrong(got: str, expected: str, fix: str = "") -> ConfigError:
    return ConfigError("CFG-TIMELINE", got, expected=expected, fix=fix or f"write {_FIX}")
