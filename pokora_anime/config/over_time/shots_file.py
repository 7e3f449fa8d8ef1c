"""`shots=FILE`: a list of shots in one YAML file.

The process that was typed into reads it, and what it says becomes a word of the command line, judged as if it
had been typed. Torch-free.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

from pokora_anime.config.over_time.shot_checks import MOST_SHOTS
from pokora_anime.config.over_time.timeline_file import read_text
from pokora_anime.config.overrides import quote
from pokora_anime.errors import ConfigError
from pokora_anime.prompt.prompt_text import check_text
from pokora_anime.schema.settings import Camera
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.untrusted import strict_yaml

KEYS = ("prompt", "seconds", "camera", "seed", "joined")
CAMERAS = tuple(camera.value for camera in Camera)
_FIX = "write `- {prompt: '1girl, waving', seconds: 3, camera: zoom_in}` for each shot"


def override(path: Path) -> str:
    """A file of shots as one word to type.

    Raises ConfigError CFG-FILE for what cannot be read, CFG-SHOTS for what is no list of shots, GATE-YAML and
    GATE-DUPLICATE for unclear YAML; PromptError PRM-CHARACTER for a prompt that is no text.
    """
    content = strict_yaml.load(read_text(path, "a list of shots in YAML"), path.name)
    if not isinstance(content, list) or not content:
        raise _wrong(f"{path.name} holds no list of shots", "a list")
    entries = cast(list[object], content)
    if len(entries) > MOST_SHOTS:
        raise _wrong(f"{len(entries)} shots in {path.name}", f"at most {MOST_SHOTS}")
    return f"shots=[{','.join(_entry(entry, number) for number, entry in enumerate(entries, 1))}]"


def _entry(entry: object, number: int) -> str:
    where = f"shot {number}"
    if not isinstance(entry, dict):
        raise _wrong(f"{where} is no shot", ", ".join(KEYS))
    fields = cast(dict[object, object], entry)
    for key in fields:
        if key not in KEYS:
            best = nearest(str(key), KEYS)
            raise _wrong(
                f"{where}: unknown key {str(key)[:40]!r}", ", ".join(KEYS), best and f"did you mean {best}?"
            )
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise _wrong(f"{where} without a prompt", "what it shows, in words")
    prompt = " ".join(prompt.split())
    check_text(f"{where}: prompt", prompt)
    words = [f"prompt:{quote(prompt)}", f"seconds:{_seconds(fields.get('seconds'), where)!r}"]
    if (camera := fields.get("camera", CAMERAS[0])) not in CAMERAS:
        best = nearest(str(camera), CAMERAS)
        raise _wrong(
            f"{where}: camera {str(camera)[:40]!r}", "|".join(CAMERAS), best and f"did you mean {best}?"
        )
    words.append(f"camera:{camera}")
    if (seed := fields.get("seed")) is not None:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise _wrong(f"{where}: seed {str(seed)[:40]!r}", "a whole number from 0")
        words.append(f"seed:{seed}")
    joined = fields.get("joined", False)
    if not isinstance(joined, bool):
        raise _wrong(f"{where}: joined {str(joined)[:40]!r}", "true or false")
    return f"{{{','.join([*words, *(['joined:true'] if joined else [])])}}}"


def _seconds(value: object, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(cast(float, value)):
        raise _wrong(f"{where}: seconds {str(value)[:40]!r}", "how long it lasts")
    return float(cast(float, value))


def _wrong(got: str, expected: str, fix: str = "") -> ConfigError:
    return ConfigError("CFG-SHOTS", got, expected=expected, fix=fix or _FIX)
