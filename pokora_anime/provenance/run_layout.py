"""The files of a run folder by name: what its record seals, and what lies outside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports numpy, which starts threads
    from pokora_anime.provenance.hashing import Json

FORMAT = 2
RECORD = "record.json"
LEDGER = "ledger.jsonl"
STATEMENT = "statement.dsse.json"
CONFIG = "config.yaml"
FRAMES = "frames.json"
VIDEO = "video.mp4"
SHEET = "sheet.png"
KEYFRAME = "keyframe.png"
STAGES = "stages"
LOCK = ".lock"
LOGS = "logs"
REPORTS = "reports"
CANDIDATES = "keyframes.png"  # in the reports: the keyframes that were drawn, with their scores
CHOREOGRAPHY = "choreography.webp"  # in the reports: the poses that were planned, as a small film


def outside(name: str) -> bool:
    """Whether a file (POSIX name relative to the folder) is no part of what the record seals."""
    return name in (LOCK, STATEMENT) or name.startswith((f"{LOGS}/", f"{REPORTS}/"))


def listed(name: str) -> bool:
    """Whether the record's `files` must hold this name."""
    return not outside(name) and name not in (RECORD, LEDGER)


def array_name(op: str, node_id: str) -> str:
    """The file that holds a node's arrays."""
    return f"{STAGES}/{op}-{node_id[:12]}.safetensors"


def still_name(index: int) -> str:
    """The file of the still with this index, counted from 0."""
    return f"still-{index + 1}.png"


def recorded(config: Mapping[str, Json]) -> dict[str, Json]:
    """A plain config as a run records it.

    Settings that came after runs had been recorded are left out where they ask for what was done before, so
    that an equal config keeps its key.
    """
    kept, keyframe = dict(config), config.get("keyframe")
    if isinstance(keyframe, dict) and keyframe.get("identity") == "anchor":
        later = ("identity", "identity_scale")
        kept["keyframe"] = {name: value for name, value in keyframe.items() if name not in later}
    return kept


def lasting(config: Mapping[str, Json]) -> dict[str, Json]:
    """What of a plain config changes the result: all but `fresh`, and how the result is judged."""
    kept = {name: value for name, value in recorded(config).items() if name != "fresh"}
    quality = kept.get("quality")
    if isinstance(quality, dict):
        kept["quality"] = {"reroll": quality.get("reroll")}
    return kept


def video_tag(config: Mapping[str, Json]) -> str:
    """The comment that a clip's MP4 carries: its settings as ASCII JSON, a function of the plain config."""
    return json.dumps({"command": "video", "config": lasting(config)}, sort_keys=True, separators=(",", ":"))


def still_texts(config: Mapping[str, Json], index: int, node: str, keyframe: str) -> dict[str, str]:
    """The texts that a still's PNG carries.

    A function of the run's plain config, the still's index, its node's id, and what the node of its
    picture made (`keyframe`, a sha256). `seed` is the still's own; `parameters` is for other tools.
    """
    shot, first = _section(config, "shot"), config.get("seed")
    seed = first + index if isinstance(first, int) else first
    return {
        "parameters": _parameters(config, seed),
        "prompt": str(shot.get("prompt")),
        "negative": str(shot.get("negative")),
        "seed": str(seed),
        "config": json.dumps(config, ensure_ascii=False),
        "node": node,
        "keyframe": keyframe,
    }


_SAMPLERS = {"lcm": "LCM", "dpmpp_2m_karras": "DPM++ 2M Karras", "euler_trailing": "Euler"}


def _parameters(config: Mapping[str, Json], seed: Json) -> str:
    """Prompt, negative prompt and settings in the three lines of the Stable Diffusion web UI."""
    shot, speed, base = (_section(config, name) for name in ("shot", "speed", "base"))
    prompt = ", ".join(str(shot[name]) for name in ("prefix", "prompt") if shot.get(name))
    negative = f"\nNegative prompt: {shot['negative']}" if shot.get("negative") else ""
    sampler = str(speed.get("sampler"))
    told = {
        "Steps": speed.get("steps"),
        "Sampler": _SAMPLERS.get(sampler, sampler),
        "CFG scale": speed.get("guidance_scale"),
        "Seed": seed,
        "Size": f"{base.get('width')}x{base.get('height')}",
        "Model": base.get("weights"),
        "Version": "pokora_anime",
    }
    return f"{prompt}{negative}\n" + ", ".join(f"{name}: {value}" for name, value in told.items())


def _section(config: Mapping[str, Json], name: str) -> dict[str, Json]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}
