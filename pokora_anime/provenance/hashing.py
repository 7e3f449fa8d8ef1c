"""Content hashes: canonical JSON for nodes, dtype + shape + raw bytes for arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text_hash(value: object) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_hash(array: npt.NDArray[np.generic]) -> str:
    """sha256 (hex) of dtype, shape and raw little-endian C-order bytes."""
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{plain.dtype.str}|{'x'.join(map(str, plain.shape))}|".encode())
    digest.update(plain.tobytes())
    return digest.hexdigest()


def arrays_hash(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """One hash for several named arrays, whatever their order."""
    return text_hash({name: array_hash(array) for name, array in arrays.items()})


def file_hash(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
