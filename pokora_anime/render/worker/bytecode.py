"""Libraries compiled once: a confined process may not keep the bytecode it made, so its parent does.

uv installs sources only. Without this every run would compile torch and transformers anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from pokora_anime.render.worker.granted_paths import library_folders
from pokora_anime.system.files.installed_package import INSTALLED

_COMPILE = """
import compileall, os, sys
os.nice(15)
for line in sys.stdin.read().splitlines():
    compileall.compile_file(line, quiet=2)
"""


def compile_later(sources: Iterable[str]) -> None:
    """Start a process of low priority that compiles those of our libraries' files, and do not wait for it."""
    folders = [INSTALLED, *(Path(folder) for folder in (*library_folders(), sysconfig.get_path("stdlib")))]
    ours = [
        source
        for source in sources
        if any(Path(source).is_relative_to(folder) for folder in folders)
        and os.access(Path(source).parent, os.W_OK)
    ]
    if not ours:
        return
    compiler = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _COMPILE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert compiler.stdin is not None
    compiler.stdin.write("\n".join(ours).encode())
    compiler.stdin.close()
