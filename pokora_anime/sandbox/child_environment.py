"""The environment of the rendering process: an allow-list, and what the run itself sets."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

# Language, time zone, terminal, and which accelerator to use: nothing that names code or pictures.
PASSED = (
    "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "TZ",
    "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
)  # fmt: skip
# How OpenMP's threads wait at each barrier: those that spin take the time of whoever they wait for.
WAITING = "OMP_WAIT_POLICY"
# Where clouds, containers and WSL keep the driver's libraries, beside the loader's own cache.
DRIVER_FOLDERS = (
    "/usr/local/nvidia/lib",
    "/usr/local/nvidia/lib64",
    "/usr/lib64-nvidia",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/opt/rocm/lib",
)


def clean(
    inherited: Mapping[str, str], temporary: Path, threads: int, weights: Mapping[str, str]
) -> dict[str, str]:
    """The child's environment. `temporary` is its home too; `weights` tells where those lie."""
    passed = {name: inherited[name] for name in PASSED if name in inherited}
    place = str(temporary)
    places = dict.fromkeys(
        ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "MPLCONFIGDIR"), place
    )
    own = {
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]),
        "USER": "pokora",
        "LOGNAME": "pokora",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
        WAITING: "passive",
    }
    folders = [folder for folder in (*DRIVER_FOLDERS, *_python_library()) if Path(folder).is_dir()]
    if folders:
        own["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    return {**passed, **places, **weights, **own}


def _python_library() -> list[str]:
    """The folder of libpython, for an interpreter that is linked against it."""
    folder = sysconfig.get_config_var("LIBDIR") if sysconfig.get_config_var("Py_ENABLE_SHARED") else None
    return [str(folder)] if folder else []
