"""Run a command and watch what it and its children use."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from pokora_anime.errors import MachineError

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Wall seconds and the peak resident memory (bytes) of a process and its children together."""

    seconds: float
    peak_bytes: int
    exit_status: int
    output: str


def pokora(arguments: Sequence[str], *, check: bool = True) -> Usage:
    """Run `pokora ARGUMENTS` in a process of its own, as a user would, and measure it."""
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "pokora_anime.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = _PeakMemory(child.pid)
    output, _ = child.communicate()
    usage = Usage(
        seconds=time.perf_counter() - started,
        peak_bytes=peak.stop(),
        exit_status=child.returncode,
        output=output,
    )
    if check and usage.exit_status != 0:
        raise MachineError("SYS-BENCH", f"pokora {' '.join(arguments)} failed: {output.strip()[-400:]}")
    return usage


class _PeakMemory:
    """Samples the resident memory of a process tree from a thread."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self.running = pid, 0, True
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def stop(self) -> int:
        self.running = False
        self.thread.join()
        return self.peak

    def _sample(self) -> None:
        while self.running:
            self.peak = max(self.peak, tree_memory(self.pid))
            time.sleep(SAMPLE_SECONDS)


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its children; 0 once it is gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
