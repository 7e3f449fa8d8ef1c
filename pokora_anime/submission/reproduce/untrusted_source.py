"""Rendering with a bundle's own source: what it changes is shown first, and it runs confined."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pokora_anime.errors import MachineError, RecordError
from pokora_anime.provenance import run_layout
from pokora_anime.render.worker import temporary_folders
from pokora_anime.render.worker.granted_paths import library_folders, needed, places_of_weights
from pokora_anime.render.worker.run_paths import command_of
from pokora_anime.sandbox import child_environment
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import RunConfig
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle.source_tree import CODE, installed, rendering
from pokora_anime.system import process
from pokora_anime.system.files.installed_package import INSTALLED
from pokora_anime.system.processor_cores import usable_cores
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.untrusted_names import shown

MOST_LINES = 400  # of a difference, shown in full
UNCONFINED = 97  # the status that _BOOT ends with
_BOOT = """
import json, sys
header = json.loads(sys.stdin.buffer.readline())
sys.path.insert(0, header["package"])
from pokora_anime.render.worker import child
if child.confine_here(header)["level"] != "landlock":
    sys.exit(97)
# From here on only the bundle's source is the package; what confined this process stays in force.
for name in [name for name in sys.modules if name.partition(".")[0] == "pokora_anime"]:
    del sys.modules[name]
sys.path.insert(0, header["source"])
from pathlib import Path
from pokora_anime.render import pipeline
from pokora_anime.render.worker.messages import from_plain
from pokora_anime.schema.config_groups import SCHEMAS
config = from_plain(SCHEMAS[header["command"]], header["config"])
render = pipeline.render_video if header["command"] == "video" else pipeline.render_stills
render(config, Path(header["root"]), None)
sys.stdout.flush()
import os
os._exit(0)
"""


def difference(folder: Folder) -> str:
    """How the bundle's package and conf/ differ from the installed ones, as a unified diff; bounded."""
    lines: list[str] = []
    ours = {name: path for name, path in installed().items() if name.endswith(CODE)}
    prefix = f"{file_names.SOURCE}/"
    theirs = {
        name.removeprefix(prefix): folder.root / name
        for name in folder.sizes
        if rendering(name.removeprefix(prefix)) and name.startswith(prefix) and name.endswith(CODE)
    }
    changed = 0
    for name in sorted({*ours, *theirs}):
        left, right = (_lines(files[name]) if name in files else [] for files in (ours, theirs))
        if left == right:
            continue
        changed += 1
        lines += difflib.unified_diff(left, right, f"installed/{name}", f"bundle/{name}", lineterm="")
    if not changed:
        return "The bundle's source is the installed one."
    cut = [shown(line, 200) for line in lines[:MOST_LINES]]
    rest = len(lines) - len(cut)
    more = [f"... and {rest} lines more; unpack the bundle and read source/"] if rest > 0 else []
    return "\n".join([*cut, *more, f"{changed} files differ."])


def render(config: RunConfig, root: Path, source: Path) -> Path:
    """One run under `root` by the package in `source`, confined; returns the run's folder.

    Raises MachineError SYS-GUARD where this system cannot confine a process, SYS-RENDER where it failed.
    """
    home = temporary_folders.make(root)
    threads = config.device.threads or usable_cores()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT],
            input=json.dumps(_header(config, root, source, home)).encode() + b"\n",
            env=_environment(config, home, threads),
            stdout=sys.stderr.fileno(),
            check=False,
        )
    finally:
        temporary_folders.remove(home)
    if done.returncode == UNCONFINED:
        raise MachineError(
            "SYS-GUARD",
            "this system cannot confine a process, so the bundle's source was not run",
            expected="Linux with Landlock",
            fix="leave out --trust-source, or use another machine",
        )
    found = [path.parent for path in root.glob(f"*/*/{run_layout.RECORD}")]
    if done.returncode or len(found) != 1:
        raise MachineError(
            "SYS-RENDER",
            f"the bundle's source did not render: it ended with status {done.returncode}",
            expected="one finished run",
            fix="leave out --trust-source; the messages above say more",
        )
    return found[0]


def _header(config: RunConfig, root: Path, source: Path, home: Path) -> Mapping[str, object]:
    """What the confined process is told in its first line."""
    grants = needed(config, root)
    grants = replace(grants, read=(*grants.read, str(source.resolve())))
    return {
        "package": str(INSTALLED.parent),
        "source": str(source.resolve()),
        "libraries": library_folders(),
        "prefix": sys.prefix,
        "grants": grants.to_json(),
        "wanted": "require",
        "writes": "run",
        "temporary": str(home),
        "encoding": sys.stderr.encoding or "utf-8",
        "started": process.started(),
        "command": command_of(config),
        "config": to_plain(config),
        "root": str(root),
    }


def _environment(config: RunConfig, home: Path, threads: int) -> dict[str, str]:
    return child_environment.clean(os.environ, home, threads, places_of_weights(config))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            "BND-SOURCE", f"{path.name} is no text", expected="source as git holds it"
        ) from error
