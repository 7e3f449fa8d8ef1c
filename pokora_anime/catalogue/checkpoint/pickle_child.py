"""The child of convert.py: confined first, then reads one pickle and writes one safetensors file."""

from __future__ import annotations

import json
import pickle
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pokora_anime.sandbox.landlock import EXECUTE, READ, WRITE, Rule, confine, landlock_abi
from pokora_anime.sandbox.seccomp import refuse_sockets
from pokora_anime.system.files.installed_package import INSTALLED

if TYPE_CHECKING:
    from torch import Tensor

_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store",
    "/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/sys/vm",
    "/sys/devices/system", "/sys/fs/cgroup", "/dev/urandom", "/dev/random",
)  # fmt: skip


def main() -> None:
    """Convert as the request on stdin asks."""
    request = json.loads(sys.stdin.read())
    source, target = Path(request["source"]), Path(request["target"])
    refuse_sockets()
    if landlock_abi():
        confine(rules(source, target))
    try:
        convert(source, target, tuple(request["nests"]))
    except (ValueError, RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines() or [""]
        sys.exit(f"{type(error).__name__}: {first[0]}")


def rules(source: Path, target: Path) -> list[Rule]:
    """The interpreter, the libraries and the pickle to read, the pickle's folder of conversions to write."""
    libraries = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    readable = (
        *_SYSTEM,
        *libraries,
        f"{sys.base_prefix}/lib",
        f"{sys.prefix}/lib",
        str(INSTALLED),
        str(source),
    )
    return [
        *(Rule(path, READ | EXECUTE) for path in readable),
        Rule("/dev/null", READ | WRITE),
        Rule(str(target.parent), WRITE),
    ]


def convert(source: Path, target: Path, nests: tuple[str, ...]) -> None:
    """Raises ValueError for anything but tensors by name, pickle.UnpicklingError for code."""
    import torch
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare

    stored: object = torch.load(source, map_location="cpu", weights_only=True)
    tensors = named_tensors(stored, nests)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, target)


def named_tensors(stored: object, nests: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, also where they lie one level down; numbers beside them are dropped."""
    import torch

    if not isinstance(stored, dict):
        raise ValueError(f"holds a {type(stored).__name__}, not tensors by name")
    whole = cast(dict[object, object], stored)
    nest = next((name for name in nests if isinstance(whole.get(name), dict)), None)
    inner = whole if nest is None else cast(dict[object, object], whole[nest])
    tensors = {str(name): value for name, value in inner.items() if isinstance(value, torch.Tensor)}
    strange = [name for name, value in inner.items() if not isinstance(value, (torch.Tensor, int, float))]
    if strange:
        raise ValueError(f"holds {strange[0]!r}, which is no tensor")
    if not tensors:
        raise ValueError("holds no tensors")
    return tensors


if __name__ == "__main__":
    main()
