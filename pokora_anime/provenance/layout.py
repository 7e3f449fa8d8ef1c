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
STAGES = "stages"
LOCK = ".lock"
LOGS = "logs"
REPORTS = "reports"
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


def still_texts(config: Mapping[str, Json], node: str) -> dict[str, str]:
    """The texts that a still's PNG carries, a function of the run's plain config and the still's node."""
    shot = config.get("shot")
    told = shot if isinstance(shot, dict) else {}
    return {
        "prompt": str(told.get("prompt")),
        "negative": str(told.get("negative")),
        "seed": str(config.get("seed")),
        "config": json.dumps(config, ensure_ascii=False),
        "node": node,
    }
