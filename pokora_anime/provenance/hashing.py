"""Content hashes: canonical JSON for nodes, dtype + shape + raw bytes for arrays; JSON read strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.errors import RecordError
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.strict_json import BadJson, Json, parse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Table = dict[str, Json]
_BLOCK = 4 << 20
MAX_JSON = 64 << 20  # bytes of record, ledger, frames and statement
_LIMITS = Limits(json_bytes=MAX_JSON)


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def strict_json(data: bytes, what: str) -> Json:
    """The value of JSON as large as a record may be. Raises RecordError REC-JSON, which names `what`."""
    try:
        return parse(data, _LIMITS)
    except BadJson as error:
        raise RecordError(
            "REC-JSON", f"{what}: {error.reason}", expected="JSON as pokora_anime writes it"
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
