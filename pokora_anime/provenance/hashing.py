"""Content hashes: canonical JSON for nodes, dtype + shape + raw bytes for arrays; JSON read strictly."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.errors import RecordError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BLOCK = 4 << 20

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def strict_json(data: bytes, what: str) -> Json:
    """The value of UTF-8 JSON without repeated keys, NaN or infinities.

    Raises RecordError REC-JSON, which names `what`.
    """
    try:
        value: Json = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
        canonical_json(value).encode()  # fails for half a surrogate pair, which could not be hashed
        return value
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RecordError(
            "REC-JSON", f"{what}: {reason}", expected="JSON as pokora_anime writes it"
        ) from error


def text_hash(value: object) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_hash(array: npt.NDArray[np.generic]) -> str:
    """sha256 (hex) of dtype, shape and raw little-endian C-order bytes."""
    import numpy as np

    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{plain.dtype.str}|{'x'.join(map(str, plain.shape))}|".encode())
    digest.update(plain.tobytes())
    return digest.hexdigest()


def arrays_hash(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """One hash for several named arrays, whatever their order."""
    return text_hash({name: array_hash(array) for name, array in arrays.items()})


def file_hash(path: Path, add: Callable[[int], None] | None = None) -> str:
    """sha256 (hex) of a file's bytes; `add` is told of each block that was read."""
    with path.open("rb") as handle:
        if add is None:
            return hashlib.file_digest(handle, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := handle.read(_BLOCK):
            digest.update(block)
            add(len(block))
    return digest.hexdigest()


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is too large")
    return value
