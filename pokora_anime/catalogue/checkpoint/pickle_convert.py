"""A pickle (.pth) made into safetensors once, in a child process that may do nothing else.

`fetch` starts it; a run never does. The child has `python -I`, an empty environment, Landlock where the
kernel has it, and torch.load with weights_only=True, which builds tensors and refuses code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pokora_anime.catalogue.lockfile import Conversion
from pokora_anime.errors import WeightsError
from pokora_anime.provenance.hashing import file_hash
from pokora_anime.system.files.atomic_files import temporary_path, writing

SECONDS = 600
# Where collections of tensors are kept inside a checkpoint.
NESTS = ("state_dict", "params_ema", "params", "model")


def convert(source: Path, source_sha256: str, target: Path, name: str) -> Conversion:
    """Write `target` (.safetensors) from the pickle `source`, whose sha256 was checked before; both hashes.

    Raises WeightsError WGT-CONVERT for what holds anything but tensors, MachineError SYS-*.
    """
    if file_hash(source) != source_sha256:
        raise WeightsError(
            "WGT-DAMAGED", f"{name}: {source.name} changed after it was checked", fix="fetch it again"
        )
    temporary = temporary_path(target)
    with writing(target.parent, source.stat().st_size):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _run(source, temporary, name)
            sha256 = file_hash(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return Conversion(source=source.name, source_sha256=source_sha256, sha256=sha256)


def _run(source: Path, target: Path, name: str) -> None:
    command = [sys.executable, "-I", "-m", "pokora_anime.catalogue.checkpoint.pickle_child"]
    request = json.dumps({"source": str(source.resolve()), "target": str(target.resolve()), "nests": NESTS})
    try:
        child = subprocess.run(
            command,
            input=request,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={"OMP_NUM_THREADS": "1", "HOME": str(target.parent), "TMPDIR": str(target.parent)},
            cwd=target.parent,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(name, source, f"not done after {SECONDS} s") from error
    if child.returncode != 0 or not target.exists():
        lines = child.stderr.strip().splitlines()
        raise _refused(name, source, lines[-1][:200] if lines else f"ended with {child.returncode}")


def _refused(name: str, source: Path, why: str) -> WeightsError:
    return WeightsError(
        "WGT-CONVERT",
        f"{name}: {source.name} cannot be converted: {why}",
        expected="a checkpoint of plain tensors",
        fix=f"leave {name} out; it is never loaded as it is",
    )
