"""/proc under a guard: what the kernel drops there, and what no reading of it may do to a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pokora_anime.devices import hardware
from pokora_anime.devices.machine import Timeline
from pokora_anime.sandbox.landlock import landlock_abi
from pokora_anime.system import process
from pokora_anime.system.files.installed_package import INSTALLED

CONFINED = """
import json, os, sys
sys.path[:0] = [{package!r}, *{path!r}]
from pokora_anime.render.worker import granted_paths
from pokora_anime.sandbox.landlock import READ, Rule, confine
from pokora_anime.system import process
process.started()
libraries = (*granted_paths._SHARED_LIBRARIES, *granted_paths._SYSTEM)
confine([Rule(path, READ) for path in (*libraries, {package!r}, *sys.path)])

def told(path):
    try:
        return "had" if open(path, "rb").read() else "empty"
    except OSError as error:
        return type(error).__name__

from pokora_anime.devices.machine import Timeline
from pokora_anime.devices.hardware import memory_here
ASKED = ("/proc/self/stat", "/proc/meminfo", "/proc/stat", "/proc/cpuinfo")
for line in sys.stdin:
    timeline = Timeline()
    timeline.mark("asked")
    found = {{path: told(path) for path in ASKED}}
    print(json.dumps([found, timeline.marks[0][1], memory_here()[1], process.resident()]), flush=True)
"""

# In a mount namespace of its own: nothing outside it sees what happens to /proc here.
OUTSIDE = """
import json, os, subprocess, sys
subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def ask():
    child.stdin.write(b"\\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline() or b"null")
told = {"before": ask()}
subprocess.run(["mount", "-o", "remount", "/proc"], check=True)  # drops every entry that nobody holds
told["remounted"] = ask()
subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)  # other inodes under the same names
told["mounted anew"] = ask()
child.stdin.close()
told["status"] = child.wait()
print(json.dumps(told))
"""


def _may_mount() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None or os.name != "posix" or os.geteuid() != 0:
        return False
    probe = [unshare, "-m", "--propagation", "private", "mount", "-t", "proc", "proc", "/proc"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    landlock_abi() == 0 or not _may_mount(), reason="needs Landlock, and root to mount /proc in a namespace"
)


@pytest.fixture(scope="module")
def told() -> dict[str, list[object]]:
    code = CONFINED.format(package=str(INSTALLED.parent), path=[path for path in sys.path if path])
    line = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", OUTSIDE, code]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_mounts
def test_what_was_granted_in_proc_outlives_a_remount(told: dict[str, list[object]]) -> None:
    assert set(told["before"][0].values()) == {"had"}  # pyright: ignore[reportAttributeAccessIssue]
    assert told["remounted"][0] == told["before"][0]


@needs_mounts
def test_a_run_goes_on_where_proc_tells_nothing_any_more(told: dict[str, list[object]]) -> None:
    found, seconds, memory, resident = told["mounted anew"]
    assert set(found.values()) == {"PermissionError"}  # pyright: ignore[reportAttributeAccessIssue]
    assert 0 < seconds < 120 and seconds >= told["before"][1]  # pyright: ignore[reportOperatorIssue]
    assert resident is None and told["before"][3]
    # The size of the memory decides what is refused and how weights are held: it must not change.
    assert memory == pytest.approx(told["before"][2], rel=0.05)
    assert told["status"] == 0


def test_a_system_that_refuses_every_question_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def refused(*_: object, **__: object) -> object:
        raise psutil.AccessDenied

    def unreadable(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(psutil, "virtual_memory", refused)
    monkeypatch.setattr(psutil, "Process", refused)
    monkeypatch.setattr(Path, "read_text", unreadable)
    process.started.cache_clear()
    try:
        timeline = Timeline()
        timeline.mark("now")
        assert 0 <= timeline.marks[0][1] < 60
        assert process.resident() is None
        assert len(hardware.memory_here()) == 2
    finally:
        process.started.cache_clear()


def test_a_process_knows_when_it_started() -> None:
    import psutil

    assert process.started() == pytest.approx(psutil.Process().create_time(), abs=2.0)
