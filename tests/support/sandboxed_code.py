"""Runs a few lines of Python in a process that is started and confined as every rendering process is.

A program too: `sandboxed_code.py WORK PACKAGE GUARD < CODE`, for tests that spoil the environment first.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from pokora_anime.config.compose import compose_video
from pokora_anime.render.worker import temporary_folders
from pokora_anime.render.worker.granted_paths import library_folders, needed, places_of_weights
from pokora_anime.render.worker.messages import send
from pokora_anime.sandbox import child_environment
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.system.files.installed_package import INSTALLED

# What parent.py boots, with lines of a test's own in place of a run. `told` is what they found out.
BOOT = """
import json, sys
header = json.loads(sys.stdin.buffer.readline())
sys.path.insert(0, header["package"])
from pokora_anime.render.worker import child
from pokora_anime.render.worker.messages import send
answers = child._answers()
def act():
    child._begin(header)
    told = {}
    exec(sys.stdin.buffer.read().decode(), {"told": told, "header": header})
    return {"told": told}
send(answers, child.answered(act))
"""


_defaults = cache(compose_video)


def config() -> VideoConfig:
    """The defaults of `pokora video`, a test's own to change."""
    return deepcopy(_defaults())


def run(code: str, work: Path, package: Path = INSTALLED, guard: str = "auto") -> dict[str, Any]:
    """What `code` put into `told` in a process that may write in `work`, or the error that it raised."""
    work.mkdir(parents=True, exist_ok=True)
    place = temporary_folders.make(work / "logs")
    grants = needed(config(), work)
    header = {
        "package": str(package.parent),
        "libraries": library_folders(),
        "prefix": sys.prefix,
        "grants": dataclasses.replace(grants, read=(*grants.read, str(package))).to_json(),
        "wanted": guard,
        "writes": "run",
        "temporary": str(place),
        "encoding": "utf-8",
        "started": 0.0,
        "config": to_plain(config()),
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment.clean(os.environ, place, 1, places_of_weights(config())),
    )
    assert process.stdin is not None
    send(process.stdin, header)
    output, _ = process.communicate(code.encode(), timeout=120)
    temporary_folders.remove(place)
    answer = json.loads(output)
    return answer.get("told", answer)


if __name__ == "__main__":
    folder, package, guard = sys.argv[1:]
    print(json.dumps(run(sys.stdin.read(), Path(folder), Path(package), guard)))
