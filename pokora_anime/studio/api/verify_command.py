"""Commands that answer with JSON, each in a process of its own: they read what nobody trusts. Torch-free."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import cast

from pokora_anime.studio.problems import Problem

_SECONDS = 300
_AT_ONCE, _WAITING = 2, 6
_pool = ThreadPoolExecutor(_AT_ONCE, "asked")  # none of the threads that answer everything else
_lock = threading.Lock()
_asked: dict[tuple[Path, tuple[str, ...]], Future[object]] = {}


async def verified(place: Path, root: Path) -> dict[str, object]:
    """What `pokora verify --json` says of a run or bundle. Raises Problem 409, 429."""
    begun = time.monotonic()
    report = await asked(["verify", str(place.resolve()), "--json"], root, place.name)
    if not isinstance(report, dict):
        raise Problem(409, "REC-READ", f"{place.name} cannot be verified", fix="`pokora verify` tells more")
    told = cast(dict[str, object], report)
    areas = cast(dict[str, str], told.get("verdicts") or {}).values()
    worst = next((one for one in ("FAIL", "REVIEW", "PASS") if one in areas), "FAIL")
    return {**told, "verdict": worst, "subject": place.name, "seconds": round(time.monotonic() - begun, 2)}


async def checklist(root: Path) -> list[dict[str, object]]:
    """What `pokora submission status --json` says. Raises Problem 409, 429."""
    found = await asked(["submission", "status", "--json"], root, "the submission")
    return cast(list[dict[str, object]], found) if isinstance(found, list) else []


async def asked(words: Sequence[str], root: Path, what: str) -> object:
    """The JSON that a command prints; who asks the same meanwhile gets the same answer.

    Raises Problem 409 where it prints none, 429 while too many others are asked.
    """
    key = (root, tuple(words))
    with _lock:
        coming = _asked.get(key)
        if coming is None:
            if len(_asked) >= _AT_ONCE + _WAITING:
                raise Problem(
                    429, "API-RATE", "others are verified already", expected="a moment", fix="try again",
                    retry_after=10,
                )  # fmt: skip
            coming = _asked[key] = _pool.submit(_printed, words, root, what)
            coming.add_done_callback(partial(_forget, key))
    return await asyncio.wrap_future(coming)


def _forget(key: tuple[Path, tuple[str, ...]], done: Future[object]) -> None:
    del done
    with _lock:
        _asked.pop(key, None)


def _printed(words: Sequence[str], root: Path, what: str) -> object:
    root.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-X", "utf8", "-P", "-m", "pokora_anime.cli", *words]
    try:
        done = subprocess.run(
            line, cwd=root, capture_output=True, text=True, encoding="utf-8", timeout=_SECONDS
        )
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise Problem(
            409, "REC-READ", f"{what} cannot be read", expected="a whole one",
            fix=f"`pokora {words[0]}` in a shell tells more",
        ) from error  # fmt: skip
