"""An NVIDIA driver that torch cannot use: why. Torch-free to import; `unusable` asks torch."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from glob import glob
from pathlib import Path

from pokora_anime.devices import torch_build
from pokora_anime.errors import MachineError

# What a driver leaves in a Linux system, in a container and in WSL.
_TRACES = (
    "/proc/driver/nvidia/version",
    "/dev/nvidiactl",
    "/dev/nvidia[0-9]*",
    "/usr/lib/wsl/lib/nvidia-smi",
)
_UVM = "/dev/nvidia-uvm"
# cuDeviceGetAttribute: the two numbers of a card's compute capability.
_MAJOR, _MINOR = 75, 76


def present() -> bool:
    """Whether an NVIDIA driver is here and its cards are not hidden by CUDA_VISIBLE_DEVICES."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1", "NoDevFiles"):
        return False
    if sys.platform == "win32":
        return shutil.which("nvidia-smi") is not None
    return sys.platform == "linux" and any(glob(pattern) for pattern in _TRACES)


def accelerator_present() -> bool:
    """Whether the system shows an NVIDIA or AMD driver, or is a Mac."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return sys.platform != "linux" or any(os.path.exists(one) for one in drivers)


def unusable() -> str:
    """Why torch cannot use a card whose driver is here; empty where it can, or where there is none."""
    if not present():
        return ""
    import torch

    if torch.version.cuda is None:
        return "" if torch.version.hip else "this build of torch is for processors only"
    if not torch.cuda.is_available():
        return _why_unavailable()
    capability, built = torch.cuda.get_device_capability(0), torch.cuda.get_arch_list()
    if built and not runs_on(capability, built):
        card = f"{torch.cuda.get_device_name(0)} (capability {capability[0]}.{capability[1]})"
        return f"torch {torch.__version__} holds nothing for {card}, only {', '.join(built)}"
    return ""


def require() -> None:
    """Raises MachineError SYS-DRIVER for a card that is here and cannot be used."""
    reason = unusable()
    if reason:
        raise MachineError(
            "SYS-DRIVER",
            f"an NVIDIA driver is here but torch cannot use it: {reason}",
            expected="a card that torch computes on, or the word to render on the processor",
            fix=f"{f'{setup}, or ' if (setup := remedy()) else ''}device.kind=cpu",
        )


def remedy() -> str:
    """The command that installs a torch which this driver and card run; empty where none is known to."""
    import torch

    build = torch_build.advised(*_of_the_driver())
    here = f"cu{torch.version.cuda.replace('.', '')}" if torch.version.cuda else ""
    return f"make setup TORCH={build}" if build and build != here else ""


def _of_the_driver() -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The highest CUDA version that the driver takes and the first card's capability, asked without torch.

    None where it does not start: then another build of torch does not either.
    """
    number = ctypes.c_int()
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if cuda.cuInit(0) or cuda.cuDriverGetVersion(ctypes.byref(number)):
            return None, None
        version = number.value // 1000, number.value % 1000 // 10
        numbers: list[int] = []
        for attribute in (_MAJOR, _MINOR):
            if cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, 0):
                return version, None
            numbers.append(number.value)
    except (OSError, AttributeError):
        return None, None
    return version, (numbers[0], numbers[1])


def runs_on(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether a build has code for a card: its own generation's, or an older one's to translate (PTX)."""
    for name in built:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name)
        if found is None:
            continue
        major, minor = int(found[2]), int(found[3])
        if found[4] == "a":  # for that card alone
            fits = (major, minor) == capability
        elif found[1] == "sm" or found[4]:
            fits = major == capability[0] and minor <= capability[1]
        else:
            fits = (major, minor) <= capability
        if fits:
            return True
    return False


def _why_unavailable() -> str:
    import torch

    if sys.platform == "linux" and glob("/dev/nvidia[0-9]*") and not Path(_UVM).exists():
        return f"{_UVM} is missing (`nvidia-modprobe -u` makes it; a container must be given it)"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        first = (str(error).strip().splitlines() or ["CUDA does not start"])[0]
        return f"{first[:200]} (torch {torch.__version__} is built for CUDA {torch.version.cuda})"
    return f"it finds no card (torch {torch.__version__} is built for CUDA {torch.version.cuda})"
