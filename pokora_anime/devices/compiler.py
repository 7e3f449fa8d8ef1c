"""What compiling networks takes of a machine, and where its results are kept. Torch-free.

torch writes C++ for a CPU and Triton for a card; both are built by compilers of the system.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pokora_anime.errors import MachineError
from pokora_anime.schema.settings import Compile, DeviceKind, RunConfig, VideoConfig
from pokora_anime.system.files.user_folder import data_folder

HEADERS = ("/usr/include", "/usr/local/include", "/usr/libexec/gcc")
_PARTS = ("cc1", "cc1plus", "collect2", "as", "ld", "lto-wrapper")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"  # where a rendering process looks for programs


def asked(config: RunConfig) -> bool:
    """Whether a run compiles its networks: only those that move frames are worth it."""
    return isinstance(config, VideoConfig) and config.device.compile is not Compile.off


def kept() -> Path:
    """Where compiled networks are kept between runs; it may be removed at any time."""
    return data_folder() / "compiled"


def require(config: RunConfig) -> None:
    """Raises MachineError SYS-COMPILER where a config asks for what this machine cannot build."""
    what = missing(config.device.kind) if asked(config) else None
    if what is not None:
        got, fix = what
        raise MachineError(
            "SYS-COMPILER",
            f"device.compile={config.device.compile.value} and {got}",
            expected="Linux with g++ and Python's headers, and Triton for a CUDA card",
            fix=f"{fix}, or device.compile=off",
        )


def missing(kind: DeviceKind) -> tuple[str, str] | None:
    """What a machine lacks, and what to do about it; None if nothing."""
    if sys.platform != "linux" or kind is DeviceKind.mps:
        return f"{'Apple silicon' if kind is DeviceKind.mps else sys.platform}", "use a CPU or a CUDA card"
    if _found("g++") is None:
        return "no g++", "install it (Debian and Ubuntu: apt install g++)"
    if not (_python_headers() / "Python.h").is_file():
        return "no Python.h", "install Python's headers (Debian and Ubuntu: apt install python3-dev)"
    on_card = kind is DeviceKind.cuda or (kind is DeviceKind.auto and Path("/dev/nvidiactl").exists())
    if on_card and (_found("gcc") is None or find_spec("triton") is None):
        return "no Triton or no gcc for it", "pip install triton, and install gcc"
    return None


def programs(libraries: Sequence[str]) -> list[str]:
    """The programs that build, and Python, which torch starts to try whether what was built can be loaded.

    `libraries` are the folders of installed ones, where Triton's lie.
    """
    compilers = [found for name in ("g++", "gcc") if (found := _found(name))]
    parts = [_part_of(compiler, name) for compiler in compilers for name in _PARTS]
    every = [*compilers, *parts, _found("ldconfig") or "", sys.executable]
    real = [str(Path(one).resolve()) for one in every if Path(one).is_file()]
    return list(dict.fromkeys([*real, *(f"{folder}/triton/backends/nvidia/bin" for folder in libraries)]))


def headers() -> list[str]:
    """The folders of the headers that are included, and of the compilers' own programs."""
    return [*HEADERS, str(_python_headers())]


def environment() -> dict[str, str]:
    """What torch reads when it first compiles: its cache, no worker processes, and no doubt about vectors."""
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(kept().absolute()),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_VEC_ISA_OK": "1",
    }


def _found(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def _part_of(compiler: str, name: str) -> str:
    """Where a compiler has one of its programs."""
    line = [compiler, f"-print-prog-name={name}"]
    told = subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    return told if "/" in told else _found(name) or ""


def _python_headers() -> Path:
    return Path(sysconfig.get_path("include"))
