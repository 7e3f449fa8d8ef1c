"""What the system tells about this process: when it started, how much memory it fills. Never raises.

None of it decides what is computed, so a system that refuses to tell must not end a run. Standard
library only: the rendering process asks before it confines itself, and so before it imports a library.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from pathlib import Path


@cache
def started() -> float:
    """Seconds since the epoch when this process started, asked once; now where the system does not tell."""
    try:
        return _started_by_proc() if sys.platform == "linux" else _started_by_psutil()
    except Exception:  # a sandbox refuses in many ways, psutil with errors of its own
        return time.time()


def resident() -> int | None:
    """Bytes of memory that this process fills; None where the system does not tell."""
    try:
        if sys.platform == "linux":
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        import psutil

        return int(psutil.Process().memory_info().rss)
    except Exception:
        return None


def peak_resident() -> int | None:
    """The most bytes of memory that this process has filled so far; None where the system does not tell.

    A process that has rendered several runs tells the largest of them.
    """
    try:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    except Exception:  # Windows has no such module
        return None


def memory() -> tuple[int, int]:
    """(free, total) bytes of the system's memory; zeros where it does not tell."""
    try:
        import psutil

        whole = psutil.virtual_memory()
        return int(whole.available), int(whole.total)
    except Exception:
        return _memory_by_kernel()


def runs(number: int) -> bool:
    """Whether there is a process of that number, whoever owns it."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _memory_by_kernel() -> tuple[int, int]:
    """As `memory`, by a system call that no file permission stands before."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        free, total = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0, 0
    return (free * page, total * page) if free > 0 and total > 0 else (0, 0)


def _started_by_proc() -> float:
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    lines = Path("/proc/stat").read_text().splitlines()
    boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def _started_by_psutil() -> float:
    import psutil

    return psutil.Process().create_time()
