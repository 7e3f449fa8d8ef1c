"""Commands that answer with JSON, each in a process of its own: they read what nobody trusts. Torch-free."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pokora_anime.studio.problems import Problem

_SECONDS = 300
_AT_ONCE = threading.BoundedSemaphore(2)


def verified(place: Path, root: Path) -> dict[str, object]:
    """What `pokora verify --json` says of a run or bundle. Raises Problem 409, 429."""
    begun = time.monotonic()
    report = asked(["verify", str(place.resolve()), "--json"], root, place.name)
    if not isinstance(report, dict):
        raise Problem(409, "REC-READ", f"{place.name} cannot be verified")
    return {**cast(dict[str, object], report), "seconds": round(time.monotonic() - begun, 2)}


def checklist(root: Path) -> list[dict[str, object]]:
    """What `pokora submission status --json` says. Raises Problem 409, 429."""
    found = asked(["submission", "status", "--json"], root, "the submission")
    return cast(list[dict[str, object]], found) if isinstance(found, list) else []


def asked(words: Sequence[str], root: Path, what: str) -> object:
    """The JSON that a command prints. Raises Problem 409 where it prints none, 429 while others are asked."""
    root.mkdir(parents=True, exist_ok=True)
    if not _AT_ONCE.acquire(timeout=30):
        raise Problem(429, "API-RATE", "two are looked at already", fix="wait a moment", retry_after=10)
    try:
        line = [sys.executable, "-X", "utf8", "-P", "-m", "pokora_anime.cli", *words]
        done = subprocess.run(
            line, cwd=root, capture_output=True, text=True, encoding="utf-8", timeout=_SECONDS
        )
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise Problem(
            409, "REC-READ", f"{what} cannot be read", expected="a whole one",
            fix=f"`pokora {words[0]}` in a shell tells more",
        ) from error  # fmt: skip
    finally:
        _AT_ONCE.release()
