"""The build of torch that `make setup TORCH=cu126` asks for, and which one a driver runs.

The Makefile runs this file by its path before any library is there: nothing but the standard library here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LOCK = "lock"  # the build that the lock file pins
KEPT = ".pokora-torch"  # the file in the environment that names the build installed there
PINS = ".pokora-pins"  # the lock file's lines that hold for the chosen build
_STAMP = ".pokora-setup"
_ROOT = Path(__file__).parent.parent.parent
# What differs between builds. CUDA libraries of two builds lie in the same folders and overwrite each other.
_OF_A_BUILD = re.compile(r"(torch|torchvision|(?:pytorch-)?triton[a-z-]*|nvidia-[a-z0-9-]+|cuda-[a-z]+)==")
_PASCAL_AND_VOLTA = (7, 5)  # builds for CUDA 13 hold nothing for cards below
_BLACKWELL = (10, 0)  # builds before CUDA 12.8 hold nothing for these


def advised(driver: tuple[int, int] | None, capability: tuple[int, int] | None) -> str:
    """The value of TORCH for a driver (the highest CUDA version that it takes) and a card's capability.

    Empty where no build is known to work. A driver runs every build of its CUDA generation, and older ones.
    """
    if driver is None or driver < (12, 0):
        return ""
    if capability is not None and capability >= _BLACKWELL and driver < (13, 0):
        return "cu128" if driver >= (12, 8) else ""
    old = capability is not None and capability < _PASCAL_AND_VOLTA
    return "cu126" if old or driver < (13, 0) else "cu130"


def choose(venv: Path, build: str) -> int:
    """Refuse a build that is none, write the pins that hold for it, and remove another one; the exit status.

    A build that cannot be had is found out before anything is removed.
    """
    lock = (_ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines(keepends=True)
    pins = [line for line in lock if build == LOCK or not _OF_A_BUILD.match(line)]
    if build != LOCK and build not in (known := _known(venv)):
        expected = ", ".join((LOCK, *known)) if known else f"{LOCK}, or uv, which pip did not install"
        return _refuse("CFG-TORCH", f"TORCH={build}", expected=expected, fix="make setup TORCH=auto")
    (venv / PINS).write_text("".join(pins), encoding="utf-8")
    if build == kept(venv):
        return 0
    if build != LOCK and (status := _named(venv, build, "--dry-run", "--reinstall")):
        return status
    (venv / _STAMP).unlink(missing_ok=True)
    frozen = _uv(venv, "freeze", output=True).stdout or ""
    others = [found[1] for found in map(_OF_A_BUILD.match, frozen.splitlines()) if found]
    return _uv(venv, "uninstall", *others).returncode if others else 0


def install(venv: Path, build: str) -> int:
    """Install the build unless the lock file's pins did, and keep the choice; the exit status."""
    status = 0 if build == LOCK else _named(venv, build)
    if not status:
        (venv / KEPT).write_text(f"{build}\n", encoding="utf-8")
    return status


def kept(venv: Path) -> str:
    """The build that is installed in an environment."""
    try:
        return (venv / KEPT).read_text(encoding="utf-8").strip() or LOCK
    except OSError:
        return LOCK


def _known(venv: Path) -> list[str]:
    """The builds that uv names when it is given none."""
    said = _uv(venv, "install", "--torch-backend=", output=True).stderr or ""
    found = re.search(r"possible values: ([^\]]*)\]", said)
    return re.split(r",\s*", found[1]) if found else []


def _named(venv: Path, build: str, *options: str) -> int:
    """Torch of a build, by name and with the CUDA libraries that it asks for (the lock has another's)."""
    described = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.findall(r'"(torch>=[^"]*)"', described)
    pins = ("--constraints", str(venv / PINS))
    done = _uv(venv, "install", *options, f"--torch-backend={build}", *pins, *wanted, "torchvision")
    if not done.returncode:
        return 0
    return _refuse(
        "SYS-TORCH",
        f"uv did not install torch for TORCH={build}",
        expected="a build that can be had (uv's reason stands above)",
        fix="make setup TORCH=auto, or TORCH=lock for the lock file's",
    )


def _uv(venv: Path, command: str, *arguments: str, output: bool = False) -> subprocess.CompletedProcess[str]:
    line = [str(venv / "bin" / "uv"), "pip", command, "--python", str(venv / "bin" / "python")]
    try:
        return subprocess.run([*line, "--quiet", *arguments], capture_output=output, text=True, check=False)
    except OSError as error:
        return subprocess.CompletedProcess(line, 127, "", str(error))


def _refuse(code: str, got: str, *, expected: str, fix: str) -> int:
    print(f"pokora: {code}: {got}; expected {expected}; fix: {fix}", file=sys.stderr)
    return 2 if code.startswith("CFG") else 4


if __name__ == "__main__":
    actions: dict[str, Callable[[Path, str], int]] = {"choose": choose, "install": install}
    sys.exit(actions[sys.argv[1]](Path(sys.argv[2]), os.environ["POKORA_TORCH"]))
